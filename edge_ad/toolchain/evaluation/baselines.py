"""What can be had without a network, on the same rows and by the same rules as the bundle.

No choice in here was made on labels, but for that of the position: it shows how much of the labels the place
in the file tells, and is chosen to fit them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import AlarmRuleEntry
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.rules import AlarmRule
from edge_ad.detect.scaler import fit_standard
from edge_ad.detect.window import sliding_windows, usable
from edge_ad.errors import DataError
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluation.tally import Alarms
from edge_ad.toolchain.parity import decide
from edge_ad.toolchain.report.baselines import mean_amplitude

Scores = NDArray[np.float64]
"""`(n_windows,)`; NaN where a window does not hold numbers."""

_LIMIT = LimitRule()
"""The notebook's: the 99th percentile times 1.5."""
_FIT_SHARE = 0.75
"""Of the training windows, the first ones; the limit comes from the others."""
_FEWEST_WINDOWS = 20
_RIDGE = 1e-6
"""Added to the variance of each channel, 1 after scaling: one that never changed must not divide by zero."""
_FOREST_LIMIT = 0.5
"""Where the paper, and the library's `contamination="auto"`, draws the line."""


@dataclass(frozen=True)
class Baseline:
    """A detector without a network."""

    name: str
    what: str
    """How it decides."""
    score: Callable[[NDArray[np.float32], NDArray[np.int64]], tuple[Scores, float]] | None = None
    """Of `(n_windows, window_length, n_channels)` scaled windows and the indices of those to learn from: the
    scores and their limit. None for one that no scores are needed for."""


def amplitude(windows: NDArray[np.float32], train: NDArray[np.int64]) -> tuple[Scores, float]:
    """Mean |z| of the window."""
    scores = mean_amplitude(windows)
    return scores, _LIMIT.limit(scores[train])


def t_squared(windows: NDArray[np.float32], train: NDArray[np.int64]) -> tuple[Scores, float]:
    """Mahalanobis distance (the root of Hotelling's T²) of the window's channel means.

    Mean and covariance are those of the first three quarters of the training windows; the limit comes from
    those that share no row with them, since what was fitted is too near to itself.
    """
    means = windows.mean(axis=1, dtype=np.float64)
    fitted = train[: int(len(train) * _FIT_SHARE)]
    held_back = train[train >= fitted[-1] + windows.shape[1]]
    if len(held_back) < _FEWEST_WINDOWS:
        held_back = train
    centre = means[fitted].mean(axis=0)
    covariance = np.cov(means[fitted], rowvar=False).reshape(len(centre), len(centre))
    inverse = np.linalg.inv(covariance + _RIDGE * np.eye(len(centre)))
    apart = means - centre
    with np.errstate(invalid="ignore"):
        scores: Scores = np.sqrt(np.einsum("ij,jk,ik->i", apart, inverse, apart))
    return scores, _LIMIT.limit(scores[held_back])


def isolation_forest(windows: NDArray[np.float32], train: NDArray[np.int64]) -> tuple[Scores, float]:
    """scikit-learn's isolation forest on all values of the window (Liu, Ting, Zhou 2008)."""
    from sklearn.ensemble import IsolationForest

    rows = windows.reshape(len(windows), -1)
    numbers = np.flatnonzero(np.isfinite(rows).all(axis=1))
    forest = IsolationForest(random_state=0).fit(rows[train])
    scores = np.full(len(rows), np.nan)
    scores[numbers] = -forest.score_samples(rows[numbers])
    return scores, _FOREST_LIMIT


ALWAYS_ON = Baseline("always on", "an alarm on every row")
POSITION = Baseline(
    "position alone", "an alarm between the two rows of every recording that fit the labels best"
)
BASELINES = (
    ALWAYS_ON,
    POSITION,
    Baseline("no model", "mean |z| of the window; limit as in the notebook", amplitude),
    Baseline(
        "isolation forest", "on the window's values, 100 trees, limit 0.5 as in its paper", isolation_forest
    ),
    Baseline(
        "T² alone",
        "distance of the window's channel means; fitted on 3/4 of the train span, limit from the rest",
        t_squared,
    ),
)


@dataclass(frozen=True)
class Learned:
    """A recording as the baselines see it: scaled by its own train span."""

    windows: NDArray[np.float32]
    train: NDArray[np.int64]
    """Indices of the whole windows in the train span."""


def learn(recording: Recording, whole: NDArray[np.bool_], window_length: int) -> Learned:
    """Scale a recording and find its training windows. Raises DataError where there are too few."""
    in_train = recording.in_train
    all_in_train = sliding_windows(in_train[:, np.newaxis], window_length).all(axis=(1, 2))
    train = np.flatnonzero(whole & all_in_train)
    if len(train) < _FEWEST_WINDOWS:
        raise DataError(
            f"{recording.name}: the train span of {recording.train_rows} rows has {len(train)} whole windows "
            f"of {window_length} rows, and the baselines need {_FEWEST_WINDOWS}: give a longer one with "
            "--train-rows, or --no-baselines"
        )
    learned = recording.samples[in_train]
    scaler = fit_standard(learned[usable(learned)])
    return Learned(sliding_windows(scaler.transform(recording.samples), window_length), train)


def baseline_alarms(
    baseline: Baseline,
    learned: Learned,
    recording: Recording,
    whole: NDArray[np.bool_],
    alarm: AlarmRuleEntry,
) -> dict[str, Alarms]:
    """Alarms on the test rows by both rules, of a baseline that scores."""
    if baseline.score is None:
        raise ValueError(f"{baseline.name} has no scores")
    scores, limit = baseline.score(learned.windows, learned.train)
    rule = AlarmRule(limit, alarm.k, alarm.n, alarm.clear_ratio)
    window_length = learned.windows.shape[1]
    found = decide(scores, whole, rule, window_length=window_length, tested=recording.tested)
    within = np.zeros(len(recording), bool)
    with np.errstate(invalid="ignore"):
        within[window_length - 1 :] = whole & (scores <= limit)
    leaderboard, streaming = found["leaderboard"], found["streaming"]
    return {
        "leaderboard": Alarms(leaderboard, ~leaderboard, alarm.hold_off_s),
        "streaming": Alarms(streaming, within[recording.tested] & ~streaming, alarm.hold_off_s),
    }
