"""What the spool has on disk: events, which sinks still wait for each, and where the streams are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from edge_ad.runtime.agent.database import PAGE, Damaged, Database
from edge_ad.runtime.events import Event

_SCHEMA = """
CREATE TABLE sink (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    asset TEXT NOT NULL,
    change TEXT NOT NULL,
    severity TEXT,
    rank INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX event_by_rank ON event (rank, number);
CREATE TABLE waiting (sink INTEGER, event INTEGER, PRIMARY KEY (sink, event)) WITHOUT ROWID;
CREATE TABLE checkpoint (asset TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE dropped (severity TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE refused (number INTEGER PRIMARY KEY, sink TEXT, id TEXT, body TEXT)
"""
_TABLES = {"sink", "event", "waiting", "checkpoint", "dropped", "refused"}
_AT_ONCE = 500
"""Events that one transaction removes, so that the write-ahead log stays small."""
_MOST_REFUSED = 1000
_KEPT_FREE = 256
"""Pages that are not given back: the next backlog will need them."""


class SpoolFile:
    """Changes are on disk when the call that made them returns.

    All raise CannotUse where the disk does not let them, and Damaged: then there is nothing to be done with
    the file but `set_aside`.
    """

    def __init__(self, path: Path, sinks: Sequence[str], *, most_events: int, most_bytes: int) -> None:
        most_pages = most_bytes // PAGE
        self._db = Database(
            path, _SCHEMA, _TABLES, application_id=0x65644164, version=1, most_pages=most_pages
        )
        self._sinks = tuple(sinks)
        self._most_events = most_events
        # The rest is for what a transaction takes before room is made for it.
        self._most_used_pages = most_pages - most_pages // 8
        self._keys: dict[str, int] = {}
        self.n_events = 0
        self.n_waiting: dict[str, int] = {}
        """Events, by sink."""
        self.left_behind: dict[str, int] = {}
        """Sinks that are configured no longer, and how many events were waiting for them."""
        self.lost_at_start = 0
        """Events that the bounds, narrower than they were, had no room for."""

    def open(self) -> None:
        """Make the file ready; errors as of `Database.open`."""
        self._db.open()
        self._settle_sinks()
        self.n_events = self._db.one("SELECT count(*) FROM event")
        sql = "SELECT count(*) FROM waiting WHERE sink = ?"
        self.n_waiting = {name: self._db.one(sql, key) for name, key in self._keys.items()}
        while n := self._shrink():
            self.lost_at_start += n

    def close(self) -> None:
        """Let others have it."""
        self._db.close()

    def set_aside(self) -> Path | None:
        """Rename it for a person to look at, and close; the new name, None where the file was gone."""
        return self._db.set_aside()

    def is_own(self) -> bool:
        """Whether the file was neither removed nor replaced."""
        return self._db.is_own()

    # --- reading ------------------------------------------------------------------------------------

    def checkpoints(self) -> dict[str, str]:
        """By asset."""
        return dict(self._db.rows("SELECT asset, text FROM checkpoint"))

    def dropped(self) -> Counter[str]:
        """Events that there was no room for, ever, by severity."""
        return Counter(dict(self._db.rows("SELECT severity, n FROM dropped")))

    def has(self, id_: str) -> bool:
        """Whether a sink waits for that event."""
        return bool(self._db.rows("SELECT 1 FROM event WHERE id = ?", id_))

    def pending(self, sink: str, limit: int, skip: Collection[str]) -> list[Event]:
        """What a sink waits for, oldest first, but for some ids."""
        sql = """SELECT id, asset, change, severity, rank, body FROM waiting CROSS JOIN event
                 ON number = waiting.event WHERE sink = ? ORDER BY waiting.event LIMIT ?"""
        rows = self._db.rows(sql, self._keys[sink], limit + len(skip))
        if not rows and self.n_waiting[sink]:
            raise Damaged("events are missing from it")
        return [event for event in (Event(*row) for row in rows) if event.id not in skip][:limit]

    # --- writing ------------------------------------------------------------------------------------

    def write(
        self,
        events: Sequence[tuple[Event, Collection[str]]],
        checkpoints: Mapping[str, str],
        dropped: Mapping[str, int],
    ) -> Counter[str]:
        """Take in events with the sinks that wait for each, where the streams are, and what was lost before.

        In one transaction. Returns the events for which there was no room, by severity.
        """
        n_events, n_waiting = self.n_events, dict(self.n_waiting)
        lost: Counter[str] = Counter()
        with self._db.transaction():
            for event, sinks in events:
                if number := self._insert(event):
                    n_events += 1
                    for sink in sinks:
                        self._db.do("INSERT OR IGNORE INTO waiting VALUES (?, ?)", self._keys[sink], number)
                        n_waiting[sink] += 1
                    n_events = self._drop(n_events, n_waiting, lost, n_events)
            sql = """INSERT INTO checkpoint VALUES (?, ?)
                     ON CONFLICT (asset) DO UPDATE SET text = excluded.text"""
            for asset, text in checkpoints.items():
                self._db.do(sql, asset, text)
            self._count_dropped(Counter(dropped) + lost)
        self.n_events, self.n_waiting = n_events, n_waiting
        return lost

    def remove(self, sink: str, ids: Sequence[str], *, refused: bool) -> None:
        """A sink waits for these no longer; what it refused is kept apart, up to a thousand."""
        for start in range(0, len(ids), _AT_ONCE):
            n_events, n_waiting = self.n_events, dict(self.n_waiting)
            with self._db.transaction():
                for id_ in ids[start : start + _AT_ONCE]:
                    for number, body in self._db.rows("SELECT number, body FROM event WHERE id = ?", id_):
                        n_removed = self._unlist(sink, number)
                        n_waiting[sink] -= n_removed
                        if refused and n_removed:
                            values = sink, id_, body
                            self._db.do("INSERT INTO refused (sink, id, body) VALUES (?, ?, ?)", *values)
                        n_events -= self._remove_unawaited(number)
                sql = "DELETE FROM refused WHERE number <= (SELECT max(number) FROM refused) - ?"
                self._db.do(sql, _MOST_REFUSED)
            self.n_events, self.n_waiting = n_events, n_waiting

    def tidy(self) -> None:
        """Give back some of the room that a long backlog took, at most a megabyte in a call."""
        if self._db.n_free_pages() > max(_KEPT_FREE, self._db.n_used_pages()):
            self._db.give_back(_KEPT_FREE)

    def _insert(self, event: Event) -> int | None:
        """The number of a new row; None where there is one."""
        sql = (
            "INSERT OR IGNORE INTO event (id, asset, change, severity, rank, body) VALUES (?, ?, ?, ?, ?, ?)"
        )
        values = event.id, event.asset, event.change, event.severity, event.rank, event.body
        return self._db.one("SELECT last_insert_rowid()") if self._db.do(sql, *values) else None

    def _drop(self, n_events: int, n_waiting: dict[str, int], dropped: Counter[str], most: int) -> int:
        """Make room: the oldest event of the lowest rank goes, and again, at most so often. How many stay."""
        while most > 0 and n_events and not self._is_room(n_events):
            rows = self._db.rows("SELECT number, severity FROM event ORDER BY rank, number LIMIT 1")
            if not rows:
                raise Damaged("events are missing from it")
            number, severity = rows[0]
            for sink in self._keys:
                n_waiting[sink] -= self._unlist(sink, number)
            self._db.do("DELETE FROM event WHERE number = ?", number)
            dropped[severity or "none"] += 1
            n_events -= 1
            most -= 1
        return n_events

    def _is_room(self, n_events: int) -> bool:
        return n_events <= self._most_events and self._db.n_used_pages() <= self._most_used_pages

    def _shrink(self) -> int:
        """Drop some events where there are too many; how many."""
        n_waiting, dropped = dict(self.n_waiting), Counter[str]()
        if self._is_room(self.n_events):
            return 0
        with self._db.transaction():
            n_events = self._drop(self.n_events, n_waiting, dropped, _AT_ONCE)
            self._count_dropped(dropped)
        self.n_events, self.n_waiting = n_events, n_waiting
        return dropped.total()

    def _unlist(self, sink: str, number: int) -> int:
        return self._db.do("DELETE FROM waiting WHERE sink = ? AND event = ?", self._keys[sink], number)

    def _remove_unawaited(self, number: int) -> int:
        """How many events this removes: none as long as a sink waits for it."""
        sql = """DELETE FROM event WHERE number = ? AND NOT EXISTS
                 (SELECT 1 FROM waiting WHERE sink IN (SELECT key FROM sink) AND event = ?)"""
        return self._db.do(sql, number, number)

    def _count_dropped(self, dropped: Mapping[str, int]) -> None:
        sql = "INSERT INTO dropped VALUES (?, ?) ON CONFLICT (severity) DO UPDATE SET n = n + excluded.n"
        for severity, n in dropped.items():
            self._db.do(sql, severity, n)

    # --- sinks --------------------------------------------------------------------------------------

    def _settle_sinks(self) -> None:
        """Know the sinks that are configured, and forget those that are no longer."""
        known: dict[str, int] = dict(self._db.rows("SELECT name, key FROM sink"))
        for name in sorted(known.keys() - set(self._sinks)):
            self._keys[name] = known[name]
            self.left_behind[name] = 0
            while n := self._forget_some(name):
                self.left_behind[name] += n
        missing = [name for name in self._sinks if name not in known]
        if missing or self.left_behind:
            with self._db.transaction():
                for name in self.left_behind:
                    self._db.do("DELETE FROM sink WHERE name = ?", name)
                for name in missing:
                    self._db.do("INSERT INTO sink (name) VALUES (?)", name)
        self._keys = dict(self._db.rows("SELECT name, key FROM sink"))

    def _forget_some(self, sink: str) -> int:
        """How many events a sink that is gone waits for no longer; 0 where it waited for none."""
        with self._db.transaction():
            sql = "SELECT event FROM waiting WHERE sink = ? LIMIT ?"
            numbers = [number for (number,) in self._db.rows(sql, self._keys[sink], _AT_ONCE)]
            for number in numbers:
                self._unlist(sink, number)
                self._remove_unawaited(number)
        return len(numbers)
