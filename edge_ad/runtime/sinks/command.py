"""Every event, handed to a command: sinks of the kind `exec`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, Process
from dataclasses import dataclass

from edge_ad.runtime.events import Event
from edge_ad.runtime.sinks.sink import DeliveryError, EventSink, SinkContext
from edge_ad.text import printable

_TAIL = 4096
"""Bytes that are kept of what a command says."""
_LONGEST_SHOWN = 300
_END_WITHIN_S = 2.0


@dataclass(frozen=True)
class ExecOptions:
    """`kind = "exec"`: what is run for every event."""

    command: tuple[str, ...]
    """Program and arguments; no shell reads them."""
    timeout_s: float = 30.0
    """Seconds after which it is killed."""

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError('command must be a list with a program, such as ["/usr/local/bin/on-alarm"]')
        if any("\0" in word for word in self.command):
            raise ValueError("command must hold no NUL characters")
        if not 0.1 <= self.timeout_s <= 3600:
            raise ValueError("timeout_s must lie between 0.1 and 3600")


Options = ExecOptions


def open_sink(options: ExecOptions, context: SinkContext) -> Exec:
    """The sink; notes it where there is no such command now."""
    program = options.command[0]
    if shutil.which(program) is None:
        context.note("command", f"there is no command {program} that can be run; events wait until there is")
    return Exec(options)


class Exec(EventSink):
    """Runs the command with `Event.body` on its standard input; with exit status 0 it has the event.

    Its environment has `EDGE_AD_EVENT_ID`, `EDGE_AD_EVENT_ASSET`, `EDGE_AD_EVENT_CHANGE` and
    `EDGE_AD_EVENT_SEVERITY` (empty without one). What it writes to standard output is thrown away; the last
    line on standard error tells why it failed. It and what it started are killed when the time is over.
    """

    def __init__(self, options: ExecOptions) -> None:
        self._options = options
        self._running: set[Process] = set()
        self.longest_s = options.timeout_s + _END_WITHIN_S + 5

    async def deliver(self, event: Event) -> None:
        """Run the command to its end."""
        errors, its_end = os.pipe()
        body = os.memfd_create("event")
        try:
            with open(body, "r+b") as file:
                file.write(event.body.encode(errors="replace") + b"\n")  # so that a shell can read a line
                file.seek(0)
                process = await asyncio.create_subprocess_exec(
                    *self._options.command,
                    stdin=file,
                    stdout=DEVNULL,
                    stderr=its_end,
                    env=_environment() | _variables(event),
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            os.close(errors)
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DeliveryError(f"cannot run {self._options.command[0]}: {reason}") from error
        except BaseException:
            os.close(errors)
            raise
        finally:
            os.close(its_end)
        with _Tail(errors) as tail:
            await self._wait(process)
            if process.returncode:
                raise DeliveryError(f"{self._options.command[0]} {_ended(process.returncode)}{tail.read()}")

    async def close(self) -> None:
        """Kill what still runs."""
        for process in list(self._running):
            await _kill(process)

    async def _wait(self, process: Process) -> None:
        self._running.add(process)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await process.wait()
        except TimeoutError as error:
            text = f"{self._options.command[0]} had not ended after {self._options.timeout_s:g} s: killed"
            raise DeliveryError(text) from error
        finally:
            await _kill(process)
            self._running.discard(process)


class _Tail:
    """The last that is written into a pipe; what comes before it does not fill the memory."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._text = b""
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> _Tail:
        self._loop.add_reader(self._pipe, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)

    def read(self) -> str:
        """Its last line, after a colon; nothing where there is none."""
        self._take()
        lines = self._text.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {printable(last)[:_LONGEST_SHOWN]}" if last else ""

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            # bounded: one that never stops writing must not keep the loop
            for _ in range(64):
                piece = os.read(self._pipe, 65536)
                self._text = (self._text + piece)[-_TAIL:]
                if not piece:
                    self._loop.remove_reader(self._pipe)
                    return


async def _kill(process: Process) -> None:
    """End a command that still runs, with all that it started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN_S):
                await process.wait()


def _environment() -> dict[str, str]:
    """That of the agent, but for what the service's unit sets for Python's sake."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}


def _variables(event: Event) -> dict[str, str]:
    return {
        "EDGE_AD_EVENT_ID": event.id,
        "EDGE_AD_EVENT_ASSET": event.asset,
        "EDGE_AD_EVENT_CHANGE": event.change,
        "EDGE_AD_EVENT_SEVERITY": event.severity or "",
    }


def _ended(code: int) -> str:
    if code > 0:
        return f"ended with exit status {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
