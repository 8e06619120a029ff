"""From a recording to what training and scoring need: scaler and windows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import MAX_FLAT_AFTER, Channel
from edge_ad.detect.admitted import admitted_windows
from edge_ad.detect.budget import Budget
from edge_ad.detect.quality import QualityRules
from edge_ad.detect.scaler import Scaler, fit_scaler
from edge_ad.detect.window import CLOCK_ERROR_S, LARGEST_VALUE, sliding_windows, usable, usable_windows
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.runtime.detector import quality_rules
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import BuildPlan

_FEWEST_TRAIN_WINDOWS = 20
_SHORTEST_FLAT_RUN = 60
"""Fewer equal values in a row never count as stuck, however lively a channel is in the train span."""


@dataclass(frozen=True)
class Prepared:
    """A recording, scaled and cut into windows. Window `i` starts at row `i`."""

    recording: Recording
    scaler: Scaler
    windows: NDArray[np.float32]
    """`(n_windows, window_length, n_channels)` scaled; a view."""
    finite: NDArray[np.bool_]
    """`(n_windows,)`: the window holds usable values only, whatever its steps in time."""
    whole: NDArray[np.bool_]
    """`(n_windows,)`: a detector that reads the recording from its first row on scores the window."""
    train: NDArray[np.int64]
    """Indices of the whole windows that lie in the train span."""
    fit: NDArray[np.int64]
    """Those of `train` that network and heads are fitted on."""
    limit: NDArray[np.int64]
    """Those of `train` that the limit is set by: all of them, or those that follow `fit` after a gap of a
    window."""
    channels: tuple[Channel, ...]
    """Those of the format, each with the longest flat run that is plausible."""
    quality: QualityRules


def prepare(recording: Recording, plan: BuildPlan) -> Prepared:
    """Fit the scaler on the train span and cut windows.

    Raises DataError where the train span has too few whole windows, or no whole one follows it, and
    ConfigurationError where a head is to look at channels that there are not.
    """
    length, rows = plan.settings.window_length, recording.train_rows
    in_train, tested = recording.in_train, recording.tested
    if plan.settings.limit.budget:
        try:
            Budget(plan.settings.limit.budget).rate(plan.sampling)
        except ValueError as error:
            raise ConfigurationError(f"[limit]: {error}") from error
    if plan.settings.detector is not None:
        plan.settings.detector.check([channel.name for channel in recording.channels], length)
    if plan.format.train.share is not None and length > 1:
        raise DataError(
            f"{recording.name}: rows drawn at random make no windows of {length}; split by time, or use "
            "--window 1"
        )
    if len(recording) < rows + length:
        raise DataError(
            f"{recording.name}: {len(recording)} rows leave fewer than {length} (one window) after the "
            f"train span of {rows}, so nothing to test on; set a shorter train span"
        )
    times, samples = recording.times, recording.samples
    channels = _with_flat_runs(recording.channels, samples[in_train])
    quality = quality_rules(
        channels,
        sample_period_s=plan.format.sample_period_s,
        largest_gap_s=plan.format.largest_gap_s,
        rate_tolerance=plan.format.rate_tolerance,
    )
    whole = admitted_windows(quality, times, samples, length)
    train = np.flatnonzero(whole & sliding_windows(in_train[:, np.newaxis], length).all(axis=(1, 2)))
    if len(train) < _FEWEST_TRAIN_WINDOWS:
        raise DataError(
            f"{recording.name}: the train span of {rows} rows has {len(train)} whole windows of {length} "
            f"rows, at least {_FEWEST_TRAIN_WINDOWS} are needed{_why_broken(recording, quality, in_train)}"
        )
    learned = samples[in_train]
    if (learned == learned[0]).all():
        raise DataError(
            f"{recording.name}: no channel changes in the train span of {rows} rows, so there is nothing to "
            "learn; was the machine or its recorder off?"
        )
    plausible = ((learned >= quality.low) & (learned <= quality.high)).all(axis=1)
    scaler = fit_scaler(plan.settings.scaler, learned[usable(learned) & plausible])
    windows = sliding_windows(scaler.transform(samples), length)
    finite = usable_windows(samples, length)
    if not finite[tested[: len(finite)]].any():
        raise DataError(
            f"{recording.name}: none of the windows after the train span of {rows} rows is whole, so nothing "
            f"could be judged{_why_broken(recording, quality, tested)}"
        )
    fitted_on, limited_by = _fit_and_limit(train, plan.settings, recording.name)
    return Prepared(
        recording, scaler, windows, finite, whole, train, fitted_on, limited_by, channels, quality
    )


def _fit_and_limit(
    train: NDArray[np.int64], settings: BuildSettings, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the train span's windows, `(n,)` first rows in order of time, as the settings say."""
    if settings.fit_share == 1:
        return train, train
    fit = train[: int(len(train) * settings.fit_share)]
    # the last fit window, and then a whole one between the two parts
    first = fit[-1] + 2 * settings.window_length if len(fit) else 0
    behind = train[train >= first]
    if min(len(fit), len(behind)) < _FEWEST_TRAIN_WINDOWS:
        raise DataError(
            f"{name}: a fit_share of {settings.fit_share:g} leaves {len(fit)} windows to fit on and, after a "
            f"gap, {len(behind)} for the limit, at least {_FEWEST_TRAIN_WINDOWS} are needed of each: record "
            "more normal operation, or change the share"
        )
    return fit, train if settings.limit_on == "train-span" else behind


def _with_flat_runs(channels: tuple[Channel, ...], train: NDArray[np.float64]) -> tuple[Channel, ...]:
    """The channels, each with its limit of equal values in a row, where the format states none.

    Ten times the longest run of the train span, `(n, n_channels)`; none for one that never changes.
    """
    return tuple(
        channel
        if channel.flat_after is not None
        else dataclasses.replace(channel, flat_after=_flat_limit(column))
        for channel, column in zip(channels, train.T, strict=True)
    )


def _flat_limit(values: NDArray[np.float64]) -> int:
    changes = np.flatnonzero(np.diff(values) != 0)
    if not len(changes):
        return 0
    longest = int(np.diff(np.concatenate([[-1], changes, [len(values) - 1]])).max())
    return min(max(_SHORTEST_FLAT_RUN, 10 * longest), MAX_FLAT_AFTER)


def _why_broken(recording: Recording, rules: QualityRules, rows: NDArray[np.bool_]) -> str:
    bad = ~(np.abs(recording.samples[rows]) < LARGEST_VALUE)
    if bad.any():
        worst = int(bad.sum(axis=0).argmax())
        return f"; {bad.any(axis=1).sum()} rows miss a value, most in {recording.channels[worst].name!r}"
    outside = (recording.samples[rows] < rules.low) | (recording.samples[rows] > rules.high)
    if outside.any():
        worst = int(outside.sum(axis=0).argmax())
        name = recording.channels[worst].name
        return f"; {outside.any(axis=1).sum()} rows leave the plausible range, most in {name!r}"
    longest = rules.largest_gap_s + CLOCK_ERROR_S
    gaps = int((np.diff(recording.times[rows]) > longest).sum())
    return f"; {gaps} steps in time exceed {rules.largest_gap_s:g} s" if gaps else ""
