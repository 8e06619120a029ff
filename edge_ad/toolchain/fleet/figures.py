"""What the index says of an asset's quality, from the records that its build left."""

from __future__ import annotations

from typing import Any, cast

from edge_ad.bundle.manifest import CheckEntry, Precision
from edge_ad.toolchain.gate import GateRecord
from edge_ad.toolchain.pack import smallest
from edge_ad.toolchain.records import Records
from edge_ad.toolchain.workspace import BuildPlan, variant_name

_AT_LEAST = ("agreement", "asset_agreement", "episode_agreement", "rank_correlation")
_NO_MARGIN = -1e6  # headroom of what is off by more than can be told


def default_variant(plan: BuildPlan) -> str:
    """The variant that devices run unless told otherwise."""
    known = [variant_name(model, precision) for _, model, precision in plan.variants()]
    return smallest([name for name in known if not plan.settings.variants or name in plan.settings.variants])


def quality_figures(records: Records, plan: BuildPlan) -> dict[str, Any]:
    """Columns of `AssetRecord` about the default variant."""
    name = default_variant(plan)
    model, _, precision = name.partition("-")
    [asset] = plan.assets
    evaluation = records.evaluation(asset, model, cast(Precision, precision))
    training = records.training(asset, model)
    counts = evaluation.streaming
    return {
        "default_variant": name,
        "ucl": evaluation.limit.ucl,
        "f1": counts.f1 if counts else None,
        "far": counts.far if counts else None,
        "mar": counts.mar if counts else None,
        "epochs": len(training.losses),
        "validation_loss": min(training.validation_losses),
    }


def gate_figures(gate: GateRecord, plan: BuildPlan) -> dict[str, Any]:
    """Columns of `AssetRecord` about the parity gate."""
    name = default_variant(plan)
    judged = [
        (headroom(check), f"{verdict.subject} {check.figure} {check.rule}".removesuffix(" -"))
        for verdict in gate.verdicts
        for check in verdict.checks
    ]
    agreements = [
        check.value
        for verdict in gate.verdicts
        for check in verdict.checks
        if verdict.subject == name and check.figure == "agreement"
    ]
    worst = min(judged)
    return {
        "agreement": min(agreements, default=None),
        "parity_headroom": worst[0],
        "parity_worst": worst[1],
    }


def headroom(check: CheckEntry) -> float:
    """Which share of its margin a check has left: 1 nothing was lost, 0 all of it, below 0 failed."""
    if check.figure in _AT_LEAST:
        left = (check.value - check.limit) / max(1 - check.limit, 1e-9)
    else:
        value = check.value if check.high is None else check.high
        left = (check.limit - value) / max(abs(check.limit), 1e-9)
    return max(min(left, 1.0), _NO_MARGIN)
