"""How far a converted model's scores are from those of the network itself, window by window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import ProofEntry
from edge_ad.detect.fusion import Scoring
from edge_ad.runtime.window_model import WindowModel
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.stress import synthetic_anomalies
from edge_ad.toolchain.oracle import reconstruct, window_scores
from edge_ad.toolchain.preparation import Prepared
from edge_ad.toolchain.rounding import RankedError, float32_scores, rank_errors

NEAR = 10.0
"""Scores up to this many UCLs are near the limit. Far beyond it a relu network amplifies the rounding of
any float32 arithmetic, and every number says alarm."""
_MOST_WINDOWS, _MOST_STRESSED = 250, 40  # per set; windows that stress windows are made from
_LARGEST_ERROR = 1e300  # stands for a score that is lost: JSON has no infinity


def prove(
    model: WindowModel,
    architecture: Architecture,
    weights: Weights,
    prepared: Prepared,
    ucl: float,
    scoring: Scoring = "sum",
) -> tuple[ProofEntry, ...]:
    """Errors against the float64 oracle on training, test and stress windows."""
    return tuple(
        _entry(name, windows, model, architecture, weights, scoring, ucl)
        for name, windows in _window_sets(prepared).items()
    )


def rank_near_limit(
    model: WindowModel,
    architecture: Architecture,
    weights: Weights,
    prepared: Prepared,
    ucl: float,
    scoring: Scoring = "sum",
) -> tuple[RankedError, ...]:
    """Errors of a float32 form near the limit, beside those of the network itself in float32: for each of
    the same sets of windows, the ranks that decide.
    """
    ranked: list[RankedError] = []
    for windows in _window_sets(prepared).values():
        expected = window_scores(windows, reconstruct(architecture, weights, windows), scoring)
        near = expected <= NEAR * ucl
        if near.any():
            ours, expected = np.ascontiguousarray(windows[near]), expected[near]
            scale = np.maximum(expected, ucl)
            errors = _relative(model.scores_scaled(ours), expected, scale)
            rounded = (
                np.abs(float32_scores(architecture, weights, ours, scoring) - expected).max(axis=0) / scale
            )
            ranked += rank_errors(errors, rounded)
    return tuple(ranked)


def _window_sets(prepared: Prepared) -> dict[str, NDArray[np.float32]]:
    after = np.flatnonzero(prepared.finite)
    train = _some(prepared.windows[prepared.train], _MOST_WINDOWS)
    test = _some(prepared.windows[after[prepared.recording.tested[after]]], _MOST_WINDOWS)
    some = _some(train, _MOST_STRESSED)
    levels = np.array([1e2, -1e2, 1e4, -1e4, 1e6, -1e6], np.float32)
    return {
        "training": train,
        "test": test,
        "synthetic anomalies": synthetic_anomalies(some),
        "ten times the amplitude": some * np.float32(10),
        "zeros": np.zeros((1, *train.shape[1:]), np.float32),
        "extremes": np.broadcast_to(levels[:, None, None], (len(levels), *train.shape[1:])),
    }


def _some(windows: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """At most so many windows, evenly over all of them."""
    return windows[:: max(1, -(-len(windows) // most))]


def _entry(
    name: str,
    windows: NDArray[np.float32],
    model: WindowModel,
    architecture: Architecture,
    weights: Weights,
    scoring: Scoring,
    ucl: float,
) -> ProofEntry:
    expected = window_scores(windows, reconstruct(architecture, weights, windows), scoring)
    scale = np.maximum(expected, ucl)
    near = expected <= NEAR * ucl
    errors = _relative(model.scores_scaled(np.ascontiguousarray(windows)), expected, scale)
    rounded = window_scores(windows, reconstruct(architecture, weights, windows, dtype=np.float32), scoring)
    return ProofEntry(
        windows=name,
        n=len(windows),
        p50=float(np.median(errors)),
        p99=float(np.percentile(errors, 99)),
        maximum=float(errors.max()),
        near_maximum=float(errors[near].max(initial=0)),
        float32_maximum=float(_relative(rounded, expected, scale).max()),
    )


def _relative(
    scores: NDArray[np.float64], expected: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        errors = np.abs(scores - expected) / scale
    return np.where(np.isfinite(errors), errors, _LARGEST_ERROR)
