"""A budget of false alarms, and how much normal operation it takes to promise one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_SECONDS = {"hour": 3600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_592_000.0, "year": 31_536_000.0}
_FORM = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) per (hour|day|week|month|year)")


@dataclass(frozen=True)
class Sampling:
    """How the windows of a stream follow one another: one at every sample."""

    period_s: float
    window_length: int


@dataclass(frozen=True)
class Budget:
    """At most so many false alarms in so much time of normal operation."""

    text: str
    """`1 per week`; hour, day, week, month (of 30 days) and year (of 365) are known."""

    def __post_init__(self) -> None:
        if not _FORM.fullmatch(self.text) or self.per_second <= 0:
            raise ValueError(
                f"budget is {self.text[:40]!r}; it must read like '1 per week': a number above zero, then "
                f"per {', '.join(_SECONDS)}"
            )

    @property
    def per_second(self) -> float:
        """False alarms per second."""
        number, span = self.text.split(" per ")
        return float(number) / _SECONDS[span]

    def rate(self, sampling: Sampling) -> float:
        """The largest share of normal windows that may exceed the limit.

        As if every exceedance were an alarm of its own: windows overlap, so that exceedances come in runs,
        and an alarm takes several of them. The true number of alarms is smaller. Raises ValueError where the
        budget asks for nothing.
        """
        rate = self.per_second * sampling.period_s
        if rate > 0.5:
            raise ValueError(
                f"a budget of {self.text} is more than every second window at a sample each "
                f"{sampling.period_s:g} s: that is no limit"
            )
        return rate

    def rows_needed(self, sampling: Sampling) -> int:
        """Samples of normal operation whose windows can show that the rate is kept.

        `n` windows that tell of each other nothing support no rate below `1 / (n + 1)`; only windows that
        share no sample count as such.
        """
        return math.ceil(sampling.window_length * (1 / self.rate(sampling) - 1))

    def doubt(self, n_windows: int, sampling: Sampling, *, stretch: float = 1.0) -> str:
        """Why so many limit windows cannot promise it, in words; empty where they can.

        `stretch` is how far beyond what the windows show the limit may be extrapolated.
        """
        needed = math.ceil(self.rows_needed(sampling) / stretch)
        if n_windows >= needed:
            return ""
        apart = n_windows // sampling.window_length
        supported = (apart + 1) * sampling.period_s
        return (
            f"{n_windows:,} windows ({apart:,} that share no sample) cannot promise {self.text}: they "
            f"support no less than one false alarm in {_duration(supported)}; {self.text} takes "
            f"{needed:,} rows of normal operation, {_duration(needed * sampling.period_s)}"
        )


def _duration(seconds: float) -> str:
    for name, size in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
