"""Running a program that may hang, print without end or be missing."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

_LONGEST_OUTPUT = 4 << 20
_LAST_WAIT_S = 1.0
"""For a killed process; one that the kernel holds (a dead disk) is left behind."""


@dataclass(frozen=True)
class Answer:
    """How a program ended."""

    code: int | None
    """Its exit code, minus the signal's number where one ended it; None where it was too slow and killed."""
    text: str
    """What it printed on both streams; bytes that are no UTF-8 are replacement characters."""

    def values(self) -> dict[str, str]:
        """Its lines of the form `key=value`."""
        pairs = (line.partition("=") for line in self.text.splitlines())
        return {key.strip(): value.strip() for key, separator, value in pairs if separator}


class Command:
    """A program that was started. It is in a session of its own, so that its children go when it goes."""

    def __init__(self, words: Sequence[str], time_limit_s: float, *, with_errors: bool = True) -> None:
        """Raises OSError where it cannot be started. `with_errors`: whether stderr is part of the answer."""
        self._deadline = monotonic() + time_limit_s
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if with_errors else subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
        )

    def answer(self) -> Answer:
        """Wait for its end, or end it when its time is over."""
        output = self._process.stdout
        assert output is not None  # noqa: S101  it was asked for
        content, has_ended = bytearray(), False
        with output, selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while len(content) < _LONGEST_OUTPUT and selector.select(self._remaining_s()):
                chunk = os.read(output.fileno(), 1 << 16)
                if not chunk:
                    has_ended = True
                    break
                content += chunk
        code: int | None = None
        if has_ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(self._remaining_s())
        self.close()
        return Answer(code, content.decode(errors="replace"))

    def close(self) -> None:
        """End it and its children where it still runs."""
        if self._process.returncode is None:
            # Not waited for yet, so that its number cannot be another's by now.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_WAIT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _remaining_s(self) -> float:
        return max(0.0, self._deadline - monotonic())
