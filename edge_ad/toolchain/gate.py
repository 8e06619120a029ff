"""Running the parity gate over a build folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.rules import AlarmRule
from edge_ad.errors import GateFailedError
from edge_ad.toolchain.architecture import load_weights
from edge_ad.toolchain.oracle import reconstruct, window_scores
from edge_ad.toolchain.parity import (
    RULES,
    AssetDecisions,
    AssetScores,
    ExactScores,
    Verdict,
    compare_decisions,
    compare_scores,
    compare_scoring,
    decide,
    describe_failures,
    judge_scores,
)
from edge_ad.toolchain.preparation import prepare
from edge_ad.toolchain.records import Records
from edge_ad.toolchain.rounding import float32_scores
from edge_ad.toolchain.workspace import (
    BuildPlan,
    Workspace,
    load_arrays,
    save_record,
    step_key,
    variant_name,
)

_BATCH = 500  # windows whose exact scores are computed together


@dataclass(frozen=True)
class GateRecord:
    """The contents of `gate.json`."""

    key: str
    """Key of the evaluations that were judged."""
    passed: bool
    """For the variants that the plan packs."""
    labelled: bool
    """Whether any recording had labels; without, only scores and agreement could be judged."""
    verdicts: tuple[Verdict, ...]

    def failures(self, variants: Sequence[str]) -> list[Verdict]:
        """What speaks against packing these variants; none given means all.

        A variant needs its own verdicts and those of its model's float32 form, which it rests on.
        """
        models = {variant.partition("-")[0] for variant in variants}
        return [
            verdict
            for verdict in self.verdicts
            if not verdict.passed
            and (
                not variants
                or verdict.subject in variants
                or (verdict.subject.endswith("-float32") and verdict.subject.partition("-")[0] in models)
            )
        ]


@dataclass(frozen=True)
class _Subject:
    """A variant (or the Keras model) with what it decided, asset by asset."""

    name: str
    decisions: list[AssetDecisions]
    scores: list[AssetScores]


def run_gate(workspace: Workspace, plan: BuildPlan) -> GateRecord:
    """Compare every variant with its reference and write the verdict. Reads no recording twice.

    A failed gate is a record with `passed` False; `require_passed` makes it an error.
    """
    keras, variants = _load_subjects(workspace, plan)
    gate = plan.settings.gate
    verdicts: list[Verdict] = []
    for model in plan.settings.models:
        float32 = variants[variant_name(model, "float32")]
        reference = keras[model]
        pairs = list(zip(float32.scores, reference.scores, strict=True))
        verdicts += [
            compare_scores(
                float32.name,
                reference.name,
                pairs,
                gate.max_score_error,
                _exact_scores(workspace, plan, model),
            ),
            _oracle_verdict(workspace, plan, model),
            _compare(float32, reference, plan, "conversion"),
        ]
        for precision in plan.settings.precisions:
            if precision != "float32":
                other = variants[variant_name(model, precision)]
                verdicts.append(_compare(other, float32, plan, "quantization"))
    if {"tiny", "full"} <= set(plan.settings.models):
        tiny, full = variants["tiny-float32"], variants["full-float32"]
        verdicts.append(_compare(tiny, full, plan, "reduction"))
    labelled = any(d.labels is not None for d in keras[plan.settings.models[0]].decisions)
    record = GateRecord(gate_key(workspace, plan), False, labelled, tuple(verdicts))
    record = dataclasses.replace(record, passed=not record.failures(plan.settings.variants))
    save_record(workspace.root / "gate.json", record)
    return record


def gate_key(workspace: Workspace, plan: BuildPlan) -> str:
    """Key of the evaluations a verdict rests on. Raises ConfigurationError where one is missing."""
    records = Records(workspace, plan)
    made = [records.evaluation(*variant) for variant in plan.variants()]
    keys = [(record.key, record.files) for record in made]
    trained = [
        records.training(asset, model).files for asset in plan.assets for model in plan.settings.models
    ]
    return step_key(evaluations=keys, training=trained, gate=plan.settings.gate)


def require_passed(record: GateRecord, plan: BuildPlan) -> None:
    """Raises GateFailedError that names each failed figure, by how much it failed, and what can be done."""
    failures = record.failures(plan.settings.variants)
    if failures:
        kinds = {_kind(verdict) for verdict in failures}
        hint = ""
        if "reduction" in kinds:
            hint = "leave the smaller model out (--models full), train from another --seed, "
        margins = [f"[gate.{kind}]" for kind in ("reduction", "quantization", "conversion") if kind in kinds]
        if "score" in kinds:
            margins.append("max_score_error or max_oracle_error of [gate]")
        raise GateFailedError(
            f"the parity gate failed, so nothing is packed:\n{describe_failures(failures)}\n"
            f"Look at the recordings, {hint}change the margins under {' and '.join(margins)} in the file of "
            "--config, or pack all the same with --allow-unchecked (the bundle will say so). Bundles of an "
            "earlier build are left as they were."
        )


def _kind(verdict: Verdict) -> str:
    """Which margins a verdict was reached by."""
    if all(check.figure == "max_score_error" for check in verdict.checks):
        return "score"
    if verdict.reference == "keras":
        return "conversion"
    same_model = verdict.subject.partition("-")[0] == verdict.reference.partition("-")[0]
    return "quantization" if same_model else "reduction"


def _oracle_verdict(workspace: Workspace, plan: BuildPlan, model: str) -> Verdict:
    """Errors of the float32 form against the network in float64, near the limit."""
    records = Records(workspace, plan)
    ranked = [r for asset in plan.assets for r in records.evaluation(asset, model, "float32").ranked]
    return judge_scores(variant_name(model, "float32"), "oracle", ranked, plan.settings.gate.max_oracle_error)


def _exact_scores(workspace: Workspace, plan: BuildPlan, model: str) -> ExactScores:
    """Computes a model's scores in float64, and float32's own error, for windows of an asset."""
    assets = {asset.name: asset for asset in plan.assets}
    architecture, records = plan.architecture(model), Records(workspace, plan)

    def exact(name: str, indices: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        windows = prepare(workspace.recording(plan, assets[name]), plan).windows
        weights = load_weights(workspace.asset_file(name, f"{model}.weights.npz"))
        scoring = records.scoring(assets[name], model)
        expected, rounding = np.empty((2, len(indices)))
        for start in range(0, len(indices), _BATCH):
            part = slice(start, start + _BATCH)
            some = windows[indices[part]]
            expected[part] = window_scores(some, reconstruct(architecture, weights, some), scoring)
            ways = float32_scores(architecture, weights, some, scoring)
            rounding[part] = np.abs(ways - expected[part]).max(axis=0)
        return expected, rounding

    return exact


def _compare(ours: _Subject, theirs: _Subject, plan: BuildPlan, kind: str) -> Verdict:
    margins, gate = getattr(plan.settings.gate, kind), plan.settings.gate
    pairs = list(zip(ours.scores, theirs.scores, strict=True))
    scoring = compare_scoring(ours.name, theirs.name, pairs, margins)
    verdict = compare_decisions(
        ours.name, theirs.name, ours.decisions, theirs.decisions, margins, gate.bootstrap
    )
    return dataclasses.replace(verdict, checks=verdict.checks + scoring.checks)


def _load_subjects(workspace: Workspace, plan: BuildPlan) -> tuple[dict[str, _Subject], dict[str, _Subject]]:
    """The Keras models and the variants, each by name."""
    settings, records = plan.settings, Records(workspace, plan)
    keras = {model: _Subject("keras", [], []) for model in settings.models}
    variants: dict[str, _Subject] = {}
    for asset in plan.assets:
        recording = workspace.recording(plan, asset)
        prepared = prepare(recording, plan)
        labels = None if recording.labels is None else recording.labels[recording.tested]
        for model in settings.models:
            records.training(asset, model)
            path = workspace.asset_file(asset.name, f"{model}.keras.npz")
            found = load_arrays(path)
            scores: NDArray[np.float64] = found["scores"]
            ucl = settings.limit.limit(scores[prepared.limit], plan.sampling)
            alarms = decide(
                found.get("streamed", scores),
                prepared.whole,
                AlarmRule(ucl, settings.alarm.k, settings.alarm.n, settings.alarm.clear_ratio),
                window_length=settings.window_length,
                tested=recording.tested,
            )
            keras[model].decisions.append(AssetDecisions(asset.name, alarms, labels))
            keras[model].scores.append(AssetScores(asset.name, scores, ucl))
            for precision in settings.precisions:
                name = variant_name(model, precision)
                ucl = records.evaluation(asset, model, precision).limit.ucl
                arrays = load_arrays(workspace.asset_file(asset.name, f"{name}.decisions.npz"))
                alarms = {rule: arrays[rule] for rule in RULES}
                subject = variants.setdefault(name, _Subject(name, [], []))
                subject.decisions.append(AssetDecisions(asset.name, alarms, labels))
                subject.scores.append(AssetScores(asset.name, arrays["scores"], ucl))
    return keras, variants
