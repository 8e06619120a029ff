"""What one worker process does for one task: train a model, convert it, evaluate a variant.

Each function reads what it needs from the workspace, leaves its result there, and returns a short
line for the person waiting. All arguments are plain values, so that a task can go to another process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edge_ad.bundle.archive import sha256
from edge_ad.bundle.manifest import Calibration, ControlLimit, FormEntry, Precision
from edge_ad.detect.score import WindowScorer
from edge_ad.errors import ConversionError
from edge_ad.files import write_atomic
from edge_ad.toolchain.architecture import load_weights, weights_npz
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.evaluate import evaluate_variant
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.preparation import prepare
from edge_ad.toolchain.train import initial_weights, trainer_for
from edge_ad.toolchain.workspace import (
    AssetSource,
    BuildPlan,
    Workspace,
    save_arrays,
    save_record,
    variant_name,
)


@dataclass(frozen=True)
class Task:
    """One piece of work on one asset."""

    root: Path
    plan: BuildPlan
    asset: AssetSource
    model: str
    key: str
    """Key of the inputs; goes into the record."""

    @property
    def name(self) -> str:
        """For people: `valve1-0 tiny`."""
        return f"{self.asset.name} {self.model}"


@dataclass(frozen=True)
class VariantTask(Task):
    """One piece of work on one converted form."""

    precision: Precision

    @property
    def variant(self) -> str:
        """The converted form's name: `tiny-int8`."""
        return variant_name(self.model, self.precision)

    @property
    def name(self) -> str:
        """For people: `valve1-0 tiny-int8`."""
        return f"{self.asset.name} {self.variant}"


@dataclass(frozen=True)
class TrainingRecord:
    """The contents of `MODEL.training.json`."""

    key: str
    weights_sha256: str
    n_train_windows: int
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class ConversionRecord:
    """The contents of `VARIANT.conversion.json`."""

    key: str
    tflite_sha256: str
    stateful: bool
    form: str
    calibration: Calibration | None
    measured_forms: tuple[FormEntry, ...]


@dataclass(frozen=True)
class EvaluationRecord:
    """The contents of `VARIANT.evaluation.json`."""

    key: str
    limit: ControlLimit
    size_bytes: int
    latency_p50_us: float
    """Median time from sample to decision in the stream over this recording."""
    n_unknown: int
    """Test rows without a whole window."""
    leaderboard: Confusion | None
    """None where the recording has no labels."""
    streaming: Confusion | None


def train_model(task: Task) -> str:
    """Train one model of one asset. Raises DataError, TrainingError, OutputError."""
    from importlib.metadata import version

    plan, workspace = task.plan, Workspace(task.root)
    prepared = prepare(workspace.recording(plan, task.asset), plan)
    settings = plan.settings.training
    architecture = plan.architecture(task.model)
    trainer = trainer_for(architecture, settings.batch_size)
    train_windows = prepared.windows[prepared.train]
    initial = initial_weights(architecture, settings.seed, task.asset.sha256)
    trained = trainer.fit(train_windows, settings, initial)

    finite = np.flatnonzero(prepared.finite)
    windows = prepared.windows[finite]
    scorer = WindowScorer(*windows.shape[1:])
    scores = np.full(len(prepared.windows), np.nan)
    scores[finite] = [
        scorer.score(window, reconstruction)[1]
        for window, reconstruction in zip(windows, trainer.predict(windows), strict=True)
    ]
    content = weights_npz(trained.weights)
    write_atomic(workspace.asset_file(task.asset.name, f"{task.model}.weights.npz"), content)
    save_arrays(workspace.asset_file(task.asset.name, f"{task.model}.keras.npz"), {"scores": scores})
    record = TrainingRecord(
        key=task.key,
        weights_sha256=sha256(content),
        n_train_windows=len(train_windows),
        losses=trained.losses,
        validation_losses=trained.validation_losses,
        versions={name: version(name) for name in ("tensorflow", "keras", "numpy")},
    )
    save_record(workspace.asset_file(task.asset.name, f"{task.model}.training.json"), record)
    return f"{len(trained.losses)} epochs, validation loss {min(trained.validation_losses):.4f}"


def convert_model(task: VariantTask) -> str:
    """Convert one trained model to one precision. Raises ConversionError, OutputError."""
    workspace, variant = Workspace(task.root), task.variant
    path = workspace.asset_file(task.asset.name, f"{task.model}.weights.npz")
    try:
        weights = load_weights(path)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ConversionError(f"{path} cannot be read ({error}): run 'edge-ad train' again") from error
    windows = None
    if task.precision == "int8-full":
        prepared = prepare(workspace.recording(task.plan, task.asset), task.plan)
        windows = np.ascontiguousarray(prepared.windows[prepared.train])
    architecture, optimize = task.plan.architecture(task.model), task.plan.settings.optimize
    converted = convert(architecture, weights, task.precision, optimize, windows)
    write_atomic(workspace.asset_file(task.asset.name, f"{variant}.tflite"), converted.content)
    record = ConversionRecord(
        key=task.key,
        tflite_sha256=sha256(converted.content),
        stateful=converted.stateful,
        form=converted.form,
        calibration=converted.calibration,
        measured_forms=converted.measured_forms,
    )
    save_record(workspace.asset_file(task.asset.name, f"{variant}.conversion.json"), record)
    return f"{converted.form}, {len(converted.content) / 1000:.1f} KB"


def evaluate_model(task: VariantTask) -> str:
    """Score and judge one converted model on its asset's recording. Raises DataError, InterpreterError."""
    workspace, variant = Workspace(task.root), task.variant
    conversion = workspace.require(
        workspace.asset_file(task.asset.name, f"{variant}.conversion.json"),
        ConversionRecord,
        "convert",
    )
    content = workspace.asset_file(task.asset.name, f"{variant}.tflite").read_bytes()
    prepared = prepare(workspace.recording(task.plan, task.asset), task.plan)
    result = evaluate_variant(prepared, task.plan, content, stateful=conversion.stateful)
    save_arrays(
        workspace.asset_file(task.asset.name, f"{variant}.decisions.npz"),
        {
            "scores": result.scores,
            "leaderboard": result.leaderboard,
            "streaming": result.streaming,
            "unknown": result.unknown,
        },
    )
    record = EvaluationRecord(
        key=task.key,
        limit=result.limit,
        size_bytes=len(content),
        latency_p50_us=result.latency_p50_us,
        n_unknown=int(result.unknown.sum()),
        leaderboard=result.confusion(result.leaderboard),
        streaming=result.confusion(result.streaming),
    )
    save_record(workspace.asset_file(task.asset.name, f"{variant}.evaluation.json"), record)
    f1 = record.streaming.f1 if record.streaming else None
    return f"UCL {result.limit.ucl:.4g}" + (f", streaming F1 {f1:.3f}" if f1 is not None else "")
