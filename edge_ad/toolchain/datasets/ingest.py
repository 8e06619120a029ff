"""Snapshots of a build: made into a recording once, and kept for as long as nothing about them changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle.archive import sha256
from edge_ad.errors import DataError
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.datasets.discover import asset_name
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.snapshots import (
    Flaw,
    is_snapshot_archive,
    read_snapshots,
    source_digest,
    source_name,
)
from edge_ad.toolchain.workspace import Workspace, save_record, step_key

if TYPE_CHECKING:
    from edge_ad.toolchain.build import Progress

_PARTS = 20
"""Into which the work is cut for those who wait: how many files an archive holds shows at its end only."""


@dataclass(frozen=True)
class IngestionRecord:
    """The contents of `ASSET.snapshots.json`, beside the recording `ASSET.csv`."""

    key: str
    sha256: str
    """Of the recording."""
    source: str
    """Path of the folder or archive."""
    source_sha256: str
    """Digest of all that is in it."""
    n_snapshots: int
    skipped: tuple[Flaw, ...]


def holds_snapshots(data: Path, recording_format: RecordingFormat) -> bool:
    """Whether there are snapshots to be read, rather than a recording that was made of them before."""
    if recording_format.snapshots is None:
        return False
    if not data.exists():
        raise DataError(f"{data} does not exist; give a folder of snapshot files or an archive")
    return data.is_dir() or is_snapshot_archive(data) or data.suffix.lower() != ".csv"


def ingest(
    workspace: Workspace,
    data: Path,
    recording_format: RecordingFormat,
    *,
    skip: bool,
    jobs: int,
    progress: Progress,
) -> Path:
    """The recording of a folder or archive of snapshots: its CSV file in the workspace.

    Made anew only where what is in the source, or what is to be made of it, has changed. Raises DataError,
    OutputError.
    """
    settings = recording_format.snapshots
    if settings is None:
        raise DataError(f"{data}: the format tells nothing of snapshots")
    name = asset_name(Path(f"{source_name(data)}.csv"))
    path, record_path = workspace.recordings / f"{name}.csv", workspace.recordings / f"{name}.snapshots.json"
    digest = source_digest(data)
    key = step_key(source=digest, snapshots=settings, layout=recording_format.input)
    found = workspace.load(record_path, IngestionRecord)
    usable = found is not None and found.key == key and _is(path, found.sha256)
    if found is not None and usable and (skip or not found.skipped):
        progress.start("features", 0, found.n_snapshots)
        progress.finish()
        return path
    told = 0
    progress.start("features", _PARTS, 0)

    def tell(share: float, n: int) -> None:
        nonlocal told
        while told < min(int(share * _PARTS), _PARTS):
            told += 1
            progress.advance(name, f"{n} snapshots")

    try:
        table = read_snapshots(data, settings, recording_format.input, jobs=jobs, skip=skip, on_progress=tell)
    finally:
        progress.finish()
    make_folder(workspace.recordings)
    content = table.text.encode()
    write_atomic(path, content)
    record = IngestionRecord(
        key, sha256(content), str(data.resolve()), digest, table.n_snapshots, table.flaws
    )
    save_record(record_path, record)
    return path


def ingestion_of(recording: Path) -> IngestionRecord | None:
    """What is known of the snapshots a recording was made of; None where it was made otherwise."""
    return Workspace(recording.parent).load(recording.with_suffix(".snapshots.json"), IngestionRecord)


def _is(path: Path, digest: str) -> bool:
    try:
        return sha256(path.read_bytes()) == digest
    except OSError:
        return False
