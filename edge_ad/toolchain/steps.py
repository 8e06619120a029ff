"""What one worker process does for one task: train a model, convert it, evaluate a variant.

Each function reads what it needs from the workspace, leaves its result there, and returns a short
line for the person waiting. All arguments are plain values, so that a task can go to another process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Precision
from edge_ad.detect.fusion import make_scorer
from edge_ad.detect.heads import Heads
from edge_ad.detect.rules import AlarmRule
from edge_ad.toolchain.architecture import load_weights, weights_npz
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.distill import train_network
from edge_ad.toolchain.evaluate import evaluate_variant
from edge_ad.toolchain.heads import ScoredWindows, fit_detector, streamed_scores
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.proof import prove, rank_near_limit
from edge_ad.toolchain.records import ConversionRecord, EvaluationRecord, Records, TrainingRecord
from edge_ad.toolchain.train import TrainedModel, trainer_for
from edge_ad.toolchain.workspace import (
    AssetSource,
    BuildPlan,
    Workspace,
    arrays_npz,
    save_record,
    variant_name,
)

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Scaled windows -> their reconstructions, `(n, window_length, n_channels)` both."""


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


def train_model(task: Task) -> str:
    """Train one model of one asset. Raises DataError, TrainingError, OutputError."""
    plan, workspace = task.plan, Workspace(task.root)
    prepared = prepare(workspace.recording(plan, task.asset), plan)
    settings = plan.settings.training
    architecture = plan.architecture(task.model)
    trainer = trainer_for(architecture, settings.batch_size, settings.kernel_l2)
    before = Records(workspace, plan).trained_before(task.asset, task.model)
    if before is not None:
        weights = load_weights(workspace.asset_file(task.asset.name, f"{task.model}.weights.npz"))
        trainer.restore(weights)
        trained = TrainedModel(weights, before.losses, before.validation_losses)
    else:
        windows = prepared.windows[prepared.fit]
        trained = train_network(trainer, architecture, windows, settings, task.asset.sha256)
    told = save_training(task, prepared, trained, trainer.predict)
    return told if before is None else f"weights kept, {told}"


def save_training(task: Task, prepared: Prepared, trained: TrainedModel, predict: Predict) -> str:
    """Leave a trained model and its scores, by `predict` of the network itself. Raises OutputError."""
    from importlib.metadata import version

    plan, workspace = task.plan, Workspace(task.root)
    heads = fit_heads(predict, prepared, plan)
    finite = np.flatnonzero(prepared.finite)
    windows = prepared.windows[finite]
    scorer = make_scorer(windows.shape[1], windows.shape[2], heads or plan.settings.score)
    scores = np.full(len(prepared.windows), np.nan)
    scores[finite] = [
        scorer.score(window, reconstruction)[1]
        for window, reconstruction in zip(windows, predict(windows), strict=True)
    ]
    arrays = {"scores": scores}
    if heads is not None and heads.follows:
        arrays["streamed"] = _streamed(heads, predict, prepared, scores, plan)
    files = {
        f"{task.model}.weights.npz": weights_npz(trained.weights),
        f"{task.model}.keras.npz": arrays_npz(arrays),
    }
    record = TrainingRecord(
        key=task.key,
        files=workspace.write_files(task.asset.name, files),
        n_train_windows=len(prepared.fit),
        losses=trained.losses,
        validation_losses=trained.validation_losses,
        versions={name: version(name) for name in ("tensorflow", "keras", "numpy")},
        weights_key=Records(workspace, plan).weights_key(task.asset, task.model),
        heads=heads,
    )
    save_record(workspace.asset_file(task.asset.name, f"{task.model}.training.json"), record)
    teachers = plan.settings.training.teachers
    against = f" against the mean of {teachers} teachers" if teachers else ""
    return f"{len(trained.losses)} epochs, validation loss {min(trained.validation_losses):.4f}{against}"


def _streamed(
    heads: Heads, predict: Predict, prepared: Prepared, scores: NDArray[np.float64], plan: BuildPlan
) -> NDArray[np.float64]:
    """What the network's scores `(n_windows,)` become in a stream, where a head follows."""
    settings = plan.settings
    ucl = settings.limit.limit(scores[prepared.limit], plan.sampling)
    rule = AlarmRule(ucl, settings.alarm.k, settings.alarm.n, settings.alarm.clear_ratio)
    windows = np.ascontiguousarray(prepared.windows)
    return streamed_scores(heads, ScoredWindows(windows, predict(windows)), scores, prepared.whole, rule)


def fit_heads(predict: Predict, prepared: Prepared, plan: BuildPlan) -> Heads | None:
    """The heads that the plan asks for, by what the network that was just trained makes of the windows."""
    if plan.settings.detector is None:
        return None
    fit, limit = (
        ScoredWindows(windows, predict(windows))
        for windows in (prepared.windows[prepared.fit], prepared.windows[prepared.limit])
    )
    names = [channel.name for channel in prepared.channels]
    return fit_detector(plan.settings.detector, names, fit, limit, plan.settings.limit)


def convert_model(task: VariantTask) -> str:
    """Convert one trained model to one precision. Raises ConversionError, OutputError."""
    workspace, variant = Workspace(task.root), task.variant
    path = workspace.asset_file(task.asset.name, f"{task.model}.weights.npz")
    weights = load_weights(path)
    windows = None
    if task.precision == "int8-full":
        prepared = prepare(workspace.recording(task.plan, task.asset), task.plan)
        windows = np.ascontiguousarray(prepared.windows[prepared.train])
    architecture, optimize = task.plan.architecture(task.model), task.plan.settings.optimize
    converted = convert(architecture, weights, task.precision, optimize, windows)
    record = ConversionRecord(
        key=task.key,
        files=workspace.write_files(task.asset.name, {f"{variant}.tflite": converted.content}),
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
    records = Records(workspace, task.plan)
    conversion = records.conversion(task.asset, task.model, task.precision)
    heads = records.training(task.asset, task.model).heads
    content = workspace.asset_file(task.asset.name, f"{variant}.tflite").read_bytes()
    prepared = prepare(workspace.recording(task.plan, task.asset), task.plan)
    result = evaluate_variant(prepared, task.plan, content, stateful=conversion.stateful, heads=heads)
    architecture = task.plan.architecture(task.model)
    weights = load_weights(workspace.asset_file(task.asset.name, f"{task.model}.weights.npz"))
    decisions: dict[str, NDArray[Any]] = {
        "scores": result.scores,
        **({} if result.streamed is None else {"streamed": result.streamed}),
        "contributions": result.contributions,
        "leaderboard": result.leaderboard,
        "streaming": result.streaming,
        "unknown": result.unknown,
    }
    proved = (
        result.model,
        architecture,
        weights,
        prepared,
        result.limit.ucl,
        heads or task.plan.settings.score,
    )
    record = EvaluationRecord(
        key=task.key,
        files=workspace.write_files(task.asset.name, {f"{variant}.decisions.npz": arrays_npz(decisions)}),
        limit=result.limit,
        size_bytes=len(content),
        latency_p50_us=result.latency_p50_us,
        n_unknown=int(result.unknown.sum()),
        leaderboard=result.confusion(result.leaderboard),
        streaming=result.confusion(result.streaming),
        proof=prove(*proved),
        ranked=rank_near_limit(*proved) if task.precision == "float32" else (),
    )
    save_record(workspace.asset_file(task.asset.name, f"{variant}.evaluation.json"), record)
    f1 = record.streaming.f1 if record.streaming else None
    return f"UCL {result.limit.ucl:.4g}" + (f", streaming F1 {f1:.3f}" if f1 is not None else "")
