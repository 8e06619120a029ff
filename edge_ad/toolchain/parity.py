"""The parity gate: does a converted or smaller model still make the same decisions?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import CheckEntry
from edge_ad.detect.rules import AlarmRule, leaderboard_flags
from edge_ad.toolchain.bootstrap import BootstrapSettings, f1_drop_interval
from edge_ad.toolchain.episodes import detection_delays, matched_episodes
from edge_ad.toolchain.metrics import confusion
from edge_ad.toolchain.rounding import FACTOR, RankedError, judge, rank_errors
from edge_ad.toolchain.settings import Margins

Flags = NDArray[np.bool_]

ExactScores = Callable[[str, NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Asset and indices of windows -> their scores in float64, and how far off float32 itself is: `(n,)` each."""

RULES = ("leaderboard", "streaming")
_FEWEST_EXACT = 2000  # windows whose float32 error is looked up, where any is


@dataclass(frozen=True)
class AssetDecisions:
    """Decisions of one model (or variant) on the test rows of one asset."""

    asset: str
    alarms: dict[str, NDArray[np.bool_]]
    """Rule -> `(n_test,)`."""
    labels: NDArray[np.bool_] | None


@dataclass(frozen=True)
class AssetScores:
    """Scores `(n_windows,)` of one variant on one asset, and its UCL."""

    asset: str
    scores: NDArray[np.float64]
    ucl: float


@dataclass(frozen=True)
class AssetFigure:
    """How one asset fared in a comparison."""

    asset: str
    agreement: float
    """Share of rows decided alike, the worse of the two rules."""
    f1_drop: float | None
    """Under the streaming rule; None without labels or anomalies."""


@dataclass(frozen=True)
class Verdict:
    """The gate's answer for one comparison over all assets of a build."""

    subject: str
    """What was judged: `tiny-int8`."""
    reference: str
    checks: tuple[CheckEntry, ...]
    assets: tuple[AssetFigure, ...] = ()
    """Every asset on its own, the worst first."""
    note: str = ""
    """For people: why a limit is not the one that was set."""

    @property
    def passed(self) -> bool:
        """Whether every figure is within its margin."""
        return all(check.passed for check in self.checks)


def compare_decisions(
    subject: str,
    reference: str,
    decisions: list[AssetDecisions],
    reference_decisions: list[AssetDecisions],
    margins: Margins,
    bootstrap: BootstrapSettings,
) -> Verdict:
    """Compare alarms row by row and episode by episode; where there are labels, also F1 (with its
    interval), FAR, MAR and detection delay over all assets.
    """
    checks: list[CheckEntry] = []
    for rule in RULES:
        pairs = [
            (ours.labels, ours.alarms[rule], theirs.alarms[rule])
            for ours, theirs in zip(decisions, reference_decisions, strict=True)
        ]
        agreed = sum(int((ours == theirs).sum()) for _, ours, theirs in pairs)
        agreement = agreed / sum(len(ours) for _, ours, _ in pairs)
        checks.append(_at_least(reference, "agreement", rule, agreement, margins.min_agreement))
        matched, total = np.sum(
            [matched_episodes(ours, theirs) for _, ours, theirs in pairs], axis=0
        ).tolist()
        share = matched / total if total else 1.0
        checks.append(_at_least(reference, "episode_agreement", rule, share, margins.min_episode_agreement))
        labelled = [(labels, ours, theirs) for labels, ours, theirs in pairs if labels is not None]
        if labelled:
            checks += _quality_checks(reference, rule, labelled, margins, bootstrap)
    assets = _asset_figures(decisions, reference_decisions)
    worst = min(figure.agreement for figure in assets)
    checks.append(_at_least(reference, "asset_agreement", "-", worst, margins.min_asset_agreement))
    return Verdict(subject, reference, tuple(checks), assets)


def _asset_figures(
    decisions: list[AssetDecisions], reference_decisions: list[AssetDecisions]
) -> tuple[AssetFigure, ...]:
    figures = []
    for ours, theirs in zip(decisions, reference_decisions, strict=True):
        agreement = min(float((ours.alarms[rule] == theirs.alarms[rule]).mean()) for rule in RULES)
        drop = None
        if ours.labels is not None:
            f1, reference = (confusion(ours.labels, side.alarms["streaming"]).f1 for side in (ours, theirs))
            drop = _relative_drop(reference, f1)
        figures.append(AssetFigure(ours.asset, agreement, drop))
    return tuple(sorted(figures, key=lambda figure: (figure.agreement, figure.asset)))


def _quality_checks(
    reference: str,
    rule: str,
    labelled: list[tuple[Flags, Flags, Flags]],
    margins: Margins,
    bootstrap: BootstrapSettings,
) -> list[CheckEntry]:
    ours = reduce(add, (confusion(labels, alarms) for labels, alarms, _ in labelled))
    theirs = reduce(add, (confusion(labels, alarms) for labels, _, alarms in labelled))
    checks = []
    drop = _relative_drop(theirs.f1, ours.f1)
    if drop is not None:
        low, high = f1_drop_interval(labelled, bootstrap)
        # Resampling a handful of rows can leave the estimate outside; it is part of the evidence.
        low, high = min(low, drop), max(high, drop)
        passed = high <= margins.f1_drop
        checks.append(CheckEntry(reference, "f1_drop", rule, drop, margins.f1_drop, passed, low, high))
    for figure, value, limit in (
        ("far_rise", _rise(theirs.far, ours.far), margins.far_rise),
        ("mar_rise", _rise(theirs.mar, ours.mar), margins.mar_rise),
        ("delay_shift", _delay_shift(labelled), margins.delay_shift),
    ):
        if value is not None:
            checks.append(CheckEntry(reference, figure, rule, value, limit, value <= limit))
    return checks


def _delay_shift(labelled: list[tuple[Flags, Flags, Flags]]) -> float | None:
    """Mean lateness in samples over the anomalies that both detect; None where there are none."""
    shifts = [
        our_delay - their_delay
        for labels, ours, theirs in labelled
        for our_delay, their_delay in zip(
            detection_delays(labels, ours), detection_delays(labels, theirs), strict=True
        )
        if our_delay is not None and their_delay is not None
    ]
    return sum(shifts) / len(shifts) if shifts else None


def compare_scoring(
    subject: str, reference: str, pairs: list[tuple[AssetScores, AssetScores]], margins: Margins
) -> Verdict:
    """Do both rank windows alike, and do their limits lie alike?

    Scores above ten times the UCL rank as equal: up there they say how float32 rounds.
    """
    correlation = sum(_rank_correlation(ours, theirs) for ours, theirs in pairs) / len(pairs)
    shift = _worst(abs(ours.ucl / theirs.ucl - 1) for ours, theirs in pairs)
    limit = margins.ucl_shift
    checks = (
        _at_least(reference, "rank_correlation", "-", correlation, margins.min_rank_correlation),
        CheckEntry(reference, "ucl_shift", "-", shift, limit, shift <= limit),
    )
    return Verdict(subject, reference, checks)


def _rank_correlation(ours: AssetScores, theirs: AssetScores) -> float:
    """Spearman's rho, equal scores sharing their mean rank.

    0 where one lacks a score that the other has, or ranks nothing while the other does; 1 where there is
    nothing to rank in either.
    """
    scored = np.isfinite(ours.scores)
    if not np.array_equal(scored, np.isfinite(theirs.scores)):
        return 0.0
    first, second = (_ranks(np.fmin(side.scores[scored], 10 * side.ucl)) for side in (ours, theirs))
    flat = [len(np.unique(ranks)) < 2 for ranks in (first, second)]
    if any(flat):
        return float(all(flat))
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = counts.cumsum() - (counts - 1) / 2
    return means[places]


def _worst(values: Iterable[float]) -> float:
    """The largest value; what is no number is as large as can be."""
    return max(value if math.isfinite(value) else float(np.finfo(np.float64).max) for value in values)


def compare_scores(
    subject: str,
    reference: str,
    pairs: list[tuple[AssetScores, AssetScores]],
    margin: float,
    exact: ExactScores | None = None,
) -> Verdict:
    """Largest difference of a window's score, relative to the larger of reference score and UCL.

    Windows that score above ten times the UCL in both are left out: they exceed it on any machine,
    and a relu network that far out of its range amplifies the rounding of either side. Where the rounding
    matters near the limit as well, `exact` tells how much: see `judge_scores`.
    """
    ranked: list[RankedError] = []
    for ours, theirs in pairs:
        # a score that only one of them has is as wrong as can be
        if (np.isfinite(ours.scores) != np.isfinite(theirs.scores)).any():
            ranked.append(RankedError(float(np.finfo(np.float64).max), 0.0))
            continue
        with np.errstate(invalid="ignore"):
            near = np.flatnonzero(np.minimum(theirs.scores, ours.scores) <= 10 * theirs.ucl)
        scale = np.maximum(theirs.scores[near], theirs.ucl)
        errors = np.abs(ours.scores[near] - theirs.scores[near]) / scale
        own = np.zeros(len(near))
        n_over = int((errors > margin).sum())
        if n_over and exact is not None:
            largest = np.argsort(errors)[-max(2 * n_over, _FEWEST_EXACT) :]
            expected, rounding = exact(ours.asset, near[largest])
            # The reference was computed in float32 as well.
            theirs_own = np.abs(theirs.scores[near[largest]] - expected)
            own[largest] = np.maximum(rounding, theirs_own) / scale[largest]
        ranked += rank_errors(errors, own)
    return judge_scores(subject, reference, ranked, margin)


def judge_scores(subject: str, reference: str, ranked: Iterable[RankedError], margin: float) -> Verdict:
    """Are score errors within the margin, or within `FACTOR` times what float32 arithmetic alone costs the
    network on the same windows?

    The check holds the error that is worst beside its limit, with the limit that was applied to it.
    """
    value, limit = judge(ranked, margin)
    check = CheckEntry(reference, "max_score_error", "-", value, limit, value <= limit)
    note = (
        f"at the same rank of the same windows float32 arithmetic alone is off by {limit / FACTOR:.2g}, "
        f"so {FACTOR:g} times that is allowed and not the margin of {margin:g}"
    )
    return Verdict(subject, reference, (check,), note=note if limit > margin else "")


def decide(
    scores: NDArray[np.float64],
    whole: NDArray[np.bool_],
    rule: AlarmRule,
    *,
    window_length: int,
    tested: NDArray[np.bool_],
) -> dict[str, NDArray[np.bool_]]:
    """Both rules' alarms on the test rows from scores alone, for a model that is not a bundle.

    `whole` `(n_windows,)` says which windows a stream would score, and `tested` `(n_rows,)` which
    rows are tested.
    """
    n_rows = len(scores) + window_length - 1
    with np.errstate(invalid="ignore"):
        exceeds = scores > rule.ucl
    streaming = np.zeros(n_rows, bool)
    for index in range(len(scores)):
        if whole[index]:
            streaming[index + window_length - 1] = rule.update(float(scores[index]))
        else:
            rule.reset()
    return {
        "leaderboard": leaderboard_flags(exceeds[tested[: len(exceeds)]], window_length, int(tested.sum())),
        "streaming": streaming[tested],
    }


def describe_failures(verdicts: list[Verdict]) -> str:
    """Which figure failed by how much, a line each, and where."""
    lines = []
    for verdict in verdicts:
        if verdict.passed:
            continue
        for check in verdict.checks:
            if not check.passed:
                lines.append(f"{verdict.subject} against {check.reference}: {_describe(check)}")
        if verdict.note:
            lines.append(f"  {verdict.note}")
        worst = [f"{f.asset} ({f.agreement:.3f})" for f in verdict.assets[:3] if f.agreement < 1]
        if worst:
            lines.append(f"  agreement is lowest on: {', '.join(worst)}")
    return "\n".join(lines)


def _describe(check: CheckEntry) -> str:
    rule = "" if check.rule == "-" else f" under the {check.rule} rule"
    least = check.figure in ("agreement", "asset_agreement", "episode_agreement", "rank_correlation")
    side = "below the least allowed" if least else "above the allowed"
    if check.high is None:
        over = abs(check.value - check.limit)
        return f"{check.figure} {check.value:.4g}{rule} is {over:.4g} {side} {check.limit:.4g}"
    return (
        f"{check.figure} {check.value:.4g}{rule}: its interval {check.low:.4g} to {check.high:.4g} ends "
        f"{check.high - check.limit:.4g} {side} {check.limit:.4g}"
    )


def _at_least(reference: str, figure: str, rule: str, value: float, limit: float) -> CheckEntry:
    return CheckEntry(reference, figure, rule, value, limit, value >= limit)


def _relative_drop(reference: float | None, value: float | None) -> float | None:
    if reference is None or value is None:
        return None
    return (reference - value) / reference if reference > 0 else 0.0


def _rise(reference: float | None, value: float | None) -> float | None:
    return None if reference is None or value is None else value - reference
