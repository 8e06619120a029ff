"""A detector that keeps every sample and looks at all of them each time."""

from __future__ import annotations

import itertools
import math

CLOCK_ERROR = 1e-6


class NaiveGate:
    """Judges samples by lists of everything so far."""

    def __init__(self, rules, rate_block):
        self.rules = rules
        self.rate_block = rate_block
        self.rows = []  # (time, values, fault), but for those that are left out
        self.window = []  # the values that the window could be made of
        self.jump = None
        self.steps = []  # since the rate was last looked at
        self.off_rate = False

    def push(self, values, time, problem=None):
        """The kind of fault, or None; `self.window` is what is left of the window."""
        if problem is not None or not math.isfinite(time):
            self.window, self.jump = [], None
            return "unreadable"
        longest = self.rules.largest_gap_s + CLOCK_ERROR
        fault = self.fault_of(values)
        if self.rows:
            step = time - self.rows[-1][0]
            if not 0 < step <= longest:
                if self.jump is not None and 0 < time - self.jump[0] <= longest:
                    return self.begin_elsewhere(values, time, fault)
                if step == 0:
                    return "duplicate"
                if -longest <= step < 0:
                    return "late"
                self.jump = (time, values, fault)
                return "gap" if step > 0 else "clock-back"
            self.steps.append(step)
        self.jump = None
        self.rows.append((time, values, fault))
        if fault is None:
            fault = self.fault_of_many()
        self.window = [] if fault else [*self.window, values]
        return fault

    def begin_elsewhere(self, values, time, fault):
        """The time goes on from the sample before; the window holds the two at most."""
        both = [self.jump, (time, values, fault)]
        self.rows += both
        self.steps.append(time - self.jump[0])
        self.jump = None
        self.window = [row[1] for row in both if row[2] is None] if fault is None else []
        return fault

    def fault_of(self, values):
        rules = self.rules
        if len(values) != len(rules.names) or any(math.isnan(v) for v in values):
            return "missing"
        if any(not abs(v) < 1e30 for v in values):
            return "not-finite"
        inside = all(low <= v <= high for low, v, high in zip(rules.low, values, rules.high, strict=True))
        return None if inside else "out-of-range"

    def fault_of_many(self):
        if len(self.steps) >= self.rate_block:
            ratio = sum(self.steps) / len(self.steps) / self.rules.sample_period_s
            tolerated = 1 + self.rules.rate_tolerance
            self.off_rate = self.rules.rate_tolerance > 0 and not 1 / tolerated <= ratio <= tolerated
            self.steps = []
        for channel, flat_after in enumerate(self.rules.flat_after):
            if flat_after and len(self.rows) >= flat_after:
                last = [
                    row[1][channel] if len(row[1]) > channel else math.nan for row in self.rows[-flat_after:]
                ]
                if all(value == last[0] for value in last):
                    return "stuck"
        return "rate" if self.off_rate else None


def alarms(scores, ucl, k, n, clear_ratio):
    """`scores[i]` is a number or None (no score): the alarms of every prefix, by the rule's definition.

    A row without a score is forgotten along with all before it.
    """
    flags = []
    for i in range(len(scores)):
        since = next((j + 1 for j in range(i, -1, -1) if scores[j] is None), 0)
        here = scores[since : i + 1]
        flags.append(bool(here) and _alarm(here, ucl, k, n, clear_ratio))
    return flags


def _alarm(scores, ucl, k, n, clear_ratio):
    on = False
    for i, score in enumerate(scores):
        exceeding = sum(s > ucl for s in scores[max(0, i - n + 1) : i + 1])
        on = exceeding >= k or (on and score > ucl * clear_ratio)
    return on


def interpolated(times, values, at):
    """One channel at a moment between samples, in plain Python."""
    for (t0, v0), (t1, v1) in itertools.pairwise(zip(times, values, strict=True)):
        if t0 <= at <= t1:
            return v0 + (v1 - v0) * (at - t0) / (t1 - t0)
    return values[-1]
