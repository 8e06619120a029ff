"""Words such as rpi4-bookworm-32bit."""

import shutil

import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.profiles import all_targets, target
from edge_ad.profiles.files import FOLDER


@pytest.mark.parametrize("known", all_targets(), ids=lambda known: known.name)
def test_every_target_is_found_by_its_name(known):
    assert target(known.name) == known


def test_targets_have_names_of_their_own():
    names = [known.name for known in all_targets()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("word", "name", "label"),
    [
        ("rpi4-bookworm", "rpi-4b-bookworm", "bookworm-aarch64"),
        ("rpi4-bookworm-32bit", "rpi-4b-bookworm-32bit", "bookworm-armv7l"),
        ("rpi-4b-trixie-armhf", "rpi-4b-trixie-32bit", "trixie-armv7l"),
        ("rpi-zero-w-bookworm", "rpi-zero-w-bookworm", "bookworm-armv6l"),
        ("rpi0-bookworm-armhf", "rpi-zero-w-bookworm", "bookworm-armv6l"),
        ("amd64-trixie", "generic-x86_64-trixie", "trixie-x86_64"),
    ],
)
def test_what_a_word_means(word, name, label):
    found = target(word)
    assert (found.name, found.system.label) == (name, label)


def test_a_profile_of_a_file(tmp_path):
    own = tmp_path / "my-board.toml"
    shutil.copy(FOLDER / "rpi-5.toml", own)
    assert target(f"{own}-trixie-32bit").system.label == "trixie-armv7l"
    with pytest.raises(ConfigurationError, match=r"cannot read .*gone\.toml"):
        target(f"{tmp_path}/gone.toml-trixie")


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("rpi4", "write PROFILE-OS, or PROFILE-OS-32bit. There are: rpi-zero-w-bookworm, "),
        ("rpi9-bookworm", "generic-x86_64-trixie; aliases such as rpi4-bookworm work"),
        ("", "'' is no target"),
        (
            "rpi4-noble",
            "rpi-4b has rpi-4b-bookworm, rpi-4b-trixie, rpi-4b-bookworm-32bit, rpi-4b-trixie-32bit",
        ),
        ("arm64-trixie-32bit", "generic-arm64 has generic-arm64-bookworm, generic-arm64-trixie"),
        ("rpi4-bookworm-32bit-armhf", "is no target"),
    ],
)
def test_a_word_that_means_nothing(word, words):
    with pytest.raises(ConfigurationError) as caught:
        target(word)
    assert words in str(caught.value)
