"""The parity gate: does a converted or smaller model still make the same decisions?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import CheckEntry
from edge_ad.detect.rules import ConsecutiveRule, leaderboard_flags
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.settings import Margins

RULES = ("leaderboard", "streaming")


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


@dataclass(frozen=True)
class Verdict:
    """The gate's answer for one comparison over all assets of a build."""

    subject: str
    """What was judged: `tiny-int8`."""
    reference: str
    checks: tuple[CheckEntry, ...]
    worst_assets: tuple[AssetFigure, ...] = ()
    """Up to three, the worst first; those that decide alike everywhere are not among them."""

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
) -> Verdict:
    """Compare alarms row by row, and F1, FAR and MAR over all assets where there are labels."""
    checks: list[CheckEntry] = []
    for rule in RULES:
        pairs = [
            (ours.alarms[rule], theirs.alarms[rule], ours.labels)
            for ours, theirs in zip(decisions, reference_decisions, strict=True)
        ]
        agreed = sum(int((ours == theirs).sum()) for ours, theirs, _ in pairs)
        agreement = agreed / sum(len(ours) for ours, _, _ in pairs)
        checks.append(_at_least(reference, "agreement", rule, agreement, margins.min_agreement))
        labelled = [(o, t, labels) for o, t, labels in pairs if labels is not None]
        if not labelled:
            continue
        ours = reduce(add, (confusion(labels, o) for o, _, labels in labelled))
        theirs = reduce(add, (confusion(labels, t) for _, t, labels in labelled))
        checks += _quality_checks(reference, rule, ours, theirs, margins)
    worst = _worst_assets(decisions, reference_decisions)
    return Verdict(subject, reference, tuple(checks), worst)


def _worst_assets(
    decisions: list[AssetDecisions], reference_decisions: list[AssetDecisions]
) -> tuple[AssetFigure, ...]:
    figures = [
        AssetFigure(
            ours.asset, min(float((ours.alarms[rule] == theirs.alarms[rule]).mean()) for rule in RULES)
        )
        for ours, theirs in zip(decisions, reference_decisions, strict=True)
    ]
    figures.sort(key=lambda figure: (figure.agreement, figure.asset))
    return tuple(figure for figure in figures[:3] if figure.agreement < 1)


def _quality_checks(
    reference: str, rule: str, ours: Confusion, theirs: Confusion, margins: Margins
) -> list[CheckEntry]:
    figures: list[tuple[str, float | None, float]] = [
        ("f1_drop", _relative_drop(theirs.f1, ours.f1), margins.f1_drop),
        ("far_rise", _rise(theirs.far, ours.far), margins.far_rise),
        ("mar_rise", _rise(theirs.mar, ours.mar), margins.mar_rise),
    ]
    return [
        CheckEntry(reference, figure, rule, value, limit, value <= limit)
        for figure, value, limit in figures
        if value is not None
    ]


def compare_scores(
    subject: str, reference: str, pairs: list[tuple[AssetScores, AssetScores]], limit: float
) -> Verdict:
    """Largest difference of a window's score, relative to the larger of reference score and UCL.

    Windows that score above ten times the UCL in both are left out: they exceed it on any machine,
    and a relu network that far out of its range amplifies the rounding of either side.
    """
    worst = 0.0
    for ours, theirs in pairs:
        with np.errstate(invalid="ignore"):
            near = np.minimum(theirs.scores, ours.scores) <= 10 * theirs.ucl
        finite = near & np.isfinite(theirs.scores)
        error = np.abs(ours.scores[finite] - theirs.scores[finite])
        scale = np.maximum(theirs.scores[finite], theirs.ucl)
        # a score that only one of them has is as wrong as can be
        lost = bool((np.isfinite(ours.scores) != np.isfinite(theirs.scores)).any())
        worst = max(worst, np.inf if lost else float((error / scale).max(initial=0.0)))
    value = min(worst, float(np.finfo(np.float64).max))
    check = CheckEntry(reference, "max_score_error", "-", value, limit, value <= limit)
    return Verdict(subject, reference, (check,))


def decide(
    scores: NDArray[np.float64],
    whole: NDArray[np.bool_],
    *,
    ucl: float,
    window_length: int,
    train_rows: int,
    k: int,
) -> dict[str, NDArray[np.bool_]]:
    """Both rules' alarms on the test rows from scores alone, for a model that is not a bundle.

    `whole` `(n_windows,)` says which windows a stream would score.
    """
    n_rows = len(scores) + window_length - 1
    with np.errstate(invalid="ignore"):
        exceeds = scores > ucl
    rule = ConsecutiveRule(k)
    streaming = np.zeros(n_rows, bool)
    for index in range(len(scores)):
        if whole[index]:
            streaming[index + window_length - 1] = rule.update(bool(exceeds[index]))
        else:
            rule.reset()
    return {
        "leaderboard": leaderboard_flags(exceeds[train_rows:], window_length, n_rows - train_rows),
        "streaming": streaming[train_rows:],
    }


def describe_failures(verdicts: list[Verdict]) -> str:
    """Which figure failed by how much, a line each, and where."""
    lines = []
    for verdict in verdicts:
        if verdict.passed:
            continue
        for check in verdict.checks:
            if not check.passed:
                over = abs(check.value - check.limit)
                side = "below the least allowed" if check.figure == "agreement" else "above the allowed"
                lines.append(
                    f"{verdict.subject} against {check.reference}, {check.rule} rule: {check.figure} "
                    f"{check.value:.4g} is {over:.4g} {side} {check.limit:.4g}"
                )
        if verdict.worst_assets:
            worst = ", ".join(f"{figure.asset} ({figure.agreement:.3f})" for figure in verdict.worst_assets)
            lines.append(f"  agreement is lowest on: {worst}")
    return "\n".join(lines)


def _at_least(reference: str, figure: str, rule: str, value: float, limit: float) -> CheckEntry:
    return CheckEntry(reference, figure, rule, value, limit, value >= limit)


def _relative_drop(reference: float | None, value: float | None) -> float | None:
    if reference is None or value is None:
        return None
    return (reference - value) / reference if reference > 0 else 0.0


def _rise(reference: float | None, value: float | None) -> float | None:
    return None if reference is None or value is None else value - reference
