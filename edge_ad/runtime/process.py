"""Figures of this process, as the operating system keeps them."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_M_ARENA_MAX = -8
_START_TIME = 22 - 3
"""Place of the 22nd field of a process status among those from the third on; see proc(5)."""


def resident_bytes() -> int:
    """Resident set size now; the largest so far where the system tells no more."""
    return _status_bytes("VmRSS") or _rusage_peak_bytes()


def peak_resident_bytes() -> int:
    """Largest resident set size of this program so far."""
    return _status_bytes("VmHWM") or _rusage_peak_bytes()


def cpu_seconds() -> float:
    """Processor time that this process has used so far, in user and in system mode, all threads together."""
    return time.process_time()


def cold_start_s() -> float | None:
    """Seconds since this process was started, interpreter and imports included; None where not known.

    From Linux's process status, in steps of 1/100 s on nearly every machine. A program that another one
    became by exec counts from the start of that.
    """
    try:
        # The second field is the program's name in brackets, which may contain both of these and spaces.
        fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        started = int(fields[_START_TIME]) / ticks_per_s
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def share_one_heap() -> None:
    """Let all threads allocate from one heap: each further one would keep half a megabyte; see mallopt(3).

    Of effect for threads that are started afterwards; glibc only.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Collect garbage, and give the system what the C library keeps for later; see malloc_trim(3).

    Worth its milliseconds once a service has read all that it needs. What is there then is left out of later
    collections, which would take tens of milliseconds to look at it again and again.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Swallow what native libraries write to stderr on their own; Python's errors still come out."""
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, AttributeError):  # stderr is closed: nothing to swallow
        yield
        return
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; the number for a signal that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _status_bytes(key: str) -> int | None:
    """A line of Linux's process status; None on other systems."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _rusage_peak_bytes() -> int:
    # On Linux this also counts the program that started this one, until it was replaced by exec.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
