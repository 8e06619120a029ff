"""A profile and one of its systems in one word, such as `rpi4-bookworm`: what packages are collected for."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.errors import ConfigurationError
from edge_ad.profiles.catalog import all_profiles, load_profile
from edge_ad.profiles.profile import DeviceProfile
from edge_ad.profiles.system import System

_SUFFIXES = ("-32bit", "-armhf")


@dataclass(frozen=True)
class Target:
    """A kind of device that packages can be collected for."""

    profile: DeviceProfile
    system: System

    @property
    def name(self) -> str:
        """Such as `rpi-4b-bookworm` or `rpi-4b-bookworm-32bit`."""
        first = next(system for system in self.profile.systems if system.os == self.system.os)
        suffix = "" if self.system is first else _SUFFIXES[0]
        return f"{self.profile.name}-{self.system.os}{suffix}"


def target(text: str) -> Target:
    """The target of a word: PROFILE-OS, PROFILE-OS-32bit or (the same) PROFILE-OS-armhf.

    PROFILE is a name, an alias or a file; OS a code name such as bookworm. Without an ending it is the first
    system with that OS that the profile has, with one the first that is 32-bit. Raises ConfigurationError.
    """
    word = text
    for suffix in _SUFFIXES:
        word = word.removesuffix(suffix)
    name, _, os_name = word.rpartition("-")
    profile = _profile(name, text)
    for system in profile.systems:
        if system.os == os_name and (word == text or system.is_32_bit):
            return Target(profile, system)
    raise ConfigurationError(
        f"{text!r} is no target: {profile.name} has {', '.join(t.name for t in _targets(profile))}"
    )


def all_targets() -> tuple[Target, ...]:
    """The targets of the profiles that come with edge_ad."""
    return tuple(target for profile in all_profiles() for target in _targets(profile))


def _targets(profile: DeviceProfile) -> list[Target]:
    return [Target(profile, system) for system in profile.systems]


def _profile(name: str, text: str) -> DeviceProfile:
    if name.endswith(".toml"):
        return load_profile(name)
    for profile in all_profiles():
        if name in (profile.name, *profile.aliases):
            return profile
    there = ", ".join(target.name for target in all_targets())
    raise ConfigurationError(
        f"{text!r} is no target: write PROFILE-OS, or PROFILE-OS-32bit. There are: {there}; aliases such as "
        "rpi4-bookworm work, too, and a profile of your own as my-board.toml-bookworm"
    )
