"""Judging a converted model on a recording: the shipped detector on the shipped bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import BudgetEntry, ControlLimit
from edge_ad.detect.heads import Heads
from edge_ad.detect.limit import score_quantiles
from edge_ad.detect.rules import leaderboard_flags
from edge_ad.errors import InterpreterError
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.window_model import WindowModel
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.preparation import Prepared
from edge_ad.toolchain.workspace import BuildPlan


@dataclass(frozen=True)
class VariantResult:
    """What a variant makes of a recording. The test rows are those after the train span."""

    model: WindowModel
    limit: ControlLimit
    scores: NDArray[np.float64]
    """`(n_windows,)` score of the window starting at each row, each on its own; NaN where it holds no
    numbers."""
    streamed: NDArray[np.float64] | None
    """`(n_windows,)` the same as the stream had it, where a head follows; else None, as there is no
    difference."""
    contributions: NDArray[np.float32]
    """`(n_rows, n_channels)` shares of the score that the detector gave at each row; NaN where it gave
    none."""
    leaderboard: NDArray[np.bool_]
    """`(n_test,)` alarms under the leaderboard rule."""
    streaming: NDArray[np.bool_]
    """`(n_test,)` alarms of the streaming detector, which ran from the recording's first row on."""
    unknown: NDArray[np.bool_]
    """`(n_test,)` rows on which the streaming detector had no whole window."""
    latency_p50_us: float
    labels: NDArray[np.bool_] | None

    def confusion(self, alarms: NDArray[np.bool_]) -> Confusion | None:
        """Alarms on the test rows against their labels; None without labels."""
        return None if self.labels is None else confusion(self.labels, alarms)


def evaluate_variant(
    prepared: Prepared, plan: BuildPlan, content: bytes, *, stateful: bool, heads: Heads | None = None
) -> VariantResult:
    """Score all windows, set the UCL from the limit windows', and judge the test rows by both rules.

    `heads` are those of the model; None: it has none, and the plan's score is used.
    Raises InterpreterError where the model fails or scores a training window as not finite.
    """
    recording = prepared.recording
    model = WindowModel(content, prepared.scaler, heads or plan.settings.score, stateful=stateful)
    scores = np.full(len(prepared.windows), np.nan)
    finite = np.flatnonzero(prepared.finite)
    scores[finite] = model.scores_scaled(prepared.windows[finite])

    limit = control_limit(scores[prepared.limit], plan)
    detector = Detector(model, prepared.quality, plan.settings.alarm, ucl=limit.ucl)
    streamed = scores.copy()
    streaming, unknown, contributions = _stream(detector, prepared, streamed)
    tested, in_test = recording.tested, streamed[recording.tested[: len(scores)]]
    with np.errstate(invalid="ignore"):  # NaN > UCL is False, as it should be
        leaderboard = leaderboard_flags(in_test > limit.ucl, plan.settings.window_length, int(tested.sum()))
    return VariantResult(
        model=model,
        limit=limit,
        scores=scores,
        streamed=streamed if detector.follows else None,
        contributions=contributions,
        leaderboard=leaderboard,
        streaming=streaming[tested],
        unknown=unknown[tested],
        latency_p50_us=detector.latency.summary()["total"].p50_us,
        labels=None if recording.labels is None else recording.labels[tested],
    )


def stream_scores(decisions: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Of the arrays that are kept of an evaluation: the scores `(n_windows,)` that the stream had."""
    scores: NDArray[np.float64] = decisions.get("streamed", decisions["scores"])
    return scores


def control_limit(limit_scores: NDArray[np.float64], plan: BuildPlan) -> ControlLimit:
    """The UCL by the plan's rule, from `(n,)` scores of the limit windows. Raises InterpreterError."""
    rule = plan.settings.limit
    found = rule.find(limit_scores, plan.sampling)
    ucl = found.ucl
    if not np.isfinite(ucl) or ucl <= 0:
        raise InterpreterError(f"the training windows give a UCL of {ucl}: the model is unusable")
    quantiles = score_quantiles(limit_scores)
    budget = None
    if rule.kind != "percentile":
        budget = BudgetEntry(rule.kind, rule.budget, rule.tail_share, found.fallback)
    return ControlLimit(ucl, rule.percentile, rule.factor, len(limit_scores), quantiles, rule.digits, budget)


def _stream(
    detector: Detector, prepared: Prepared, scores: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]]:
    """Push the whole recording through the detector: alarms and unknown rows, each `(n_rows,)`, and the
    contributions `(n_rows, n_channels)`.

    Where a head follows, `scores` `(n_windows,)` become those of the stream; else they must be.
    """
    recording = prepared.recording
    alarms = np.zeros(len(recording), bool)
    unknown = np.ones(len(recording), bool)
    contributions = np.full(recording.samples.shape, np.nan, np.float32)
    length = prepared.windows.shape[1]
    samples = zip(recording.times.tolist(), recording.samples, strict=True)
    for row, (time, sample) in enumerate(samples):
        decision = detector.push(sample, time)
        if decision.score is None:
            continue
        alarms[row], unknown[row] = decision.alarm, False
        contributions[row] = decision.contributions
        if detector.follows:
            scores[row - length + 1] = decision.score
        elif decision.score != scores[row - length + 1]:
            raise InterpreterError(
                f"{recording.name}, row {row + 1}: the stream's score {decision.score!r} differs from "
                f"the window's {scores[row - length + 1]!r}: the model keeps state between windows"
            )
    return alarms, unknown, contributions
