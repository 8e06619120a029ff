"""Settings written as TOML are the same when they are read back; what fits no build is refused."""

from dataclasses import replace

import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.settings import (
    BEARING_SETTINGS,
    SKAB_BEST_SETTINGS,
    BuildSettings,
    CardSettings,
    ProtocolSettings,
    load_settings,
)
from edge_ad.toolchain.settings_file import settings_toml

ODD = 'a "quoted" \\ word,\nanother line, tab\t, del \x7f, ü, [x] = 1 # no comment'


@pytest.mark.parametrize(
    "settings",
    [
        BuildSettings(),
        BEARING_SETTINGS,
        SKAB_BEST_SETTINGS,
        replace(BuildSettings(), card=CardSettings(contact=ODD), protocol=ProtocolSettings(ODD, (ODD, ""))),
        replace(BuildSettings(), fit_share=1e-9, training=replace(BuildSettings().training, noise=0.1)),
    ],
)
def test_there_and_back(settings, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(settings_toml(settings))
    assert load_settings(path) == settings


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[gate.bootstrap]\nseed = -1", "gate.bootstrap: seed must not be negative"),
        ("[gate.bootstrap]\nresamples = 1000000000", "resamples must lie between 100 and 100000"),
        ("[gate.bootstrap]\nresamples = 99", "resamples must lie between 100 and 100000"),
        (f"build_number = {2**53}", "build_number must lie between 1 and 9007199254740991: .* JSON"),
        ("build_number = 0", "build_number must lie between 1 and 9007199254740991"),
        (f"training.batch_size = {10**23}", "training: batch_size must lie between 1 and 16384"),
        ("training.batch_size = 16385", "training: batch_size must lie between 1 and 16384"),
        ("training.batch_size = 0", "training: batch_size must lie between 1 and 16384"),
    ],
)
def test_numbers_that_would_fail_at_the_end_of_a_build(toml, words, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(toml)
    with pytest.raises(ConfigurationError, match=f"settings.toml: .*{words}"):
        load_settings(path)


def test_the_largest_numbers_are_settings(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(
        f"build_number = {2**53 - 1}\ntraining.batch_size = 16384\ngate.bootstrap.resamples = 100000"
    )
    assert load_settings(path).build_number == 2**53 - 1
