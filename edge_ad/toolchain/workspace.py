"""The folder a build works in, and what every step finds and leaves there.

    DIR/build.json                        the plan: recordings, format, settings
    DIR/work/ASSET/MODEL.weights.npz      trained weights            + MODEL.training.json
    DIR/work/ASSET/MODEL.keras.npz        the trained model's scores, to compare converted ones with
    DIR/work/ASSET/VARIANT.tflite         a converted model          + VARIANT.conversion.json
    DIR/work/ASSET/VARIANT.decisions.npz  scores and decisions       + VARIANT.evaluation.json
    DIR/gate.json                         the parity gate's verdict
    DIR/bundles/ASSET.edgead              the bundles
    DIR/summary.json                      the comparison
    DIR/seeds/SEED                        the same build with another seed, for `edge-ad evaluate --seeds`

Every `.json` record carries the key of the inputs it was made from, and is written after the file it
describes: a step that finds its record with the right key has nothing to do.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_ad import __version__
from edge_ad.bundle.archive import sha256
from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.bundle.manifest import Precision
from edge_ad.detect.budget import Sampling
from edge_ad.errors import ConfigurationError, DataError, OutputError
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.architecture import Architecture
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.models import MODELS
from edge_ad.toolchain.settings import BuildSettings

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

    def variants(self) -> Iterator[tuple[AssetSource, str, Precision]]:
        """Every converted form: asset, model and precision."""
        for asset in self.assets:
            for model in self.settings.models:
                for precision in self.settings.precisions:
                    yield asset, model, precision

    @property
    def sampling(self) -> Sampling:
        """How windows follow one another."""
        return Sampling(self.format.sample_period_s, self.settings.window_length)

    def architecture(self, model: str) -> Architecture:
        """The shape of a model of this build."""
        window_length, activation = self.settings.window_length, self.settings.activation
        return MODELS[model].architecture(window_length, len(self.format.channels), activation)


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

    def write_files(self, asset: str, files: Mapping[str, bytes]) -> dict[str, str]:
        """Write files of an asset; returns the digest of each by name. Raises OutputError."""
        for name, content in files.items():
            write_atomic(self.asset_file(asset, name), content)
        return {name: sha256(content) for name, content in files.items()}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other builds out of the folder. Raises OutputError where one is at work.

        The lock ends with the process, however it ends. Folders that were made for it, and that nothing was
        written into, are gone afterwards.
        """
        missing = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        path = self.root / ".lock"
        make_folder(self.root)
        try:
            lock = path.open("w")
        except OSError as error:
            raise OutputError(f"cannot write to {self.root}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # or it was another's, who had nothing to write, and has taken it away
                is_ours = os.path.samestat(os.fstat(lock.fileno()), path.stat())
            except (BlockingIOError, FileNotFoundError):
                is_ours = False
            if not is_ours:
                raise OutputError(f"another edge-ad is at work in {self.root}; wait for its end")
            try:
                yield
            finally:
                if missing:
                    _take_away(path, missing)


def _take_away(lock: Path, folders: list[Path]) -> None:
    """A lock and the folders around it, the innermost first, as far as nothing else is in them."""
    with suppress(OSError):  # something else is in it, or it is gone
        if os.listdir(lock.parent) == [lock.name]:
            lock.unlink()
        for folder in folders:
            folder.rmdir()


def save_record(path: Path, record: object) -> None:
    """Write a step's record. Raises OutputError."""
    write_atomic(path, canonical_json(encode(record)))


def step_key(**inputs: object) -> str:
    """A digest of everything a step's result depends on, this program's version included."""
    return sha256(canonical_json({"edge_ad": __version__, **encode(inputs)}))


def arrays_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays in `.npz` form."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **dict(arrays))  # type: ignore[arg-type]  # numpy's stub has a bool option
    return stream.getvalue()


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays of `arrays_npz` from a file that a record vouches for."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
