"""The build: plan -> train -> convert -> evaluate -> gate -> pack -> report.

Each step can run on its own on a build folder, skips what it finds done, and leaves finished work
usable when it is interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from edge_ad.errors import ConverterCrashedError, ConverterTimeoutError, EdgeAdError
from edge_ad.toolchain.datasets.discover import find_recordings
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.recording import read_recording
from edge_ad.toolchain.pool import (
    Outcome,
    WorkerCrashedError,
    WorkerTimeoutError,
    run_tasks,
)
from edge_ad.toolchain.preparation import prepare
from edge_ad.toolchain.records import ConversionRecord, EvaluationRecord, Records, TrainingRecord
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.steps import Task, VariantTask, convert_model, evaluate_model, train_model
from edge_ad.toolchain.workspace import AssetSource, BuildPlan, Workspace, variant_name

T = TypeVar("T", bound=Task)

TRAINING_TIME_LIMIT_S = 3600.0
CONVERSION_TIME_LIMIT_S = 1800.0
"""Integer-only, full, with a window of 200 took 234 s on a busy workstation."""
EVALUATION_TIME_LIMIT_S = 3600.0


class Progress(Protocol):
    """Told how a step goes on."""

    def start(self, step: str, total: int, skipped: int) -> None:
        """A step begins: `total` pieces of work, besides `skipped` ones that were done before."""

    def advance(self, name: str, detail: str) -> None:
        """A piece of work is done."""

    def finish(self) -> None:
        """The step has ended."""


class StepError(EdgeAdError):
    """Some pieces of work of a step failed; the others are done and kept."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def make_plan(
    data: Path,
    recording_format: RecordingFormat,
    settings: BuildSettings,
    workspace: Workspace,
    preset: str | None = None,
) -> BuildPlan:
    """Find and check all recordings before any work is spent on them. Writes nothing.

    Raises DataError for the first recording that cannot be used.
    """
    plan = BuildPlan(recording_format, settings, (), preset)
    assets = []
    for name, path in find_recordings(data).items():
        recording = read_recording(path, recording_format, name)
        prepare(recording, plan)
        assets.append(AssetSource(name, _stored(path, workspace), recording.sha256, len(recording)))
    return BuildPlan(recording_format, settings, tuple(assets), preset)


def _stored(path: Path, workspace: Workspace) -> str:
    """A path that stays right when the build folder moves with the file inside it."""
    resolved, root = path.resolve(), workspace.root.resolve()
    return str(resolved.relative_to(root) if resolved.is_relative_to(root) else resolved)


def train(workspace: Workspace, plan: BuildPlan, jobs: int, progress: Progress) -> None:
    """Train every model of every asset. Raises StepError once the others are done."""
    records, tasks = Records(workspace, plan), []
    for model in plan.settings.models:
        for asset in plan.assets:
            key = records.training_key(asset, model)
            path = workspace.asset_file(asset.name, f"{model}.training.json")
            done = records.is_done(path, TrainingRecord, key)
            tasks.append((Task(workspace.root, plan, asset, model, key), done))
    run_step("train", train_model, tasks, jobs, TRAINING_TIME_LIMIT_S, progress)


def convert(workspace: Workspace, plan: BuildPlan, jobs: int, progress: Progress) -> None:
    """Convert every trained model to every precision. Raises StepError once the others are done."""
    records, tasks = Records(workspace, plan), []
    for asset, model, precision in plan.variants():
        key = records.conversion_key(asset, model, precision)
        path = workspace.asset_file(asset.name, f"{variant_name(model, precision)}.conversion.json")
        done = records.is_done(path, ConversionRecord, key)
        tasks.append((VariantTask(workspace.root, plan, asset, model, key, precision), done))
    run_step("convert", convert_model, tasks, jobs, CONVERSION_TIME_LIMIT_S, progress, converter_error)


def evaluate(workspace: Workspace, plan: BuildPlan, jobs: int, progress: Progress) -> None:
    """Judge every variant on its asset's recording. Raises StepError once the others are done."""
    records, tasks = Records(workspace, plan), []
    for asset, model, precision in plan.variants():
        key = records.evaluation_key(asset, model, precision)
        path = workspace.asset_file(asset.name, f"{variant_name(model, precision)}.evaluation.json")
        done = records.is_done(path, EvaluationRecord, key)
        tasks.append((VariantTask(workspace.root, plan, asset, model, key, precision), done))
    run_step("evaluate", evaluate_model, tasks, jobs, EVALUATION_TIME_LIMIT_S, progress)


def run_step(
    step: str,
    function: Callable[[T], str],
    tasks: Iterable[tuple[T, bool]],
    jobs: int,
    time_limit_s: float,
    progress: Progress,
    explain: Callable[[EdgeAdError], EdgeAdError] = lambda error: error,
) -> None:
    """Run a step's tasks, each with whether it is done already. Raises StepError at the end."""
    tasks = list(tasks)
    todo = [task for task, done in tasks if not done]
    progress.start(step, len(todo), len(tasks) - len(todo))
    failed: list[Outcome[T, str]] = []
    try:
        if todo:
            for outcome in run_tasks(function, todo, jobs=min(jobs, len(todo)), time_limit_s=time_limit_s):
                if outcome.error is not None:
                    failed.append(outcome)
                progress.advance(outcome.task.name, str(outcome.error or outcome.result))
    finally:
        progress.finish()
    if failed:
        errors = [explain(outcome.error) for outcome in failed if outcome.error]
        lines = [f"  {o.task.name}: {error}" for o, error in zip(failed, errors, strict=True)]
        summary = f"{step}: {len(failed)} of {len(tasks)} failed, the others are done and kept:"
        raise StepError("\n".join([summary, *lines]), errors[0].exit_code)


def converter_error(error: EdgeAdError) -> EdgeAdError:
    """A crash or a hang during conversion, as the converter error it is."""
    if isinstance(error, WorkerCrashedError):
        return ConverterCrashedError(str(error))
    if isinstance(error, WorkerTimeoutError):
        return ConverterTimeoutError(str(error))
    return error
