"""Data quality, asked of every sample before it may enter a window."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import ge, le
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.numbers import plain_numbers, seconds
from edge_ad.detect.window import CLOCK_ERROR_S, LARGEST_VALUE

FaultKind = Literal[
    "unreadable",
    "missing",
    "not-finite",
    "out-of-range",
    "stuck",
    "rate",
    "duplicate",
    "late",
    "gap",
    "clock-forward",
    "clock-back",
]
RATE_BLOCK = 256
"""Samples over which the mean step in time is taken."""
LOOK_EVERY = 64
"""Samples after which runs of equal values are looked at again, at the latest."""
_NEVER = 2**62
"""A number that no sample has."""
_LARGEST = math.nextafter(LARGEST_VALUE, 0)
"""What is usable ends below `LARGEST_VALUE`."""


@dataclass(frozen=True)
class QualityRules:
    """What a usable stream of samples looks like. Values in engineering units, one per channel."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    """Lowest plausible values; `-inf` where none is known."""
    high: tuple[float, ...]
    flat_after: tuple[int, ...]
    """After how many equal values in a row a sensor counts as stuck; 0: never."""
    sample_period_s: float
    """Nominal time between samples."""
    largest_gap_s: float
    """A longer step in time ends the window; a sample older than the newest by no more is late."""
    rate_tolerance: float
    """By how much the mean step in time may differ from the nominal one, as a factor less one; 0: by any."""


class Fault(NamedTuple):
    """Why a sample cannot simply be appended to the window."""

    kind: FaultKind
    detail: str
    breaks: bool
    """Whether the window up to here cannot go on."""
    new_window: tuple[tuple[tuple[float, ...], float], ...] = ()
    """Values and times of the samples with which a new window begins, this one last."""

    @property
    def reason(self) -> str:
        """`KIND: what exactly`."""
        return f"{self.kind}: {self.detail}"


class _Jump(NamedTuple):
    """A sample whose time lies elsewhere: believed when the next one confirms it."""

    time: float
    row: tuple[float, ...]
    good: bool
    kind: FaultKind
    detail: str


class SampleGate:
    """Lets samples pass that are whole, plausible and in order of time; says of others what is wrong.

    Time: a sample that repeats the newest time stamp is a duplicate, one that is older by at most the largest
    gap is late; both are left out and harm nothing. A step beyond the largest gap, forwards or backwards, is
    believed only when the next sample confirms it, so that a single stray time stamp harms nothing either.

    Constant memory: it remembers some tens of samples.
    """

    def __init__(self, rules: QualityRules) -> None:
        self.rules = rules
        self._low = tuple(max(low, -_LARGEST) for low in rules.low)
        self._high = tuple(min(high, _LARGEST) for high in rules.high)
        self._bounds = np.array([self._low, self._high])
        self._n_channels = len(rules.names)
        self._longest = rules.largest_gap_s + CLOCK_ERROR_S
        self._watched = [(c, n) for c, n in enumerate(rules.flat_after) if n]
        longest_run = max([n for _, n in self._watched], default=1)
        self._history: deque[tuple[float, ...]] = deque(maxlen=min(longest_run, LOOK_EVERY + 1))
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._jump: _Jump | None = None
        self._arrived: float | None = None
        self._last_time = -math.inf
        self._history.clear()
        self._n = 0
        """Samples so far, whatever their values, without those that were left out."""
        self._run_start = dict.fromkeys((c for c, _ in self._watched), 1)
        """Number of the sample that began a channel's present run of equal values, as of the last look."""
        self._looked_at = 1
        self._block_start = 1, -math.inf
        """Number and time of the sample since which the mean step in time is taken; moved on at a jump."""
        self._off_rate = ""
        self._plan_audit()

    def save(self) -> dict[str, Any]:
        """All that it remembers, as JSON values, for `restore`."""
        # After a look at the runs of equal values, nothing before the newest sample counts any more.
        if self._history:
            self._stuck()
            self._plan_audit()
        return {
            "jump": self._jump,
            "last_time": self._last_time,
            "last_row": self._history[-1] if self._history else None,
            "n": self._n,
            "run_start": list(self._run_start.items()),
            "looked_at": self._looked_at,
            "block_start": self._block_start,
            "off_rate": self._off_rate,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on where a gate of the same rules was saved: it decides as that one would have.

        But for one thing: when the newest sample arrived is not remembered, since no clock that is never set
        outlives the machine's restart. Raises KeyError, TypeError, ValueError for what no gate has saved.
        """
        self.reset()
        jump, row = saved["jump"], saved["last_row"]
        if jump is not None:
            time, values, good, kind, detail = jump
            self._jump = _Jump(float(time), tuple(map(float, values)), bool(good), kind, str(detail))
        if row is not None:
            self._history.append(tuple(map(float, row)))
        self._last_time, self._n = float(saved["last_time"]), int(saved["n"])
        self._run_start = {int(channel): int(number) for channel, number in saved["run_start"]}
        self._looked_at, self._off_rate = int(saved["looked_at"]), str(saved["off_rate"])
        number, time = saved["block_start"]
        self._block_start = int(number), float(time)
        self._plan_audit()

    def admit(
        self,
        sample: Sequence[float] | NDArray[np.floating],
        time: float,
        problem: str | None = None,
        arrived: float | None = None,
    ) -> tuple[float, ...] | Fault:
        """The sample as plain numbers where it continues the window, else what is wrong with it.

        `time` is in seconds since the epoch. `problem` says why a source could not read the sample;
        `arrived`, seconds of a clock that is never set, tells a gap from a clock that was set forward.
        """
        if type(time) is not float:
            time = seconds(time)
        try:
            kind = type(sample)
            if kind is list or kind is tuple:
                row = tuple(map(float, sample))
            elif isinstance(sample, np.ndarray) and kind is np.ndarray:
                row = tuple(sample.tolist())
            else:
                row = plain_numbers(sample)
            if (
                problem is None
                and 0 < time - self._last_time <= self._longest
                and all(map(le, self._low, row))
                and all(map(ge, self._high, row))
                and len(row) == self._n_channels
            ):
                self._last_time = time
                self._arrived = arrived
                self._jump = None
                self._history.append(row)
                self._n += 1
                return row if self._n < self._audit_at else self._audit(row)
        except (TypeError, ValueError, OverflowError):  # None among the values, text, no numbers at all
            pass
        return self._examine(plain_numbers(sample), time, problem, arrived)

    def admit_many(
        self, times: NDArray[np.float64], samples: NDArray[np.float64]
    ) -> tuple[int, Fault | None]:
        """Admit samples as long as they need no closer look: how many, and why it ended there.

        `times` is `(n,)`, `samples` `(n, n_channels)`. With a fault, the sample after those admitted has been
        judged as well; without one it has not, and is for `admit`.
        """
        n = self._n_plain(times, samples)
        rows = list(map(tuple, samples[:n].tolist()))
        if n:
            self._arrived = self._jump = None
        done = 0
        while done < n:
            step = min(n - done, max(1, self._audit_at - self._n))
            self._history.extend(rows[done : done + step])
            self._n += step
            done += step
            self._last_time = float(times[done - 1])
            if self._n >= self._audit_at and isinstance(found := self._audit(rows[done - 1]), Fault):
                return done - 1, found
        return n, None

    def _n_plain(self, times: NDArray[np.float64], samples: NDArray[np.float64]) -> int:
        """How many from the first on go on in time with plausible values."""
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.diff(times, prepend=self._last_time)
            plain = (steps > 0) & (steps <= self._longest)
            plain &= ((samples >= self._bounds[0]) & (samples <= self._bounds[1])).all(axis=1)
        return len(plain) if plain.all() else int(plain.argmin())

    # --- a closer look ------------------------------------------------------------------------------

    def _examine(
        self, row: tuple[float, ...], time: float, problem: str | None, arrived: float | None
    ) -> tuple[float, ...] | Fault:
        if problem is None and not math.isfinite(time):
            problem = "the time stamp is not a finite number"
        if problem is not None:
            self._jump = None
            return Fault("unreadable", problem, breaks=True)
        step = time - self._last_time
        fault = self._values_fault(row)
        if len(row) != self._n_channels:
            row = (math.nan,) * self._n_channels  # what is remembered has a value for each channel
        if 0 < step <= self._longest or self._last_time == -math.inf:
            self._jump = None
        elif self._jump is not None and 0 < time - self._jump.time <= self._longest:
            return self._confirm(self._jump, row, time, arrived, fault)
        elif step == 0:
            return Fault("duplicate", "left out, its time stamp repeats the one before", breaks=False)
        elif -self._longest <= step < 0:
            return Fault("late", f"left out, it is {-step:g} s older than the newest", breaks=False)
        else:
            kind, detail = self._jump_of(step, arrived)
            self._jump = _Jump(time, row, fault is None, kind, detail)
            return Fault(kind, detail, breaks=False)
        self._count(row, time, arrived)
        if fault is not None:
            return fault
        return row if self._n < self._audit_at else self._audit(row)

    def _count(self, row: tuple[float, ...], time: float, arrived: float | None) -> None:
        """Take note of a sample in order of time, whatever its values."""
        self._last_time = time
        self._arrived = arrived
        self._history.append(row)
        self._n += 1
        if self._n == 1:
            self._block_start = 1, time

    def _jump_of(self, step: float, arrived: float | None) -> tuple[FaultKind, str]:
        if step < 0:
            return "clock-back", f"{-step:g} s"
        waited = None if arrived is None or self._arrived is None else arrived - self._arrived
        if waited is not None and waited < step / 2:
            return "clock-forward", f"{step:g} s, within {waited:.3g} s"
        return "gap", f"{step:g} s, the largest allowed is {self.rules.largest_gap_s:g} s"

    def _confirm(
        self,
        jump: _Jump,
        row: tuple[float, ...],
        time: float,
        arrived: float | None,
        fault: Fault | None,
    ) -> Fault:
        """The time does go on elsewhere: a new window begins with the sample that said so first."""
        self._jump = None
        # The jump itself is no step of the stream's rate; a flat run is no matter of time.
        number, start = self._block_start
        self._block_start = number + 1, start + (jump.time - self._last_time)
        self._count(jump.row, jump.time, None)
        self._count(row, time, arrived)
        if fault is not None:
            return fault
        first = ((jump.row, jump.time),) if jump.good else ()
        return Fault(jump.kind, jump.detail, True, (*first, (row, time)))

    def _values_fault(self, row: tuple[float, ...]) -> Fault | None:
        if len(row) != self._n_channels:
            return Fault("missing", f"{len(row)} values for {self._n_channels} channels", breaks=True)
        channels = list(zip(self.rules.names, row, self._low, self._high, strict=True))
        missing = [name for name, value, _, _ in channels if value != value]  # noqa: PLR0124  NaN
        if missing:
            return Fault("missing", ", ".join(missing), breaks=True)
        infinite = [name for name, value, _, _ in channels if not abs(value) < LARGEST_VALUE]
        if infinite:
            return Fault("not-finite", ", ".join(infinite), breaks=True)
        outside = [
            f"{name} {value:g}, plausible is {low:g} to {high:g}"
            for name, value, low, high in channels
            if not low <= value <= high
        ]
        return Fault("out-of-range", "; ".join(outside), breaks=True) if outside else None

    # --- what shows over many samples only ----------------------------------------------------------

    def _audit(self, row: tuple[float, ...]) -> tuple[float, ...] | Fault:
        """Look back, at the first sample at which something can have come to pass."""
        self._check_rate()
        stuck = self._stuck()
        self._plan_audit()
        if stuck:
            return Fault("stuck", "; ".join(stuck), breaks=True)
        if self._off_rate:
            return Fault("rate", self._off_rate, breaks=True)
        return row

    def _plan_audit(self) -> None:
        block = self._block_start[0] + RATE_BLOCK if self.rules.rate_tolerance else _NEVER
        self._audit_at = min([block, *(self._run_start[c] + n - 1 for c, n in self._watched)])
        if self._watched:
            self._audit_at = min(self._audit_at, self._looked_at + LOOK_EVERY)
        if self._off_rate:
            self._audit_at = self._n + 1

    def _check_rate(self) -> None:
        number, time = self._block_start
        if self._n - number < RATE_BLOCK or not self.rules.rate_tolerance:
            return
        period, largest = self.rules.sample_period_s, 1 + self.rules.rate_tolerance
        mean = (self._last_time - time) / (self._n - number)
        fits = period / largest <= mean <= period * largest
        self._off_rate = "" if fits else f"a sample every {mean:.3g} s, nominal is {period:g} s"
        self._block_start = self._n, self._last_time

    def _stuck(self) -> list[str]:
        """What is to be said of every channel that has shown the same value for too long."""
        stuck = []
        # All channels, not only those that are due: then it is long before the next one can be.
        for c, flat_after in self._watched:
            value = self._history[-1][c]
            number = self._n
            # Back to the last look; a run that reaches it is the one that was known then.
            for row in islice(reversed(self._history), 1, self._n - self._looked_at + 1):
                if row[c] != value:
                    self._run_start[c] = number
                    break
                number -= 1
            if self._n - self._run_start[c] + 1 >= flat_after:
                stuck.append(f"{self.rules.names[c]} {value:g} for {flat_after} samples or more")
        self._looked_at = self._n
        return stuck
