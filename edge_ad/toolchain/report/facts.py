"""What a report shows of one asset, gathered from the records of a build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Precision
from edge_ad.detect.fusion import scoring_text
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluate import stream_scores
from edge_ad.toolchain.pack import smallest
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.records import ConversionRecord, EvaluationRecord, Records, TrainingRecord
from edge_ad.toolchain.report.baselines import AssetBaselines, asset_baselines
from edge_ad.toolchain.report.detection import Detection, detection
from edge_ad.toolchain.workspace import AssetSource, BuildPlan, Workspace, load_arrays, variant_name


@dataclass(frozen=True)
class VariantFacts:
    """What one converted form made of the recording, row by row; a window belongs to its last row."""

    name: str
    model: str
    precision: Precision
    evaluation: EvaluationRecord
    conversion: ConversionRecord
    scores: NDArray[np.float64]
    """`(n_rows,)`; NaN where a stream has no whole window."""
    alarms: NDArray[np.bool_]
    """`(n_rows,)` by the streaming rule; none in the train span, which is not judged."""
    unknown: NDArray[np.bool_]
    """`(n_rows,)`"""

    @property
    def ucl(self) -> float:
        """The limit of this form's scores."""
        return self.evaluation.limit.ucl


@dataclass(frozen=True)
class AssetFacts:
    """An asset with everything that was recorded, trained and judged."""

    name: str
    recording: Recording
    variants: tuple[VariantFacts, ...]
    trainings: dict[str, TrainingRecord]
    """By model."""
    contributions: NDArray[np.float32]
    """`(n_rows, n_channels)` of the default form's scores; NaN where there is none."""
    baselines: AssetBaselines | None
    detections: dict[str, Detection]
    """By variant, under the streaming rule; empty without labels."""
    period_s: float
    """A row stands for so long."""
    default: VariantFacts
    """The form that a device runs unless told otherwise."""
    which: str
    """How the rows for training were chosen, in words that stand before their number."""
    score: str
    """What makes a score of the default form, in words."""

    @property
    def channels(self) -> list[str]:
        """Names, in order."""
        return [channel.name for channel in self.recording.channels]


def default_variant(plan: BuildPlan) -> str:
    """Name of the form that a device runs unless told otherwise: the smallest there is."""
    models, precisions = plan.settings.models, plan.settings.precisions
    names = plan.settings.variants or [f"{model}-{form}" for model in models for form in precisions]
    return smallest(list(names))


def asset_facts(workspace: Workspace, plan: BuildPlan, asset: AssetSource) -> AssetFacts:
    """Gather an asset's.

    Raises ConfigurationError where a step has yet to run, DataError, InterpreterError.
    """
    records = Records(workspace, plan)
    prepared = prepare(workspace.recording(plan, asset), plan)
    recording = prepared.recording
    variants = tuple(
        _variant(workspace, records, prepared, asset, model, precision)
        for model in plan.settings.models
        for precision in plan.settings.precisions
    )
    detections = {}
    if recording.labels is not None:
        test = recording.tested
        detections = {
            variant.name: detection(
                recording.times[test],
                recording.labels[test],
                variant.alarms[test],
                plan.format.sample_period_s,
            )
            for variant in variants
        }
    chosen = default_variant(plan)
    default = next(variant for variant in variants if variant.name == chosen)
    return AssetFacts(
        name=asset.name,
        recording=recording,
        variants=variants,
        trainings={model: records.training(asset, model) for model in plan.settings.models},
        contributions=_decisions(workspace, asset.name, default.name)["contributions"],
        baselines=asset_baselines(prepared, plan),
        detections=detections,
        period_s=plan.format.sample_period_s,
        default=default,
        which=plan.format.train.which,
        score=scoring_text(records.scoring(asset, default.model)),
    )


def _variant(
    workspace: Workspace,
    records: Records,
    prepared: Prepared,
    asset: AssetSource,
    model: str,
    precision: Precision,
) -> VariantFacts:
    name = variant_name(model, precision)
    evaluation = records.evaluation(asset, model, precision)
    arrays = _decisions(workspace, asset.name, name)
    n_rows, tested = len(prepared.recording), prepared.recording.tested
    scores = np.full(n_rows, np.nan)
    scores[n_rows - len(prepared.whole) :] = np.where(prepared.whole, stream_scores(arrays), np.nan)
    alarms, unknown = np.zeros(n_rows, bool), np.zeros(n_rows, bool)
    alarms[tested], unknown[tested] = arrays["streaming"], arrays["unknown"]
    conversion = records.conversion(asset, model, precision)
    return VariantFacts(name, model, precision, evaluation, conversion, scores, alarms, unknown)


def _decisions(workspace: Workspace, asset: str, variant: str) -> dict[str, NDArray[Any]]:
    return load_arrays(workspace.asset_file(asset, f"{variant}.decisions.npz"))
