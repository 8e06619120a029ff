"""A folder that a recorder puts snapshot files into: each becomes one sample, made of its features here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.detect.features import SnapshotFeatures
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.runtime.sources.regular_file import said
from edge_ad.runtime.sources.snapshot_text import (
    SnapshotError,
    feature_line,
    header_line,
    largest_snapshot,
    snapshot_time,
    stamp_of,
)
from edge_ad.runtime.sources.source import Line, Source, SourceContext
from edge_ad.runtime.sources.waiting import Pause
from edge_ad.text import printable

_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.05, 5.0
_PASSING = (".tmp", ".part", ".partial", "~")
"""How names end under which a file is written before it gets its own."""


@dataclass(frozen=True)
class SnapshotOptions:
    """Table of a source of kind `snapshots`."""

    path: str
    """The folder. Its files are only read; whoever writes them removes them."""
    poll_s: float | None = None
    """Seconds between two looks at the folder; default: a hundredth of the sample period, 0.05 to 5."""
    wait_s: float = 60.0
    """A file with too few rows is waited for until it has not changed for so long."""
    from_start: bool = True
    """Whether the files that are there at the first start of all are read, too."""

    def __post_init__(self) -> None:
        if not self.path or "\0" in self.path:
            raise ValueError(f"path {self.path!r} is not the name of a folder")
        if self.poll_s is not None and not 0.001 <= self.poll_s <= 3600:
            raise ValueError("poll_s must lie between 0.001 and 3600")
        if not 0 <= self.wait_s <= 86_400:
            raise ValueError("wait_s must lie between 0 and 86400")

    @property
    def address(self) -> str:
        """Where the stream comes from."""
        return self.path


Options = SnapshotOptions


def open_source(options: SnapshotOptions, context: SourceContext) -> Source:
    """The source; a folder that is not there yet is waited for.

    Raises ConfigurationError where the bundle knows nothing of snapshots.
    """
    if context.snapshots is None:
        raise ConfigurationError(
            f"the bundle of {context.asset} was not made of snapshot files: a source of kind snapshots is "
            "for those of the preset bearing, or of a format with [snapshots]"
        )
    return SnapshotFolder(options, context, context.snapshots)


@dataclass(frozen=True)
class _Found:
    """What a look at the folder came upon: the next file that is to be given, and what is to be told."""

    name: str | None = None
    time: datetime | None = None
    text: str = ""
    problem: str | None = None
    notes: tuple[tuple[str, str], ...] = ()
    waits: bool = False
    """Whether there is a file that is not whole yet."""
    names: frozenset[str] = field(default=frozenset())
    """Of all files that are there."""


class SnapshotFolder:
    """Gives every snapshot once, in order of the times in their names, also over restarts.

    A file that has too few rows is being written: it is waited for, and those after it wait as well. One that
    stays so, or cannot be used, becomes a line with the problem. The folder is read in a thread of its own,
    so that other assets have their turn meanwhile.
    """

    def __init__(
        self,
        options: SnapshotOptions,
        context: SourceContext,
        features: SnapshotFeatures,
        pause: Pause | None = None,
    ) -> None:
        """`pause` tells how long to wait for a folder that cannot be read."""
        self._path = Path(options.path)
        self._features, self._layout = features, context.layout
        period_s = context.sample_period_s / 100
        self._poll_s = options.poll_s or min(max(period_s, _SHORTEST_POLL_S), _LONGEST_POLL_S)
        self._wait_s = options.wait_s
        self._note, self._say = context.note, context.say
        self._pause = pause or Pause()
        self._last = _place(context, features)
        """Name and time of the newest file that was given."""
        self._skips = not options.from_start and self._last is None
        self._number = 0
        self._is_begun = self._is_live = self._is_missed = False
        self._known: frozenset[str] = frozenset()
        """Names of files that were there at the last look."""
        self._times: dict[str, datetime | SnapshotError] = {}
        """What the names stand for that were there at the last look."""
        self._seen: tuple[str, int, int, float] = ("", 0, 0, 0.0)
        """Name, size and time of change of the file that is waited for, and since when it is as it is."""

    async def read(self) -> Sequence[Line]:
        """See Source. Lines are timed, once those are read that were there before."""
        if not self._is_begun:
            self._is_begun = True
            return [Line(header_line(self._features, self._layout), first=True)]
        while True:
            await self._pause.wait()
            try:
                found = await asyncio.to_thread(self._look)
            except OSError as error:
                self._is_missed = True
                wait_s = self._pause.failed()
                self._note("unreadable-folder", f"{said(error, self._path)}; tried again in {wait_s:.0f} s")
                continue
            self._worked(found)
            if found.name is not None and found.time is not None:
                self._last = found.name, found.time
                self._number += 1
                arrived = monotonic() if self._is_live else None
                return [Line(found.text, self._number, arrived, problem=found.problem)]
            if not found.waits:
                self._is_live = True
            await asyncio.sleep(self._poll_s)

    def _worked(self, found: _Found) -> None:
        self._pause.worked()
        if self._is_missed:
            self._is_missed = False
            self._say(f"{self._path} can be read again")
        self._known = found.names
        for kind, text in found.notes:
            self._note(kind, text)

    def _look(self) -> _Found:
        """In a thread: the next file after the last one, if it is whole. Raises OSError for the folder."""
        names = frozenset(file.name for file in self._path.iterdir() if _counts(file.name))
        notes: list[tuple[str, str]] = []
        waiting: list[tuple[datetime, str]] = []
        last = self._last
        self._times = {name: self._times.get(name) or _time_or_flaw(name, self._features) for name in names}
        for name, time in self._times.items():
            is_new = name not in self._known
            if isinstance(time, SnapshotError):
                if is_new:
                    notes.append(("no-snapshot", f"{printable(name)}: {time}; it is not read"))
            elif last is None or time > last[1]:
                waiting.append((time, name))
            elif is_new and self._known and name != last[0]:
                notes.append(("late-snapshot", f"{printable(name)} came after {last[0]}; it is not read"))
        if not waiting:
            return _Found(notes=tuple(notes), names=names)
        if self._skips:
            self._skips = False
            time, name = max(waiting)
            self._last = name, time
            return _Found(notes=tuple(notes), names=names)
        time, name = min(waiting)
        text, problem, waits = self._examine(name)
        if waits:
            return _Found(notes=tuple(notes), names=names, waits=True)
        return _Found(name, time, text, problem, tuple(notes), names=names)

    def _examine(self, name: str) -> tuple[str, str | None, bool]:
        """The line of a file, why there is none, and whether it may still become whole."""
        path, features = self._path / name, self._features
        largest = largest_snapshot(features)
        try:
            status = path.stat()
            with path.open("rb") as file:
                content = file.read(largest + 1)
        except OSError as error:
            return name, f"{name} cannot be read: {error.strerror}", self._may_change(name, -1, 0)
        if len(content) > largest:
            return name, f"{name} has more than {largest} bytes: it is no snapshot", False
        try:
            is_ended = content.endswith(b"\n")
            line = feature_line(name, content, features, self._layout)
        except SnapshotError as error:
            has_all_rows = is_ended and content.count(b"\n") >= features.rows
            waits = not has_all_rows and self._may_change(name, status.st_size, status.st_mtime_ns)
            return name, f"{name}: {error}", waits
        # The last number of a file without a line end may be half of one.
        return line, None, not is_ended and self._may_change(name, status.st_size, status.st_mtime_ns)

    def _may_change(self, name: str, size: int, changed_ns: int) -> bool:
        """Whether a file has changed within the time that is waited."""
        now = monotonic()
        if self._seen[:3] != (name, size, changed_ns):
            self._seen = name, size, changed_ns, now
        return now - self._seen[3] < self._wait_s

    def position(self) -> str | None:
        """See Source."""
        return None if self._last is None else json.dumps({"snapshot": self._last[0]})

    def done(self) -> None:
        """See Source."""

    async def close(self) -> None:
        """See Source. Nothing is held open between two looks."""


def _counts(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(_PASSING)


def _place(context: SourceContext, features: SnapshotFeatures) -> tuple[str, datetime] | None:
    """The file that an earlier process came to. A position that makes no sense is noted."""
    if context.position is None:
        return None
    try:
        name = str(json.loads(context.position)["snapshot"])
        return name, snapshot_time(name, features)
    except (ValueError, KeyError, TypeError):
        context.note("position-lost", "the saved place in the folder makes no sense: it begins anew")
        return None


def _time_or_flaw(name: str, features: SnapshotFeatures) -> datetime | SnapshotError:
    try:
        return snapshot_time(name, features)
    except SnapshotError as error:
        return error


def folder_lines(
    folder: Path, features: SnapshotFeatures, layout: CsvFormat, say: Callable[[str], None]
) -> Iterator[str]:
    """The snapshots that a folder holds now as the lines of a recording, in order of time.

    One that cannot be used is told of, and is a line of its time alone, which is no sample. Raises DataError.
    """
    try:
        names = [file.name for file in folder.iterdir() if _counts(file.name)]
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}") from error
    timed: list[tuple[datetime, str]] = []
    for name in names:
        time = _time_or_flaw(name, features)
        if isinstance(time, SnapshotError):
            say(f"{name}: {time}; it is left out")
        else:
            timed.append((time, name))
    if not timed:
        raise DataError(f"{folder} holds no snapshot files; their names are times, {features.name_format}")
    yield header_line(features, layout) + "\n"
    largest = largest_snapshot(features)
    for time, name in sorted(timed):
        try:
            with (folder / name).open("rb") as file:
                content = file.read(largest + 1)
            if len(content) > largest:
                raise SnapshotError(f"has more than {largest} bytes")
            line = feature_line(name, content, features, layout)
        except OSError as error:
            say(f"{name} cannot be read: {error.strerror}")
            line = stamp_of(time, layout)
        except SnapshotError as error:
            say(f"{name}: {error}")
            line = stamp_of(time, layout)
        yield line + "\n"
