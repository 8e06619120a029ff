"""Where an environment lies: on this machine, or in a root file system."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

from pi_rootfs import Machine, binfmt

Listener = Callable[[str], None]
_FOLDER = "/opt/test"
_TIME_LIMIT_S = 3600
"""Of one command. An hour is far beyond what any takes; without a limit a test that hangs would hang all."""


class StepFailed(Exception):
    """A command that did not end well, or a figure that is not as it should be."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Place:
    """A folder for an environment and what it is to work on, and programs that run there."""

    emulated = False
    """Whether another processor's instructions are translated."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        """As this side sees it."""
        self.cpu_s = 0.0
        """Processor seconds of all programs so far, which say more than a clock where others compute, too."""
        self._log = log

    def inside(self, path: Path) -> str:
        """A path below the folder as programs that run there see it."""
        return str(path)

    def run(
        self,
        argv: Sequence[object],
        *,
        listen: Listener | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        """Run a program to its end; what it printed.

        `listen` gets every line as it comes. Raises StepFailed, with what was printed, for a code but 0.
        """
        words = [self.inside(word) if isinstance(word, Path) else str(word) for word in argv]
        where = self.inside(cwd or self.folder)
        with self._log.open("a") as log, self._start(words, dict(env or {}), where) as process:
            log.write(f"$ {' '.join(words)}\n")
            assert process.stdout is not None
            timer = threading.Timer(_TIME_LIMIT_S, _kill, [process])
            timer.start()
            try:
                lines = _read(process.stdout, log, listen)
            except BaseException:
                _kill(process)
                raise
            finally:
                timer.cancel()
            code = self._ended(process)
        said = "".join(lines)
        if code:
            tail = "".join(lines[-80:])
            raise StepFailed(f"{' '.join(words)} ended with {code} ({self._log}):\n{tail}", code)
        return said

    def _ended(self, process: subprocess.Popen[str]) -> int:
        """Wait for its end, and count what it and all that it waited for took."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s += usage.ru_utime + usage.ru_stime
        return process.returncode

    def _start(self, words: list[str], env: dict[str, str], cwd: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            env=os.environ | env,
            cwd=cwd,
            start_new_session=True,
            **_OUTPUT,  # type: ignore[call-overload]
        )


class MachinePlace(Place):
    """A folder in a machine."""

    def __init__(self, machine: Machine, log: Path) -> None:
        super().__init__(machine.path / _FOLDER.lstrip("/"), log)
        self._machine = machine
        self.emulated = not binfmt.native(machine.recipe.architecture)
        self.folder.mkdir(parents=True)

    def inside(self, path: Path) -> str:
        """Without what leads into the machine."""
        root = self._machine.path
        return str(PurePosixPath("/") / path.relative_to(root)) if path.is_relative_to(root) else str(path)

    def _start(self, words: list[str], env: dict[str, str], cwd: str) -> subprocess.Popen[str]:
        return self._machine.popen(words, env=env, cwd=cwd, **_OUTPUT)


_OUTPUT = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "errors": "replace",
}


def _read(stream: IO[str], log: IO[str], listen: Listener | None) -> list[str]:
    lines = []
    for line in stream:
        lines.append(line)
        log.write(line)
        log.flush()
        if listen is not None:
            listen(line)
    return lines


def _kill(process: subprocess.Popen[str]) -> None:
    if process.returncode is None:  # not polled: whoever waits for it wants to know what it took
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
