"""The profiles that come with edge_ad, and those of files."""

import dataclasses

import pytest

from edge_ad.errors import ConfigurationError
from edge_ad.profiles import all_profiles, load_profile, pick

PROFILES = all_profiles()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_fact_has_a_source(profile):
    assert profile.unsourced() == ()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_names_lead_to_it(profile):
    for name in (profile.name, *profile.aliases):
        assert load_profile(name) == profile


@pytest.mark.parametrize(
    ("board", "architecture", "name"),
    [
        ("Raspberry Pi Zero W Rev 1.1", "armv6l", "rpi-zero-w"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "armv7l", "rpi-zero-2w"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "aarch64", "rpi-3b"),
        ("Raspberry Pi 4 Model B Rev 1.4", "aarch64", "rpi-4b"),
        ("Raspberry Pi 4 Model B Rev 1.4", "armv7l", "rpi-4b"),
        ("Raspberry Pi Compute Module 4S", "aarch64", "rpi-4b"),
        ("Raspberry Pi 5 Model B Rev 1.0", "aarch64", "rpi-5"),
        ("Raspberry Pi Zero 3 W Rev 1.0", "aarch64", "generic-arm64"),
        ("Radxa ROCK 5B", "aarch64", "generic-arm64"),
        ("", "arm64", "generic-arm64"),
        ("", "x86_64", "generic-x86_64"),
        ("", "amd64", "generic-x86_64"),
    ],
)
def test_a_machine_gets_its_profile(board, architecture, name):
    assert pick(board, architecture).name == name


@pytest.mark.parametrize(
    ("board", "architecture", "words"),
    [
        ("", "riscv64", "there are: rpi-zero-w (armv6l), rpi-zero-2w (aarch64, armv7l)"),
        ("", "armv7l", "Profiles with systems for armv7l: rpi-zero-2w, rpi-3b, rpi-4b, rpi-5"),
        ("Raspberry Pi 2 Model B Rev 1.1", "armv7l", "Raspberry Pi 2 Model B Rev 1.1 (armv7l)"),
    ],
)
def test_a_machine_without_one(board, architecture, words):
    with pytest.raises(ConfigurationError) as caught:
        pick(board, architecture)
    assert words in str(caught.value)
    assert "--profile my-board.toml" in str(caught.value)


def test_the_memory_limit_leaves_half_to_the_system():
    whole = pick("Raspberry Pi Zero W Rev 1.1", "armv6l")
    small = pick("Raspberry Pi Model A Rev 2", "armv6l", memory_mb=230)
    assert small == dataclasses.replace(
        whole, runtime=dataclasses.replace(whole.runtime, memory_limit_mb=115)
    )
    assert pick("", "aarch64", memory_mb=8000) == pick("", "aarch64")
