"""What a counter of instructions is, and how a program is run so that it takes the same ones every time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from edge_ad.errors import EdgeAdError

TIME_LIMIT_S = 3600.0
"""For one program under a counter, which makes it up to a hundred times slower."""
_KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "XDG_DATA_HOME", "EDGE_AD_STORE")
_FIXED = {
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Threads that wait for work take instructions, as many as there is time.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Counted:
    """One program's end."""

    instructions: int
    stdout: str


class Counter(Protocol):
    """Runs a program and counts its instructions."""

    @property
    def name(self) -> str:
        """Program and version, such as `valgrind-3.19.0`."""
        ...

    def python(self) -> str:
        """The Python to count, as it is to be called."""
        ...

    def count(self, words: Sequence[str]) -> Counted:
        """Run `words` to their end. Raises EdgeAdError where it fails, or nothing was counted."""
        ...


def environment() -> dict[str, str]:
    """Variables under which a program does the same every time."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | _FIXED


@cache
def without_randomization() -> tuple[str, ...]:
    """Words before a command that have its memory lie at the same place every time; none where not allowed.

    See setarch(8), which is part of util-linux.
    """
    program = shutil.which("setarch")
    if program is None:
        return ()
    words = (program, "-R")
    try:
        works = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return ()
    return words if works else ()


def run(words: Sequence[str], variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises EdgeAdError where it cannot be started, fails or hangs."""
    try:
        result = subprocess.run(
            [*without_randomization(), *words],
            env=environment() | (variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except OSError as error:
        raise EdgeAdError(f"{words[0]} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise EdgeAdError(f"{words[0]} had not ended after {TIME_LIMIT_S:.0f} s") from error
    if result.returncode:
        last = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise EdgeAdError(f"{words[0]} ended with code {result.returncode}: {last[0]}")
    return result
