"""Progress on stderr: a build takes minutes."""

from __future__ import annotations

import sys
import threading
from time import monotonic

_STEPS = (
    ("I: Retrieving ", "fetching packages"),
    ("I: Extracting ", "extracting the core packages"),
    ("I: Installing core packages", "installing the core packages"),
    ("I: Unpacking the base system", "unpacking the other packages"),
    ("I: Configuring ", "configuring the other packages"),
    ("", "user and settings"),
)
"""How a step's first line begins, and what it does. A step begins only after the one before it."""
_PER_PACKAGE = ("I: Retrieving ", "I: Extracting ", "I: Unpacking ", "I: Configuring ")
_EVERY_SECONDS = 15.0


def say(name: str, text: str) -> None:
    """A line about a root."""
    print(f"{name}: {text}", file=sys.stderr, flush=True)


class Progress:
    """Condenses what debootstrap says, several lines per package, to a line per step and now and then one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = monotonic()
        self._step = -1
        self._packages = 0
        self._ended = threading.Event()
        self._clock = threading.Thread(target=self._remind, daemon=True)

    def __enter__(self) -> Progress:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._clock.join()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return monotonic() - self._started

    def line(self, text: str) -> None:
        """Take a line that debootstrap printed."""
        if text.startswith(_STEPS[self._step + 1][0]) and self._step + 2 < len(_STEPS):
            self._begin(self._step + 1)
        self._packages += text.startswith(_PER_PACKAGE)

    def last_step(self) -> None:
        """Debootstrap has ended."""
        self._begin(len(_STEPS) - 1)

    def _begin(self, step: int) -> None:
        self._step, self._packages = step, 0
        self._tell("")

    def _remind(self) -> None:
        """Debootstrap is silent for a minute here and there."""
        while not self._ended.wait(_EVERY_SECONDS):
            self._tell(f", {self._packages} done" if self._packages else "")

    def _tell(self, more: str) -> None:
        what = _STEPS[max(self._step, 0)][1]
        say(self._name, f"step {self._step + 1} of {len(_STEPS)}, {what}{more} ({self.seconds:.0f} s)")
