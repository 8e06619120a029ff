"""What the steps of a build leave behind, and whether it is still what the plan asks for.

A record carries the key of everything it was made from and the digests of the files that belong to it. It
counts only while both hold: what was made for other settings, or has been damaged, is as good as missing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edge_ad.bundle.manifest import Calibration, ControlLimit, FormEntry, Precision, ProofEntry
from edge_ad.detect.fusion import Scoring
from edge_ad.detect.heads import Heads
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.rounding import RankedError
from edge_ad.toolchain.workspace import AssetSource, BuildPlan, Workspace, step_key, variant_name


class _Record(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def files(self) -> dict[str, str]: ...


R = TypeVar("R", bound=_Record)


@dataclass(frozen=True)
class TrainingRecord:
    """The contents of `MODEL.training.json`."""

    key: str
    files: dict[str, str]
    """Name -> SHA-256 of `MODEL.weights.npz` and `MODEL.keras.npz`."""
    n_train_windows: int
    """Windows that network and heads were fitted on."""
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    versions: dict[str, str]
    weights_key: str = ""
    """Key of the inputs of the weights alone."""
    heads: Heads | None = None
    """Fitted with the trained network; None where the plan asks for none."""


@dataclass(frozen=True)
class ConversionRecord:
    """The contents of `VARIANT.conversion.json`."""

    key: str
    files: dict[str, str]
    """Name -> SHA-256 of `VARIANT.tflite`."""
    stateful: bool
    form: str
    calibration: Calibration | None
    measured_forms: tuple[FormEntry, ...]


@dataclass(frozen=True)
class EvaluationRecord:
    """The contents of `VARIANT.evaluation.json`."""

    key: str
    files: dict[str, str]
    """Name -> SHA-256 of `VARIANT.decisions.npz`."""
    limit: ControlLimit
    size_bytes: int
    latency_p50_us: float
    """Median time from sample to decision in the stream over this recording."""
    n_unknown: int
    """Test rows without a whole window."""
    leaderboard: Confusion | None
    """None where the recording has no labels."""
    streaming: Confusion | None
    proof: tuple[ProofEntry, ...]
    ranked: tuple[RankedError, ...]
    """Of a float32 form, beside the network itself in float32; empty for others."""


class Records:
    """The records of one build folder, as far as they fit the plan."""

    def __init__(self, workspace: Workspace, plan: BuildPlan) -> None:
        self._workspace = workspace
        self._plan = plan

    def weights_key(self, asset: AssetSource, model: str) -> str:
        """Key of what a model's weights depend on."""
        plan = self._plan
        return step_key(
            recording=asset.sha256,
            format=plan.format,
            architecture=plan.architecture(model),
            scaler=plan.settings.scaler,
            training=plan.settings.training,
            fit_share=plan.settings.fit_share,
        )

    def training_key(self, asset: AssetSource, model: str) -> str:
        """Key of what training a model depends on: its weights, its scores and its heads."""
        settings = self._plan.settings
        return step_key(
            weights=self.weights_key(asset, model),
            score=settings.score,
            detector=settings.detector,
            head_limit=(settings.limit, settings.limit_on) if settings.detector else None,
        )

    def trained_before(self, asset: AssetSource, model: str) -> TrainingRecord | None:
        """The record of a model whose weights are as good as new, whatever it was to score by then."""
        path = self._path(asset, f"{model}.training.json")
        record = self._workspace.load(path, TrainingRecord)
        if record is None or record.weights_key != self.weights_key(asset, model):
            return None
        name = f"{model}.weights.npz"
        return record if file_sha256(path.with_name(name)) == record.files.get(name, "") else None

    def conversion_key(self, asset: AssetSource, model: str, precision: Precision) -> str:
        """Key of what a conversion depends on. Raises ConfigurationError: train first."""
        settings = self._plan.settings
        return step_key(
            weights=self.training(asset, model).files[f"{model}.weights.npz"],
            architecture=self._plan.architecture(model),
            precision=precision,
            optimize=settings.optimize,
            calibrated_on=self.weights_key(asset, model) if precision == "int8-full" else None,
        )

    def evaluation_key(self, asset: AssetSource, model: str, precision: Precision) -> str:
        """Key of what an evaluation depends on. Raises ConfigurationError: convert first."""
        plan, settings = self._plan, self._plan.settings
        return step_key(
            conversion=self.conversion(asset, model, precision).files,
            recording=asset.sha256,
            format=plan.format,
            window_length=settings.window_length,
            scoring=self.scoring(asset, model),
            fit_share=settings.fit_share,
            limit_on=settings.limit_on,
            limit=settings.limit,
            alarm=settings.alarm,
        )

    def training(self, asset: AssetSource, model: str) -> TrainingRecord:
        """The record of a trained model. Raises ConfigurationError: train first."""
        path = self._path(asset, f"{model}.training.json")
        return self._require(path, TrainingRecord, self.training_key(asset, model), "train")

    def scoring(self, asset: AssetSource, model: str) -> Scoring:
        """How a trained model's windows are scored. Raises ConfigurationError: train first."""
        return self.training(asset, model).heads or self._plan.settings.score

    def conversion(self, asset: AssetSource, model: str, precision: Precision) -> ConversionRecord:
        """The record of a converted form. Raises ConfigurationError: train or convert first."""
        path = self._path(asset, f"{variant_name(model, precision)}.conversion.json")
        key = self.conversion_key(asset, model, precision)
        return self._require(path, ConversionRecord, key, "convert")

    def evaluation(self, asset: AssetSource, model: str, precision: Precision) -> EvaluationRecord:
        """The record of an evaluation. Raises ConfigurationError: train, convert or evaluate first."""
        path = self._path(asset, f"{variant_name(model, precision)}.evaluation.json")
        key = self.evaluation_key(asset, model, precision)
        return self._require(path, EvaluationRecord, key, "evaluate")

    def is_done(self, path: Path, cls: type[R], key: str) -> bool:
        """Whether a record is there, was made from these inputs, and its files are as it left them."""
        record = self._workspace.load(path, cls)
        return (
            record is not None
            and record.key == key
            and bool(record.files)
            and all(file_sha256(path.with_name(name)) == digest for name, digest in record.files.items())
        )

    def _require(self, path: Path, cls: type[R], key: str, step: str) -> R:
        record = self._workspace.load(path, cls)
        if record is None or not self.is_done(path, cls, key):
            root = self._workspace.root
            again = f"'edge-ad {step} {root}'" if step != "train" else f"'edge-ad train … -o {root}'"
            raise ConfigurationError(f"{_flaw(path, record, key)}: run {again} first, or 'edge-ad build'")
        return record

    def _path(self, asset: AssetSource, name: str) -> Path:
        return self._workspace.asset_file(asset.name, name)


def _flaw(path: Path, record: _Record | None, key: str) -> str:
    """Which file keeps a record from counting, and why."""
    if record is None:
        return f"{path} {'is damaged' if path.exists() else 'is missing'}"
    if record.key != key:
        return f"{path} does not fit the plan"
    for name, digest in record.files.items():
        file = path.with_name(name)
        if (found := file_sha256(file)) != digest:
            return f"{file} {'is missing' if found is None else 'is damaged, or was changed since'}"
    return f"{path} names no files"


def file_sha256(path: Path) -> str | None:
    """Digest of a file's bytes; None for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
