"""The folder a build works in, and what every step finds and leaves there.

    DIR/build.json                        the plan: recordings, format, settings
    DIR/work/ASSET/MODEL.weights.npz      trained weights            + MODEL.training.json
    DIR/work/ASSET/MODEL.keras.npz        the trained model's scores, to compare converted ones with
    DIR/work/ASSET/VARIANT.tflite         a converted model          + VARIANT.conversion.json
    DIR/work/ASSET/VARIANT.decisions.npz  scores and decisions       + VARIANT.evaluation.json
    DIR/gate.json                         the parity gate's verdict
    DIR/bundles/ASSET.edgead              the bundles
    DIR/summary.json                      the comparison

Every `.json` record carries the key of the inputs it was made from, and is written after the file it
describes: a step that finds its record with the right key has nothing to do.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edge_ad import __version__
from edge_ad.bundle.archive import sha256
from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.bundle.manifest import Precision
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.architecture import Architecture
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.settings import MODEL_UNITS, BuildSettings

T = TypeVar("T")


@dataclass(frozen=True)
class AssetSource:
    """Where an asset's recording is."""

    name: str
    file: str
    """Path, relative to the build folder where the file is inside it."""
    sha256: str
    n_rows: int


@dataclass(frozen=True)
class BuildPlan:
    """What a build is to do; the same for all its steps."""

    format: RecordingFormat
    settings: BuildSettings
    assets: tuple[AssetSource, ...]
    preset: str | None = None
    """Name of the preset the format came from; None for a format of the user's own."""

    def architecture(self, model: str) -> Architecture:
        """The shape of a model of this build."""
        units = MODEL_UNITS[model]
        return Architecture(self.settings.window_length, len(self.format.channels), (units,), (units,))


def variant_name(model: str, precision: Precision) -> str:
    """The name of a converted form, `tiny-int8`."""
    return f"{model}-{precision}"


class Workspace:
    """Paths and records of one build folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def bundles(self) -> Path:
        """Folder of the finished bundles."""
        return self.root / "bundles"

    @property
    def recordings(self) -> Path:
        """Folder of recordings that the build made itself (simulated ones)."""
        return self.root / "recordings"

    def asset_file(self, asset: str, name: str) -> Path:
        """A file of an asset."""
        return self.root / "work" / asset / name

    def save_plan(self, plan: BuildPlan) -> None:
        """Write the plan, and make the assets' folders. Raises OutputError."""
        make_folder(self.root)
        for asset in plan.assets:
            make_folder(self.root / "work" / asset.name)
        write_atomic(self.root / "build.json", canonical_json(encode(plan)))

    def load_plan(self) -> BuildPlan:
        """Read the plan. Raises ConfigurationError where the folder is not that of a build."""
        plan = self.load(self.root / "build.json", BuildPlan)
        if plan is None:
            raise ConfigurationError(
                f"{self.root} holds no usable build.json: run 'edge-ad train' into that folder first"
            )
        return plan

    def recording(self, plan: BuildPlan, asset: AssetSource) -> Recording:
        """Read an asset's recording. Raises DataError, also where the file has changed since."""
        path = self.root / asset.file
        recording = read_recording(path, plan.format, asset.name)
        if recording.sha256 != asset.sha256:
            raise DataError(f"{path} has changed since this build began: start it again")
        return recording

    def load(self, path: Path, cls: type[T]) -> T | None:
        """A record, or None where it is missing or damaged (a step then runs again)."""
        try:
            return decode(cls, parse_json(path.read_bytes()))
        except (OSError, DecodeError):
            return None

    def require(self, path: Path, cls: type[T], step: str) -> T:
        """A record that an earlier step leaves. Raises ConfigurationError naming the step."""
        record = self.load(path, cls)
        if record is None:
            raise ConfigurationError(
                f"{path} is missing: run 'edge-ad {step} {self.root}' first, or 'edge-ad build'"
            )
        return record

    def is_done(self, path: Path, cls: type[Any], key: str) -> bool:
        """Whether a step's record is there and was made from the same inputs."""
        record = self.load(path, cls)
        return record is not None and record.key == key


def save_record(path: Path, record: object) -> None:
    """Write a step's record. Raises OutputError."""
    write_atomic(path, canonical_json(encode(record)))


def step_key(**inputs: object) -> str:
    """A digest of everything a step's result depends on, this program's version included."""
    return sha256(canonical_json({"edge_ad": __version__, **encode(inputs)}))


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as `.npz`. Raises OutputError."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **dict(arrays))  # type: ignore[arg-type]  # numpy's stub has a bool option
    write_atomic(path, stream.getvalue())


def load_arrays(path: Path, step: str) -> dict[str, NDArray[Any]]:
    """Read arrays of `save_arrays`. Raises ConfigurationError naming the step that makes them."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise ConfigurationError(f"{path} cannot be read: run 'edge-ad {step}' again") from error
