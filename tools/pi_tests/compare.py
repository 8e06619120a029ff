"""Decisions of an environment against the workstation's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.bundle import read
from edge_ad.bundle.manifest import Manifest
from edge_ad.runtime.replay import STATES
from edge_ad.toolchain.proof import NEAR
from pi_tests.environments import Leeway

_ALARM = STATES.index("alarm")


@dataclass(frozen=True)
class Difference:
    """How far a variant's decisions are from the workstation's, over all recordings that both decided on.

    Errors of scores are relative to the larger of score and control limit (UCL), as in the parity gate.
    """

    variant: str
    recordings: int
    windows: int
    states: int
    """Rows whose state differs, of all rows."""
    alarms: int
    """Rows on which one alarms and the other does not."""
    beyond: int
    """Windows that score up to ten UCLs and whose error is beyond the manifest's tolerance."""
    worst: float
    """Largest error of a window that scores up to ten UCLs."""
    where: str
    """Recording and row of that window."""
    far_windows: int
    """Windows that score more than ten UCLs: there a relu LSTM amplifies the rounding of any arithmetic, and
    every number says alarm."""
    far_beyond: int
    far_worst: float
    identical: float
    """Share of windows with the same score to the last bit."""


@dataclass(frozen=True)
class Verification:
    """Golden windows of all bundles."""

    variant: str
    bundles: int
    refused: tuple[str, ...]
    """Bundles that it does not pass."""
    first: str
    """What was said of the first of them."""


@dataclass(frozen=True)
class Comparison:
    """All that is known of an environment's decisions."""

    engine: str
    python: str
    differences: tuple[Difference, ...]
    verifications: tuple[Verification, ...]


def compare(pairs: Path, workstation: Path, answers: Path) -> Comparison:
    """Hold the answers of an environment against the workstation's, which has answered everything."""
    manifests = {path.stem: read(path).manifest for path in sorted(pairs.glob("*.edgead"))}
    with np.load(workstation) as expected, np.load(answers) as given:
        facts = json.loads(str(given["facts"]))
        variants = dict.fromkeys(key.split("/")[1] for key in given.files if key.endswith("/scores"))
        differences = tuple(_difference(variant, manifests, expected, given) for variant in variants)
    return Comparison(facts["engine"], facts["python"], differences, _verifications(facts["golden"]))


def complaints(comparison: Comparison, leeway: Leeway) -> list[str]:
    """What is not as it has to be, in words."""
    found = []
    for difference in comparison.differences:
        variant = difference.variant
        if variant in leeway.not_held:
            continue
        if difference.states:
            found.append(
                f"{variant}: {difference.states} rows are decided differently than on the workstation "
                f"({difference.alarms} of them alarms)"
            )
        allowed = leeway.beyond.get(variant, 0)
        if difference.beyond > allowed:
            found.append(
                f"{variant}: {difference.beyond} scores are beyond the tolerance (known: {allowed}); the "
                f"worst by {difference.worst:.2g} ({difference.where})"
            )
    for test in comparison.verifications:
        allowed = leeway.refused.get(test.variant, 0)
        if test.variant not in leeway.not_held and len(test.refused) > allowed:
            found.append(
                f"{test.variant}: {len(test.refused)} of {test.bundles} bundles do not pass their golden "
                f"windows (known: {allowed}): {test.refused[0]}: {test.first}"
            )
    return found


def _difference(
    variant: str, manifests: Mapping[str, Manifest], expected: Mapping[str, Any], given: Mapping[str, Any]
) -> Difference:
    total: Counter[str] = Counter()
    worst, where, far_worst = 0.0, "", 0.0
    for name, manifest in manifests.items():
        key = f"{name}/{variant}"
        if f"{key}/scores" not in given:
            continue
        entry = manifest.variant(variant)
        states, own_states = expected[f"{key}/states"], given[f"{key}/states"]
        scores, own = expected[f"{key}/scores"], given[f"{key}/scores"]
        scored = np.isfinite(scores) & np.isfinite(own)
        errors = _errors(scores, own, entry.limit.ucl)
        near = scored & (scores <= NEAR * entry.limit.ucl)
        far = scored & ~near
        total["recordings"] += 1
        total["windows"] += int(scored.sum())
        total["states"] += int((states != own_states).sum())
        total["alarms"] += int(((states == _ALARM) != (own_states == _ALARM)).sum())
        total["beyond"] += int((errors[near] > entry.golden_tolerance).sum())
        total["far"] += int(far.sum())
        total["far_beyond"] += int((errors[far] > entry.golden_tolerance).sum())
        total["identical"] += int((scores[scored] == own[scored]).sum())
        far_worst = max(far_worst, float(errors[far].max(initial=0)))
        row = int(np.where(near, errors, -1.0).argmax())
        if errors[row] > worst and near[row]:
            worst, where = float(errors[row]), f"{name}, row {row + 1}"
    return Difference(
        variant=variant,
        recordings=total["recordings"],
        windows=total["windows"],
        states=total["states"],
        alarms=total["alarms"],
        beyond=total["beyond"],
        worst=worst,
        where=where,
        far_windows=total["far"],
        far_beyond=total["far_beyond"],
        far_worst=far_worst,
        identical=total["identical"] / max(1, total["windows"]),
    )


def _errors(scores: NDArray[np.float64], own: NDArray[np.float64], ucl: float) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        errors: NDArray[np.float64] = np.abs(own - scores) / np.maximum(scores, ucl)
    return errors


def _verifications(records: list[dict[str, Any]]) -> tuple[Verification, ...]:
    found = []
    for variant in dict.fromkeys(record["variant"] for record in records):
        of_kind = [record for record in records if record["variant"] == variant]
        refused = [record for record in of_kind if not record["passed"]]
        first = refused[0]["text"] if refused else ""
        found.append(Verification(variant, len(of_kind), tuple(r["bundle"] for r in refused), first))
    return tuple(found)
