"""Profiles by name, by file, and by the machine they are for."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.errors import ConfigurationError
from edge_ad.profiles.files import FOLDER
from edge_ad.profiles.profile import DeviceProfile

BUILT_IN = (
    "rpi-zero-w",
    "rpi-zero-2w",
    "rpi-3b",
    "rpi-4b",
    "rpi-5",
    "generic-arm64",
    "generic-x86_64",
)
"""Names of the profiles that come with edge_ad, in the order in which they are shown."""
_LARGEST_FILE = 1 << 20
_SAME = {"amd64": "x86_64", "arm64": "aarch64"}


def read_profile(path: Path) -> DeviceProfile:
    """A profile of a file. Raises ConfigurationError naming the file, the key, and what it can be."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError(f"{path} is too long for a device profile")
        return decode(DeviceProfile, tomllib.loads(content.decode()))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, DecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


@cache
def all_profiles() -> tuple[DeviceProfile, ...]:
    """Those that come with edge_ad."""
    return tuple(read_profile(FOLDER / f"{name}.toml") for name in BUILT_IN)


def load_profile(name: str) -> DeviceProfile:
    """A profile by its name or alias; or that of a file, for what ends in `.toml` or has a slash.

    Raises ConfigurationError for a name that is not there, and for a file that is no profile.
    """
    if name.endswith(".toml") or "/" in name:
        return read_profile(Path(name))
    for profile in all_profiles():
        if name in (profile.name, *profile.aliases):
            return profile
    there = ", ".join(profile.name for profile in all_profiles())
    raise ConfigurationError(
        f"no device profile is called {name!r}; there are: {there}. A file of your own is named with its "
        "ending, such as my-board.toml"
    )


def pick(board: str, architecture: str, memory_mb: int | None = None) -> DeviceProfile:
    """The profile that fits a machine.

    `board` is what /proc/device-tree/model says, or empty; `architecture` the machine that Python's packages
    are built for: armv7l for a 32-bit Python on a 64-bit kernel. With `memory_mb` (MiB) the unit's memory
    limit is at most half of it. Raises ConfigurationError where none fits.
    """
    architecture = _SAME.get(architecture, architecture)
    fitting = [profile for profile in all_profiles() if architecture in profile.architectures]
    best = max(fitting, key=lambda profile: _match(profile, board), default=None)
    if best is None or _match(best, board) < 0:
        raise ConfigurationError(_none_fits(board, architecture, fitting))
    return best if memory_mb is None else best.limited_to(memory_mb)


def _match(profile: DeviceProfile, board: str) -> int:
    """Length of the longest model that the board's begins with; 0 for a generic profile, -1 for no match."""
    lengths = [len(model) for model in profile.boards if f"{board} ".startswith(f"{model} ")]
    return max(lengths, default=-1 if profile.boards else 0)


def _none_fits(board: str, architecture: str, fitting: list[DeviceProfile]) -> str:
    machine = f"{board[:80]} ({architecture})" if board else f"a machine of architecture {architecture}"
    own = "write your own (docs/profiles.md), and name it with --profile my-board.toml"
    if fitting:
        near = ", ".join(profile.name for profile in fitting)
        return (
            f"no device profile fits {machine}. Profiles with systems for {architecture}: {near}. Name the "
            f"one that comes closest with --profile, or {own}"
        )
    there = ", ".join(f"{profile.name} ({', '.join(profile.architectures)})" for profile in all_profiles())
    return f"no device profile fits {machine}; there are: {there}. For other machines, {own}"
