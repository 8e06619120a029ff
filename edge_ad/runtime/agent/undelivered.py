"""Events that sinks do not have yet: on disk, and in memory as long as the disk takes none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ad.errors import EdgeAdError
from edge_ad.files import make_durable_folder
from edge_ad.runtime.agent.database import CannotUse, Damaged
from edge_ad.runtime.agent.spool_file import SpoolFile
from edge_ad.runtime.events import Event
from edge_ad.runtime.troubles import Note

MOST_UNSAVED = 2000
"""Events that are kept in memory while the disk takes none."""
_MOST_UNSAVED_CHARACTERS = 4 << 20
"""Of their bodies."""
_MOST_UNMARKED = 2000
"""Deliveries to a sink that the disk does not know of. With as many, what is on disk is handed out no longer,
or all of it would be delivered again and again."""
_TROUBLE = (CannotUse, Damaged, EdgeAdError)


@dataclass
class _Unsaved:
    event: Event
    sinks: set[str]
    """Those that do not have it yet."""


class Undelivered:
    """Keeps every event until each of its sinks has it, within bounds, whatever becomes of the disk.

    Events and the states of the streams that they came from (checkpoints) are written in one transaction.
    While the disk does not take it, both stay in memory, in their order, so that no checkpoint is ever on
    disk before the events that precede it; each further call tries again.

    Where there is no room for all events, the oldest of the lowest rank goes first. An episode's rank only
    rises and its end comes last, so of one episode the end, which tells all of it, is dropped after what it
    began and worsened with. Whoever misses an end knows from the next `began` of the asset that it is over.

    Calls wait for the disk, and none may be made while another is under way. `n_waiting`, `dropped` and
    `n_unsaved` may be read at any time, from any thread.
    """

    def __init__(
        self,
        path: Path,
        sinks: Sequence[str],
        *,
        note: Note,
        say: Callable[[str], None],
        most_events: int = 100_000,
        most_bytes: int = 256_000_000,
        most_unsaved: int = MOST_UNSAVED,
        sinks_of: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`most_bytes` bounds the file; `sinks_of` names the sinks that are told of an asset, otherwise all.

        Raises ConfigurationError, StoreBusyError and OutputError, as `Database.open` does.
        """
        if most_events < 1 or most_bytes < 1_000_000:
            raise ValueError("a spool needs room for an event, and for a megabyte")
        make_durable_folder(path.parent)
        self._path = path
        self._sinks = tuple(sinks)
        self._sinks_of = sinks_of or {}
        self._note = note
        self._say = say
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._most_unsaved = min(most_unsaved, most_events)
        self._file: SpoolFile | None = None
        self._is_failing = False
        self._unsaved: dict[str, _Unsaved] = {}
        """By id, oldest first."""
        self._unmarked: dict[str, dict[str, bool]] = {sink: {} for sink in sinks}
        """Ids of events on disk that a sink is done with, and whether it refused them."""
        self._changed: set[str] = set()
        """Assets whose checkpoint is not on disk."""
        self._uncounted: Counter[str] = Counter()
        """Dropped, and the disk does not know of it."""
        self.checkpoints: Mapping[str, str] = {}
        """Newest of each asset."""
        self.dropped: Mapping[str, int] = {}
        """Events that there was no room for, ever, by severity (`none` without one)."""
        self.n_unsaved = 0
        """Events that are in memory alone."""
        self.n_waiting: Mapping[str, int] = {}
        """Events that a sink does not have yet, by sink."""
        try:
            self._ready()
        except CannotUse as error:
            self._bear(error)
        self._publish()

    # --- what pipelines do --------------------------------------------------------------------------

    def add(self, events: Sequence[Event], checkpoints: Mapping[str, str]) -> bool:
        """Take in events, and where the streams are after them; whether all of it is on disk.

        An event that a sink still waits for is not taken twice.
        """
        taken = []
        for event in events:
            sinks = set(self._sinks_of.get(event.asset, self._sinks))
            if sinks and event.id not in self._unsaved and self._fits(event):
                self._unsaved[event.id] = _Unsaved(event, sinks)
                taken.append(event.id)
        self.checkpoints = {**self.checkpoints, **checkpoints}
        self._changed |= checkpoints.keys()
        is_saved = self._save()
        if not is_saved:
            self._forget_known(taken)
        return is_saved

    def retry(self) -> None:
        """Write what is only in memory, if there is any; give back room that is needed no longer."""
        if self._save() and self._file is not None:
            try:
                self._file.tidy()
            except _TROUBLE as error:
                self._fail(self._file, error)

    def close(self) -> None:
        """Write what there is, and let go of the file."""
        if self._has_news():
            self._save()
        if self._unsaved:
            n = len(self._unsaved)
            self._note("events-lost", f"{n} events were neither saved nor delivered: they are lost", n)
        if self._file is not None:
            self._file.close()
            self._file = None

    # --- what couriers do ---------------------------------------------------------------------------

    def pending(self, sink: str, limit: int) -> list[Event]:
        """What a sink does not have yet, oldest first, at most so many."""
        unmarked, found = self._unmarked[sink], []
        if self._file is not None and len(unmarked) < _MOST_UNMARKED:
            try:
                found = self._file.pending(sink, limit, unmarked)
            except _TROUBLE as error:
                self._fail(self._file, error)
        unsaved = (entry.event for entry in self._unsaved.values() if sink in entry.sinks)
        return [*found, *unsaved][:limit]

    def done(self, sink: str, ids: Sequence[str], *, refused: bool = False) -> None:
        """A sink has these, or refused them for good."""
        for id_ in ids:
            unsaved = self._unsaved.get(id_)
            if unsaved is None:
                self._unmarked[sink][id_] = refused
                continue
            unsaved.sinks.discard(sink)
            if not unsaved.sinks:
                del self._unsaved[id_]
        self._save()

    # --- the disk -----------------------------------------------------------------------------------

    def _save(self) -> bool:
        """Write all that is not on disk; whether it is now."""
        try:
            file = self._ready()
            try:
                has_written = self._write(file)
            except Damaged as error:
                self._set_aside(file, error)
                has_written = self._write(self._ready())
        except _TROUBLE as error:
            self._bear(error)
            return False
        finally:
            self._publish()
        if self._is_failing and has_written:
            self._is_failing = False
            self._say(f"events are saved to {self._path} again")
        return True

    def _write(self, file: SpoolFile) -> bool:
        """Whether there was anything to write."""
        is_needed = self._has_news()
        for sink, ids in self._unmarked.items():
            for refused in (False, True):
                some = [id_ for id_, was_refused in ids.items() if was_refused is refused]
                if some:
                    file.remove(sink, some, refused=refused)
            ids.clear()
        if self._unsaved or self._changed or self._uncounted:
            events = [(entry.event, entry.sinks) for entry in self._unsaved.values()]
            lost = file.write(events, {a: self.checkpoints[a] for a in self._changed}, self._uncounted)
            self._unsaved.clear()
            self._changed.clear()
            self._uncounted.clear()
            self._count_dropped(lost, "the spool is full")
        return is_needed

    def _has_news(self) -> bool:
        return bool(self._unsaved or self._changed or self._uncounted or any(self._unmarked.values()))

    def _ready(self) -> SpoolFile:
        """The file, opened anew where it has to be."""
        if self._file is not None and not self._file.is_own():
            self._set_aside(self._file, Damaged("it was removed or replaced while it was in use"))
        for _ in range(2):
            if self._file is not None:
                break
            file = SpoolFile(
                self._path, self._sinks, most_events=self._most_events, most_bytes=self._most_bytes
            )
            try:
                file.open()
                self.checkpoints = {**file.checkpoints(), **self.checkpoints}
                self.dropped = file.dropped() + self._uncounted
                self._file = file
                self._note_dropped(file.lost_at_start, "the spool has less room than before")
            except Damaged as error:
                self._set_aside(file, error)
            finally:
                if self._file is None:
                    file.close()
            for sink, n in file.left_behind.items():
                self._say(f"sink {sink} is configured no longer: the {n} events that it lacked are dropped")
        if self._file is None:
            raise CannotUse("what is written there does not stay as it was")
        return self._file

    def _set_aside(self, file: SpoolFile, error: Damaged) -> None:
        """Go on without a file; a new one will have all that is known."""
        self._file = None
        for ids in self._unmarked.values():
            ids.clear()
        self._changed = set(self.checkpoints)
        self._uncounted = Counter(self.dropped)
        aside = file.set_aside()
        if aside is None:
            self._note("spool-lost", f"{self._path}: {error}; a new one is begun")
        else:
            self._note(
                "spool-damaged",
                f"{self._path} is damaged ({error}): it is kept as {aside.name}, with the events in it that "
                "were not delivered; a new one is begun",
            )

    def _fail(self, file: SpoolFile, error: Exception) -> None:
        """Reading went wrong."""
        try:
            if isinstance(error, Damaged):
                self._set_aside(file, error)
                return
        except CannotUse as worse:
            error = worse
        self._note("spool", f"{self._path} cannot be read: {error}; it is tried again")

    def _bear(self, error: Exception) -> None:
        """Go on in memory."""
        self._is_failing = True
        self._trim()
        self._note(
            "spool",
            f"events cannot be saved to {self._path}: {error}. They are kept in memory, up to "
            f"{self._most_unsaved}, and delivered from there; it is tried again",
        )

    # --- bounds -------------------------------------------------------------------------------------

    def _fits(self, event: Event) -> bool:
        n_bytes = len(event.body.encode(errors="replace"))
        if n_bytes <= self._most_bytes // 64:
            return True
        why = f"event {event.id} is out of proportion with {n_bytes} bytes"
        self._count_dropped({event.severity or "none": 1}, why)
        self._uncounted[event.severity or "none"] += 1
        return False

    def _trim(self) -> None:
        """Drop what memory has no room for."""
        lost: Counter[str] = Counter()
        size = sum(len(entry.event.body) for entry in self._unsaved.values())
        while len(self._unsaved) > self._most_unsaved or size > _MOST_UNSAVED_CHARACTERS:
            event = min((entry.event for entry in self._unsaved.values()), key=lambda event: event.rank)
            del self._unsaved[event.id]
            size -= len(event.body)
            lost[event.severity or "none"] += 1
        self._uncounted += lost
        self._count_dropped(lost, "memory is full")

    def _forget_known(self, ids: Sequence[str]) -> None:
        """Events that are on disk already, for all that nothing can be written there now."""
        try:
            for id_ in ids:
                if self._file is not None and id_ in self._unsaved and self._file.has(id_):
                    del self._unsaved[id_]
        except _TROUBLE:
            return  # it may be delivered twice
        self._publish()

    def _count_dropped(self, lost: Mapping[str, int], why: str) -> None:
        self.dropped = Counter(self.dropped) + Counter(lost)
        self._note_dropped(sum(lost.values()), why)

    def _note_dropped(self, n: int, why: str) -> None:
        if n:
            self._note("events-dropped", f"{why}: {n} events are dropped, the oldest of the mildest first", n)

    def _publish(self) -> None:
        n_waiting = dict.fromkeys(self._sinks, 0)
        for sink in self._sinks:
            if self._file is not None:
                n_waiting[sink] = max(0, self._file.n_waiting[sink] - len(self._unmarked[sink]))
            n_waiting[sink] += sum(sink in entry.sinks for entry in self._unsaved.values())
        self.n_waiting = n_waiting
        self.n_unsaved = len(self._unsaved)
