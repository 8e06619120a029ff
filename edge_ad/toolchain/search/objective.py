"""What a candidate is worth: on normal rows with deviations put into them, or on the labels of some groups.

A candidate that keeps within the limits is worth its sensitivity, or its F1, which is not below zero; one
that does not is worth less than zero, by as much as it exceeds them (Deb, An efficient constraint handling
method for genetic algorithms, 2000). So the optimizer needs no more than a number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import DataError
from edge_ad.runtime.detector import Detector
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.evaluation.figures import figures
from edge_ad.toolchain.evaluation.inputs import header
from edge_ad.toolchain.evaluation.judging import judge_recording, stream_alarms
from edge_ad.toolchain.evaluation.tally import LabelledRows, Tally, tally
from edge_ad.toolchain.parity import RULES
from edge_ad.toolchain.search.deviations import KINDS, draw_deviations, with_deviation
from edge_ad.toolchain.workspace import BuildPlan

_LEARNED_SHARE = 0.75
"""Of a train span: its first rows are learned from, the others are held out."""
_FEWEST_HELD = 60
"""Rows: fewer leave no time to find anything in."""


@dataclass(frozen=True)
class Limits:
    """What a candidate must keep to; the table `[objective]` of a file."""

    max_false_share: float = 0.02
    """Without labels: largest share of the held-out normal rows that the stream may flag."""
    within_s: float = 60.0
    """Without labels: a deviation counts as found by an alarm that begins within this time."""
    max_far: float = 0.25
    """With labels: largest share of normal rows that either rule may flag."""
    max_mar: float = 0.2
    """With labels: largest share of anomalous rows that either rule may miss."""
    max_difference: float = 1.0
    """With labels: by how much the F1 of both rules may differ."""

    def __post_init__(self) -> None:
        for name in ("max_false_share", "max_far", "max_mar", "max_difference"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1")
        if not self.within_s > 0:
            raise ValueError("within_s must be above 0")


@dataclass(frozen=True)
class Worth:
    """What a candidate came to."""

    value: float
    """The larger the better; below zero where it exceeds a limit."""
    figures: dict[str, float | None]
    """By name; fractions, not percent."""

    @property
    def keeps_limits(self) -> bool:
        """Whether it may be chosen."""
        return self.value >= 0


@dataclass(frozen=True)
class Piece:
    """What a candidate did on one recording: counts that add up."""

    rules: dict[str, Tally]
    """By rule, on labelled rows."""
    deviations: tuple[tuple[str, bool], ...] = ()
    """Kind of each, and whether it was found in time."""

    def __add__(self, other: Piece) -> Piece:
        rules = {rule: self.rules[rule] + other.rules[rule] for rule in self.rules}
        return Piece(rules, self.deviations + other.deviations)


@dataclass(frozen=True)
class NormalObjective:
    """Normal operation only: the labels, and all rows behind the train span, are not read into it.

    A detector learns from the first three quarters of the train span. The rest is held out: of it as it is,
    the stream may flag a small share; with a deviation in it, an alarm is to begin in time.
    """

    limits: Limits
    seed: int

    def read(self, path: Path, recording_format: RecordingFormat, name: str) -> Recording:
        """A recording's train span, its last rows held out; without labels. Raises DataError."""
        whole = read_recording(path, replace(recording_format, label_column=None), name)
        n = whole.train_rows
        learned = int(n * _LEARNED_SHARE)
        if n - learned < _FEWEST_HELD:
            raise DataError(
                f"{path}: a train span of {n} rows leaves {n - learned} to hold out, at least {_FEWEST_HELD} "
                "are needed to search without labels: state a longer one in the format, or name groups with "
                "--labels-of"
            )
        cut = replace(
            whole, times=whole.times[:n], samples=whole.samples[:n], in_train=np.arange(n) < learned
        )
        return replace(cut, sha256=recording_digest(cut))

    def measure(self, detector: Detector, recording: Recording, plan: BuildPlan) -> Piece:
        """Judge a detector on the held-out rows. Raises InterpreterError."""
        tested, settings = recording.tested, plan.settings
        replay = detector.replay(recording.samples, recording.times)
        normal = stream_alarms(replay, detector.ucl, tested, settings.alarm.hold_off_s)
        held = LabelledRows(
            recording.times[tested],
            np.zeros(int(tested.sum()), bool),
            None,
            plan.format.sample_period_s,
        )
        # two windows are as good as all of it and a third of the work, but for a center that follows for long
        follows = settings.detector is not None and any(head.follow for head in settings.detector.heads)
        lead = recording.train_rows if follows else 2 * settings.window_length
        found = []
        for deviation in draw_deviations(recording, self.seed):
            first = max(0, recording.train_rows - lead)
            detector.reset()
            samples = with_deviation(recording, deviation)
            alarms = detector.replay(samples[first:], recording.times[first:]).alarms
            times = recording.times[first:]
            found.append((deviation.kind, self._in_time(alarms, times, deviation.start - first)))
        detector.reset()
        return Piece({"streaming": tally(held, normal)}, tuple(found))

    def _in_time(self, alarms: NDArray[np.bool_], times: NDArray[np.float64], start: int) -> bool:
        """Whether an alarm begins after the start and soon; one that was on already is no merit."""
        begins = np.flatnonzero(alarms[start:] & ~alarms[start - 1 : -1])
        return bool(len(begins)) and bool(times[start + begins[0]] - times[start] <= self.limits.within_s)

    def judge(self, pieces: Sequence[Piece]) -> Worth:
        """Sum up."""
        together = reduce(add, pieces)
        held = figures(together.rules["streaming"])
        share = held.far or 0.0
        by_kind = {kind: _share([found for of, found in together.deviations if of == kind]) for kind in KINDS}
        sensitivity = _share([found for _, found in together.deviations]) or 0.0
        above = share - self.limits.max_false_share
        return Worth(
            sensitivity if above <= 0 else -above,
            {
                "sensitivity": sensitivity,
                "false_share": share,
                "false_per_hour": held.false_per_hour,
                **{f"found_{kind}": found for kind, found in by_kind.items()},
            },
        )

    def text(self) -> str:
        """What it is, for those who read a figure that was chosen by it."""
        return (
            f"largest share of synthetic deviations that are found within {self.limits.within_s:g} s, with "
            f"at most {100 * self.limits.max_false_share:g} % of the held-out normal rows flagged; no "
            "labels, and no rows behind the train spans"
        )


@dataclass(frozen=True)
class LabelObjective:
    """Labels of the groups that were named; the recordings of other groups are not opened."""

    limits: Limits

    def read(self, path: Path, recording_format: RecordingFormat, name: str) -> Recording:
        """A recording with its labels. Raises DataError where it has none."""
        recording = read_recording(path, recording_format, name)
        if recording.labels is None:
            column = recording_format.label_column
            raise DataError(
                f"{path} has no column {column!r} of labels, and --labels-of asks for them; line 1 has: "
                f"{', '.join(header(path, recording_format.input))}"
                if column
                else f"{path}: the format names no column of labels (label_column), and --labels-of asks "
                "for them"
            )
        return recording

    def measure(self, detector: Detector, recording: Recording, plan: BuildPlan) -> Piece:
        """Judge a detector as `edge-ad evaluate` does. Raises InterpreterError."""
        tested, labels = recording.tested, recording.labels
        assert labels is not None  # noqa: S101  `read` has seen to it
        rows = LabelledRows(recording.times[tested], labels[tested], None, plan.format.sample_period_s)
        settings = plan.settings
        judged = judge_recording(detector, recording, settings.window_length, settings.alarm.hold_off_s)
        return Piece({rule: tally(rows, judged.alarms[rule]) for rule in RULES})

    def judge(self, pieces: Sequence[Piece]) -> Worth:
        """Sum up."""
        together = reduce(add, pieces)
        found = {rule: figures(together.rules[rule]) for rule in RULES}
        f1 = {rule: found[rule].f1 or 0.0 for rule in RULES}
        far, mar = ([getattr(found[rule], name) or 0.0 for rule in RULES] for name in ("far", "mar"))
        difference = max(f1.values()) - min(f1.values())
        above = sum(max(0.0, value - self.limits.max_far) for value in far)
        above += sum(max(0.0, value - self.limits.max_mar) for value in mar)
        above += max(0.0, difference - self.limits.max_difference)
        mean = sum(f1.values()) / len(f1)
        return Worth(
            mean if above <= 0 else -above,
            {
                "mean_f1": mean,
                **{
                    f"{rule}_{name}": getattr(found[rule], name)
                    for rule in RULES
                    for name in ("f1", "far", "mar")
                },
                "found_soon": found["streaming"].found_soon,
                "false_per_hour": found["streaming"].false_per_hour,
            },
        )

    def text(self) -> str:
        """What it is, for those who read a figure that was chosen by it."""
        near = self.limits.max_difference
        apart = f" and F1 of both at most {near:g} apart" if near < 1 else ""
        return (
            f"largest mean F1 of both rules, with FAR at most {100 * self.limits.max_far:g} % and MAR at "
            f"most {100 * self.limits.max_mar:g} % under each{apart}"
        )


Objective = NormalObjective | LabelObjective


def recording_digest(recording: Recording) -> str:
    """SHA-256 of a recording's times, samples and, where it has them, labels."""
    digest = hashlib.sha256()
    for array in (recording.times, recording.samples, recording.in_train):
        digest.update(np.ascontiguousarray(array).tobytes())
    if recording.labels is not None:
        digest.update(recording.labels.tobytes())
    return digest.hexdigest()


def _share(found: list[bool]) -> float | None:
    return sum(found) / len(found) if found else None
