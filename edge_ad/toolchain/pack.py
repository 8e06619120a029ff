"""From a gated build folder to bundles."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad import __version__
from edge_ad.bundle.bundle import npy, pack
from edge_ad.bundle.manifest import (
    SCHEMA_VERSION,
    Manifest,
    MetricsEntry,
    ModelEntry,
    Precision,
    Provenance,
    ScalerEntry,
    VariantEntry,
    schema_for,
)
from edge_ad.detect.heads import Heads
from edge_ad.detect.window import sliding_windows
from edge_ad.errors import ConfigurationError
from edge_ad.files import make_folder, write_atomic
from edge_ad.runtime.window_model import WindowModel
from edge_ad.toolchain.gate import GateRecord, gate_key, require_passed
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.models import MODELS
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.records import EvaluationRecord, Records
from edge_ad.toolchain.report.card import model_card
from edge_ad.toolchain.report.summary import caveats, limit_caveats
from edge_ad.toolchain.workspace import AssetSource, BuildPlan, Workspace, variant_name

GOLDEN_FILE = "golden/windows.npy"
CARD_FILE = "model-card.md"
_GOLDEN_WINDOWS = 16
_GOLDEN_TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "int8": 2e-2, "int8-full": 5e-2}
"""Relative. int8 kernels quantize activations, and a rounding that falls the other way on another
processor moves a score by far more than float rounding does."""


def pack_bundles(workspace: Workspace, plan: BuildPlan, *, allow_unchecked: bool) -> list[Path]:
    """Write one bundle per asset.

    Raises GateFailedError where the gate failed and ConfigurationError where it did not run on
    these evaluations, unless `allow_unchecked`; the manifest then says so.
    """
    key = gate_key(workspace, plan)  # also sees to it that all steps were taken for this very plan
    gate = workspace.load(workspace.root / "gate.json", GateRecord)
    if gate is not None and gate.key != key:
        gate = None  # the models changed since
    if not allow_unchecked:
        if gate is None:
            raise ConfigurationError(
                f"the parity gate has not judged these models: run 'edge-ad gate {workspace.root}' first"
            )
        require_passed(gate, plan)
    make_folder(workspace.bundles)
    written = []
    for asset in plan.assets:
        data = _bundle(workspace, plan, asset, gate)
        path = workspace.bundles / f"{asset.name}.edgead"
        write_atomic(path, data)
        written.append(path)
    return written


def _bundle(workspace: Workspace, plan: BuildPlan, asset: AssetSource, gate: GateRecord | None) -> bytes:
    settings = plan.settings
    prepared = prepare(workspace.recording(plan, asset), plan)
    golden = golden_windows(prepared, plan)
    members = {GOLDEN_FILE: npy(golden)}
    records = Records(workspace, plan)
    variants: list[VariantEntry] = []
    for model in settings.models:
        for precision in settings.precisions:
            name = variant_name(model, precision)
            if settings.variants and name not in settings.variants:
                continue
            content = workspace.asset_file(asset.name, f"{name}.tflite").read_bytes()
            entry = _variant(records, asset, prepared, golden, content, model, precision, gate)
            variants.append(entry)
            members[entry.file] = content
    parity_passed = gate is not None and not gate.failures([variant.name for variant in variants])
    manifest = Manifest(
        schema=SCHEMA_VERSION,
        bundle_id="",
        minimum_runtime=__version__,
        model_version=settings.model_version,
        build_number=settings.build_number,
        asset=asset.name,
        channels=prepared.channels,
        input=plan.format.input,
        window_length=settings.window_length,
        stride=1,
        sample_period_s=plan.format.sample_period_s,
        largest_gap_s=plan.format.largest_gap_s,
        rate_tolerance=plan.format.rate_tolerance,
        scaler=ScalerEntry(
            prepared.scaler.kind,
            tuple(prepared.scaler.offset.tolist()),
            tuple(prepared.scaler.scale.tolist()),
        ),
        score="heads" if settings.detector else settings.score,
        alarm_rule=settings.alarm,
        models=tuple(
            _model(plan, model, records.training(asset, model).heads)
            for model in settings.models
            if any(v.model == model for v in variants)
        ),
        variants=tuple(variants),
        default_variant=smallest([variant.name for variant in variants]),
        parity_passed=parity_passed,
        unchecked=not parity_passed,
        golden_file=GOLDEN_FILE,
        members=(),
        provenance=_provenance(workspace, plan, asset, prepared),
        card_file=CARD_FILE,
        snapshots=plan.format.snapshots,
    )
    manifest = dataclasses.replace(manifest, schema=schema_for(manifest))
    notes = _caveats(records, asset, prepared, plan)
    members[CARD_FILE] = model_card(manifest, plan, asset, members, notes).encode()
    return pack(manifest, members)


def _caveats(records: Records, asset: AssetSource, prepared: Prepared, plan: BuildPlan) -> list[str]:
    """What must be known beside this asset's own F1; labels and gaps are alike for all its variants."""
    evaluation = records.evaluation(asset, plan.settings.models[0], plan.settings.precisions[0])
    n_test = asset.n_rows - prepared.recording.train_rows
    limits = [
        records.evaluation(asset, model, precision).limit
        for model in plan.settings.models
        for precision in plan.settings.precisions
    ]
    own = caveats(plan, evaluation.leaderboard or Confusion(), evaluation.n_unknown / n_test)
    return [*limit_caveats(plan.sampling, limits), *own]


def _variant(
    records: Records,
    asset: AssetSource,
    prepared: Prepared,
    golden: NDArray[np.float32],
    content: bytes,
    model: str,
    precision: Precision,
    gate: GateRecord | None,
) -> VariantEntry:
    name = variant_name(model, precision)
    conversion = records.conversion(asset, model, precision)
    evaluation = records.evaluation(asset, model, precision)
    detector = WindowModel(
        content, prepared.scaler, records.scoring(asset, model), stateful=conversion.stateful
    )
    model_io = detector.model
    checks = (
        [check for verdict in gate.verdicts if verdict.subject == name for check in verdict.checks]
        if gate
        else []
    )
    return VariantEntry(
        name=name,
        model=model,
        precision=precision,
        file=f"models/{name}.tflite",
        input_dtype="float32" if model_io.input_quantization is None else "int8",
        output_dtype="float32" if model_io.output_quantization is None else "int8",
        stateful=conversion.stateful,
        form=conversion.form,
        limit=evaluation.limit,
        golden_scores=tuple(detector.scores(golden).tolist()),
        golden_tolerance=_GOLDEN_TOLERANCE[precision],
        evaluation=tuple(_metrics(evaluation)),
        parity=tuple(checks),
        input_quantization=model_io.input_quantization,
        output_quantization=model_io.output_quantization,
        calibration=conversion.calibration,
        measured_forms=conversion.measured_forms,
        proof=evaluation.proof,
    )


def golden_windows(prepared: Prepared, plan: BuildPlan) -> NDArray[np.float32]:
    """Whole windows spread evenly over the recording.

    `(n, window_length, n_channels)` float32 in engineering units.
    """
    recording = prepared.recording
    length = plan.settings.window_length
    samples = recording.samples.astype(np.float32)
    whole = np.flatnonzero(prepared.whole)
    chosen = whole[np.linspace(0, len(whole) - 1, min(_GOLDEN_WINDOWS, len(whole))).astype(int)]
    return np.ascontiguousarray(sliding_windows(samples, length)[chosen])


def _model(plan: BuildPlan, model: str, heads: Heads | None) -> ModelEntry:
    shape, network = MODELS[model], plan.architecture(model)
    return ModelEntry(
        model, shape.encoder, shape.decoder, network.activation, network.n_parameters, heads, shape.kind
    )


def _metrics(evaluation: EvaluationRecord) -> list[MetricsEntry]:
    def entry(rule: str, counts: Confusion | None) -> list[MetricsEntry]:
        if counts is None:
            return []
        return [MetricsEntry(rule, counts.n_rows, counts.f1, counts.far, counts.mar)]  # type: ignore[arg-type]  # a literal

    return entry("leaderboard", evaluation.leaderboard) + entry("streaming", evaluation.streaming)


def smallest(names: list[str]) -> str:
    """The variant a device runs unless told otherwise: the smallest that is there."""
    order = [
        f"{model}-{form}"
        for model in ("tiny", "conv", "dense", "stacked", "full")
        for form in ("int8", "float32", "int8-full")
    ]
    return next(name for name in order if name in names)


def _provenance(workspace: Workspace, plan: BuildPlan, asset: AssetSource, prepared: Prepared) -> Provenance:
    training = plan.settings.training
    versions = {"edge-ad": __version__}
    for model in plan.settings.models:
        versions |= Records(workspace, plan).training(asset, model).versions
    return Provenance(
        data_sha256=asset.sha256,
        train_rows=prepared.recording.train_rows,
        seed=training.seed,
        epochs=training.epochs,
        batch_size=training.batch_size,
        validation_share=training.validation_share,
        patience=training.patience,
        versions=versions,
    )
