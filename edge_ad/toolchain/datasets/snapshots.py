"""Snapshot files to a recording: a folder or a packed archive of them becomes one row per file.

An archive is read as a stream and never unpacked to disk; files go to worker processes a few at a time, so
that memory stays small however many there are.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge_ad.bundle.archive import sha256
from edge_ad.bundle.manifest import CsvFormat
from edge_ad.detect.features import SnapshotFeatures
from edge_ad.errors import DataError
from edge_ad.runtime.sources.snapshot_text import (
    SnapshotError,
    feature_line,
    header_line,
    largest_snapshot,
    snapshot_time,
)
from edge_ad.toolchain.pool import run_tasks

_PER_TASK = 8
"""Snapshots that go to a worker together: 4 MB of the usual ones."""
_TIME_LIMIT_S = 600.0
_MOST_TOLD = 20
_OPENERS: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\xfd7zXZ\x00": lzma.open,
    b"\x1f\x8b": gzip.open,  # type: ignore[dict-item]
    b"BZh": bz2.open,
}
_BROKEN = (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error)
_SUFFIXES = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Flaw:
    """A file that could not be used."""

    name: str
    """Its path in the folder or archive."""
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class SnapshotTable:
    """What was made of a set of snapshots."""

    text: str
    """A recording as CSV text: a row per snapshot, in order of time."""
    n_snapshots: int
    flaws: tuple[Flaw, ...]
    """What was left out."""


@dataclass(frozen=True)
class _Entry:
    """A file that is named after a time; `content` is where it is, or holds it."""

    name: str
    content: Path | bytes


@dataclass(frozen=True)
class _Task:
    entries: tuple[_Entry, ...]
    settings: SnapshotFeatures
    layout: CsvFormat
    largest_file: int


def is_snapshot_archive(path: Path) -> bool:
    """Whether a file is named as an archive that can hold snapshots."""
    return path.name.lower().endswith(_SUFFIXES)


def source_name(path: Path) -> str:
    """Name of a folder or archive, without what says how it is packed."""
    name = path.resolve().name
    suffixes = sorted((s for s in _SUFFIXES if name.lower().endswith(s)), key=len)
    return name[: -len(suffixes[-1])] if suffixes and not path.is_dir() else name


def source_digest(path: Path) -> str:
    """SHA-256 of an archive, or of all names and contents in a folder. Raises DataError."""
    try:
        if path.is_file():
            return _file_digest(path)
        listed = "".join(f"{_file_digest(file)}  {file.relative_to(path)}\n" for file in _files(path))
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
    return sha256(listed.encode())


def read_snapshots(
    path: Path,
    settings: SnapshotFeatures,
    layout: CsvFormat,
    *,
    jobs: int,
    skip: bool,
    on_progress: Callable[[float, int], None] = lambda share, n: None,
) -> SnapshotTable:
    """The features of every snapshot in a folder, or in a `.tar` archive, packed or not.

    With `skip` files that cannot be used are left out and told of in the result; without, they end in an
    error that names them. `on_progress` is told the share of the input that is read, and how many snapshots
    were in it. Raises DataError; also where nothing can be used at all.
    """
    flaws: list[Flaw] = []
    reading = _Reading(path, flaws)
    largest_file = largest_snapshot(settings)
    entries = _of_distinct_times(reading.entries(largest_file), settings, flaws)
    tasks = (_Task(some, settings, layout, largest_file) for some in _chunks(entries))
    rows: list[tuple[str, str]] = []
    for outcome in run_tasks(
        _extract, tasks, jobs=jobs, time_limit_s=_TIME_LIMIT_S, most_waiting=2 * jobs, describe=_describe
    ):
        if outcome.result is None:
            raise outcome.error or DataError(f"{path}: a worker process gave no answer")
        flaws += [line for line in outcome.result if isinstance(line, Flaw)]
        lines = zip(outcome.task.entries, outcome.result, strict=True)
        rows += [(_base(entry.name), line) for entry, line in lines if not isinstance(line, Flaw)]
        on_progress(reading.share, len(rows))
    flaws.sort(key=lambda flaw: flaw.name)
    if flaws and (not skip or not rows):
        raise DataError(_told(path, flaws, len(rows), skip=skip))
    if not rows:
        raise DataError(f"{path} holds no snapshot files")
    rows.sort(key=lambda row: snapshot_time(row[0], settings))
    text = "\n".join([header_line(settings, layout), *(line for _, line in rows)]) + "\n"
    return SnapshotTable(text, len(rows), tuple(flaws))


class _Reading:
    """Goes once through a folder or an archive, and knows how far it is."""

    def __init__(self, path: Path, flaws: list[Flaw]) -> None:
        self._path, self._flaws = path, flaws
        self.share = 0.0

    def entries(self, largest_file: int) -> Iterator[_Entry]:
        if self._path.is_dir():
            yield from self._in_folder()
        elif self._path.is_file():
            yield from self._in_archive(largest_file)
        else:
            raise DataError(f"{self._path} does not exist; give a folder of snapshot files or an archive")

    def _in_folder(self) -> Iterator[_Entry]:
        try:
            files = _files(self._path)
        except OSError as error:
            raise DataError(f"cannot read {error.filename or self._path}: {error.strerror}") from error
        for number, file in enumerate(files, start=1):
            self.share = number / len(files)
            yield _Entry(str(file.relative_to(self._path)), file)

    def _in_archive(self, largest_file: int) -> Iterator[_Entry]:
        path, n_files = self._path, 0
        try:
            size = max(path.stat().st_size, 1)
            with path.open("rb") as raw:
                magic = raw.read(6)
                raw.seek(0)
                opener = next((o for start, o in _OPENERS.items() if magic.startswith(start)), None)
                unpacked: Any = opener(raw) if opener else raw  # type: ignore[arg-type]  # a file will do
                with tarfile.open(fileobj=unpacked, mode="r|", bufsize=1 << 20) as archive:
                    for member in archive:
                        self.share = raw.tell() / size
                        if member.isdir() or Path(member.name).name.startswith("."):
                            continue
                        entry = self._member(archive, member, largest_file)
                        n_files += 1
                        if entry is not None:
                            yield entry
                while unpacked.read(1 << 20):  # what is packed must come to its end
                    pass
                self.share = 1.0
        except _BROKEN as error:
            if not n_files:
                why = error.strerror if isinstance(error, OSError) and error.strerror else error
                raise DataError(
                    f"cannot read {path} as an archive: {why}; give a folder of snapshot files, or a .tar, "
                    ".tar.gz, .tar.bz2 or .tar.xz file"
                ) from error
            reason = f"the archive is damaged or cut off after {n_files} files ({error})"
            self._flaws.append(Flaw(path.name, reason))

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, largest_file: int) -> _Entry | None:
        if not member.isfile():
            self._flaws.append(Flaw(member.name, "is no regular file"))
            return None
        if member.size > largest_file:
            self._flaws.append(Flaw(member.name, _too_large(member.size, largest_file)))
            return None
        file = archive.extractfile(member)
        content = file.read() if file is not None else b""
        if len(content) != member.size:
            raise EOFError(f"within {member.name}")
        return _Entry(member.name, content)


def _of_distinct_times(
    entries: Iterable[_Entry], settings: SnapshotFeatures, flaws: list[Flaw]
) -> Iterator[_Entry]:
    """Entries whose name is a time that no other one has."""
    seen: dict[Any, str] = {}
    for entry in entries:
        try:
            time = snapshot_time(_base(entry.name), settings)
        except SnapshotError as error:
            flaws.append(Flaw(entry.name, str(error)))
            continue
        if time in seen:
            flaws.append(Flaw(entry.name, f"is of the same time as {seen[time]}"))
            continue
        seen[time] = entry.name
        yield entry


def _chunks(entries: Iterable[_Entry]) -> Iterator[tuple[_Entry, ...]]:
    chunk: list[_Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == _PER_TASK:
            yield tuple(chunk)
            chunk = []
    if chunk:
        yield tuple(chunk)


def _extract(task: _Task) -> list[str | Flaw]:
    """In a worker: the line of each snapshot, or why there is none."""
    return [_extract_one(entry, task) for entry in task.entries]


def _extract_one(entry: _Entry, task: _Task) -> str | Flaw:
    try:
        content = entry.content
        if isinstance(content, Path):
            with content.open("rb") as file:
                content = file.read(task.largest_file + 1)
        if len(content) > task.largest_file:
            return Flaw(entry.name, _too_large(len(content), task.largest_file))
        return feature_line(_base(entry.name), content, task.settings, task.layout)
    except OSError as error:
        return Flaw(entry.name, f"cannot be read: {error.strerror}")
    except SnapshotError as error:
        return Flaw(entry.name, str(error))


def _describe(task: _Task) -> str:
    return f"{task.entries[0].name} and the {len(task.entries) - 1} snapshots after it"


def _told(path: Path, flaws: list[Flaw], n_good: int, *, skip: bool) -> str:
    lines = [f"  {flaw}" for flaw in flaws[:_MOST_TOLD]]
    if len(flaws) > _MOST_TOLD:
        lines.append(f"  … and {len(flaws) - _MOST_TOLD} more")
    hint = (
        "there is nothing left to use" if skip else "mend them, or leave them out with --bad-snapshots skip"
    )
    head = f"{path}: {len(flaws)} of {len(flaws) + n_good} files cannot be used; {hint}:"
    return "\n".join([head, *lines])


def _too_large(size: int, largest: int) -> str:
    return f"has {size} bytes or more, where a snapshot has at most {largest}; it is something else"


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _files(folder: Path) -> list[Path]:
    """All files below a folder that are not hidden, in order of their paths."""
    found = (file for file in folder.rglob("*") if not file.is_dir() and not file.name.startswith("."))
    return sorted(found)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
