"""What a worker process is asked to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """One variant on one engine in one process."""

    bundle: str
    """As the user named it: a file, or `@ASSET`."""
    store: str | None
    """None for the machine's own."""
    engine: str
    variant: str
    threads: int
    windows: int
    """To count."""
    warmup: int
    """Uncounted windows at least."""
    time_limit_s: float
    """For the counted windows; there may be fewer of them then."""
    energy_s: float
    """Seconds of deciding without a pause while energy is measured; 0 for none."""
    started_ns: int
    """Before the process was started, on the clock that the system's processes share (CLOCK_MONOTONIC)."""
