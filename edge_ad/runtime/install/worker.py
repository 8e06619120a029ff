"""Work that goes on when the connection breaks, and one that reads along what it says."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from edge_ad.errors import EdgeAdError
from edge_ad.files import make_durable_folder
from edge_ad.runtime.install.progress import Event, Say, from_line, to_line

_WAIT_S = 1800.0
_LOOK_EVERY_S = 0.05


def carry_out(folder: Path, work: Callable[[Say], None], output: TextIO) -> int:
    """Do `work` in a process of its own session; copy what it says to `output`; its exit code.

    Where this process ends early, the work goes on. Where another one is at work, it is waited for.
    """
    make_durable_folder(folder)
    log = folder / "log.ndjson"
    lock = _locked(folder / "lock", output)
    log.unlink(missing_ok=True)  # whoever still reads the former one has it open
    with log.open("w+") as file:
        worker = os.fork()
        if worker == 0:
            _work(log, work)
        os.close(lock)  # the worker holds it on
        return _follow(file, worker, output)


def _locked(path: Path, output: TextIO) -> int:
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _wait_for(lock, output)
        try:
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
        except FileNotFoundError:  # what was waited for has removed everything
            make_durable_folder(path.parent)
        os.close(lock)


def _wait_for(lock: int, output: TextIO) -> None:
    deadline, told = time.monotonic() + _WAIT_S, False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                text = "an earlier deployment is still at work on the board; its end is waited for"
                print(to_line(Event("", "note", text)), file=output, flush=True)
                told = True
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _work(log: Path, work: Callable[[Say], None]) -> None:
    """In the child; never returns."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        with log.open("a", buffering=1) as file:

            def say(event: Event) -> None:
                with contextlib.suppress(OSError):  # a full disk must not keep the board from being set right
                    print(to_line(event), file=file, flush=True)

            try:
                work(say)
                code = 0
                say(Event("", "end"))
            except EdgeAdError as error:
                code = error.exit_code
                say(Event("", "end", str(error), code))
            except BaseException:  # noqa: BLE001  whatever it was must reach the one who waits
                say(Event("", "end", traceback.format_exc(), 1))
    finally:
        os._exit(code)


def _follow(log: TextIO, worker: int, output: TextIO) -> int:
    rest, ended = "", False
    while True:
        chunk = log.read()
        *lines, rest = (rest + chunk).split("\n")
        for line in lines:
            print(line, file=output, flush=True)
            event = from_line(line)
            if event is not None and event.state == "end":
                return event.exit_code
        if ended:
            text = "what worked on the board was ended before it was done: deploy again"
            print(to_line(Event("", "end", text, 1)), file=output, flush=True)
            return 1
        ended = os.waitpid(worker, os.WNOHANG)[0] == worker
        if not chunk:
            time.sleep(_LOOK_EVERY_S)


def abandon_output() -> None:
    """Nobody reads any more; the work goes on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
