"""Which other programs use the processor."""

from __future__ import annotations

import os

from edge_ad.bench.host import Host

_NAMED = 3
_LEAST_S = 0.05
_UTIME, _STIME, _PARENT = 14 - 3, 15 - 3, 4 - 3
"""Places of fields of a process's status among those from the third on; see proc(5)."""


def processor_seconds(host: Host) -> dict[tuple[int, str], float]:
    """Process id and name -> processor time so far, of everything but this process and its children."""
    found: dict[tuple[int, str], float] = {}
    own = os.getpid()
    per_s = os.sysconf("SC_CLK_TCK")
    for path in host.matches("/proc/[0-9]*/stat"):
        # the name is in brackets, and may hold both of these and blanks
        before, _, after = (host.text(path) or "").rpartition(")")
        pid, _, name = before.partition(" (")
        fields = after.split()
        try:
            seconds = (int(fields[_UTIME]) + int(fields[_STIME])) / per_s
            if own not in (int(pid), int(fields[_PARENT])):
                found[int(pid), name] = seconds
        except (ValueError, IndexError):  # it has ended meanwhile
            continue
    return found


def busiest(before: dict[tuple[int, str], float], after: dict[tuple[int, str], float]) -> list[str]:
    """Names of those that used most between two looks, the first the most; `sshd (4711), 2.1 s`."""
    used = {key: seconds - before.get(key, 0.0) for key, seconds in after.items()}
    most = sorted(used.items(), key=lambda item: -item[1])[:_NAMED]
    return [f"{name} ({pid}), {seconds:.1f} s" for (pid, name), seconds in most if seconds >= _LEAST_S]
