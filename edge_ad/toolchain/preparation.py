"""From a recording to what training and scoring need: scaler and windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.scaler import Scaler, fit_standard
from edge_ad.detect.window import CLOCK_ERROR_S, LARGEST_VALUE, sliding_windows, usable, whole_windows
from edge_ad.errors import DataError
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.workspace import BuildPlan

_FEWEST_TRAIN_WINDOWS = 20


@dataclass(frozen=True)
class Prepared:
    """A recording, scaled and cut into windows. Window `i` starts at row `i`."""

    recording: Recording
    scaler: Scaler
    windows: NDArray[np.float32]
    """`(n_windows, window_length, n_channels)` scaled; a view."""
    finite: NDArray[np.bool_]
    """`(n_windows,)`: the window holds usable values only, whatever its steps in time."""
    train: NDArray[np.int64]
    """Indices of the whole windows that lie in the train span."""


def prepare(recording: Recording, plan: BuildPlan) -> Prepared:
    """Fit the scaler on the train span and cut windows.

    Raises DataError where the train span has too few whole windows, or no whole one follows it.
    """
    length, rows = plan.settings.window_length, recording.train_rows
    if len(recording) < rows + length:
        raise DataError(
            f"{recording.name}: {len(recording)} rows leave fewer than {length} (one window) after the "
            f"train span of {rows}, so nothing to test on; set a shorter train span"
        )
    times, samples = recording.times, recording.samples
    whole = whole_windows(times[:rows], samples[:rows], length, plan.format.largest_gap_s)
    train = np.flatnonzero(whole)
    if len(train) < _FEWEST_TRAIN_WINDOWS:
        raise DataError(
            f"{recording.name}: the train span of {rows} rows has {len(train)} whole windows of {length} "
            f"rows, at least {_FEWEST_TRAIN_WINDOWS} are needed{_why_broken(recording, plan, slice(rows))}"
        )
    in_train = samples[:rows]
    if (in_train == in_train[0]).all():
        raise DataError(
            f"{recording.name}: no channel changes in the train span of {rows} rows, so there is nothing to "
            "learn; was the machine or its recorder off?"
        )
    scaler = fit_standard(in_train[usable(in_train)])
    windows = sliding_windows(scaler.transform(samples), length)
    finite = whole_windows(times, samples, length, np.inf)
    if not finite[rows:].any():
        raise DataError(
            f"{recording.name}: none of the windows after the train span of {rows} rows is whole, so nothing "
            f"could be judged{_why_broken(recording, plan, slice(rows, None))}"
        )
    return Prepared(recording, scaler, windows, finite, train)


def _why_broken(recording: Recording, plan: BuildPlan, rows: slice) -> str:
    bad = ~(np.abs(recording.samples[rows]) < LARGEST_VALUE)
    if bad.any():
        worst = int(bad.sum(axis=0).argmax())
        return f"; {bad.any(axis=1).sum()} rows miss a value, most in {recording.channels[worst].name!r}"
    longest = plan.format.largest_gap_s + CLOCK_ERROR_S
    gaps = int((np.diff(recording.times[rows]) > longest).sum())
    return f"; {gaps} steps in time exceed {plan.format.largest_gap_s:g} s" if gaps else ""
