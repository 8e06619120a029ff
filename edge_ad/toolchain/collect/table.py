"""What a fleet's index has of what was heard: the newest of every asset, daily reports, alarms, agents."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from edge_ad.toolchain.collect.observation import AlarmEvent, Observation
from edge_ad.toolchain.fleet.store import FleetStore

_TYPES = {"str": "TEXT NOT NULL", "str | None": "TEXT", "int | None": "INTEGER", "float | None": "REAL"}
_FIELDS = {field.name: _TYPES[str(field.type)] for field in dataclasses.fields(Observation)}
_COLUMNS = ", ".join(f"{name} {declared}" for name, declared in _FIELDS.items())
_NAMES = ", ".join(_FIELDS)
_MARKS = ", ".join("?" * len(_FIELDS))
_DAY = ("decisions", "alarms", "episodes", "unknown_share", "drift", "psi", "ks", "beyond_share")
_SCHEMA = (
    f"CREATE TABLE IF NOT EXISTS health ({_COLUMNS}, day TEXT NOT NULL, PRIMARY KEY (asset, day, host)) "
    "WITHOUT ROWID",
    f"CREATE TABLE IF NOT EXISTS health_now ({_COLUMNS}, reported TEXT, PRIMARY KEY (asset)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS alarm_events (id TEXT PRIMARY KEY, asset TEXT NOT NULL, host TEXT NOT NULL, "
    "change TEXT NOT NULL, start TEXT NOT NULL, severity TEXT, bundle_id TEXT) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS alarm_events_by_asset ON alarm_events (asset, start)",
    "CREATE TABLE IF NOT EXISTS agents (host TEXT PRIMARY KEY, status TEXT NOT NULL, time TEXT NOT NULL) "
    "WITHOUT ROWID",
)
DAYS_KEPT = 90
"""Of each asset: that many days of which there is a report, the newest ones."""
EVENTS_KEPT = 1000
"""Of each asset, the newest ones."""
_OLDEST_DAY = (
    f"SELECT DISTINCT day FROM health WHERE asset = ? ORDER BY day DESC LIMIT 1 OFFSET {DAYS_KEPT - 1}"
)
_OLDEST_EVENT = (
    f"SELECT start FROM alarm_events WHERE asset = ? ORDER BY start DESC LIMIT 1 OFFSET {EVENTS_KEPT - 1}"
)
_SAME = "substr(excluded.bundle_id, 1, 12) IS substr(health_now.bundle_id, 1, 12)"
_IS_REPORT = "excluded.decisions IS NOT NULL"


def _update() -> str:
    """How a row changes by a later word."""
    changes = []
    for name in _FIELDS:
        old, new = f"health_now.{name}", f"excluded.{name}"
        if name in _DAY:  # a state says nothing of the day: what the last report said of the bundle stays
            new = f"CASE WHEN {_IS_REPORT} OR NOT {_SAME} THEN {new} ELSE {old} END"
        elif name in ("bundle_id", "build_number"):  # a state has but the beginning of an id, a summary none
            is_told = f"excluded.bundle_id IS NOT NULL AND ({_IS_REPORT} OR NOT {_SAME})"
            new = f"CASE WHEN {is_told} THEN {new} ELSE {old} END"
        if name != "asset":
            changes.append(f"{name} = {new}")
    return ", ".join(changes)


# Reports have the device's clock, states that of the stream: a report is held against reports alone.
_ALL = ", ".join(f"{name} = excluded.{name}" for name in _FIELDS)
# Figures of a day change slowly, and agents report every few minutes: of a day the last report is kept.
_KEEP_REPORT = (
    f"INSERT INTO health ({_NAMES}, day) VALUES ({_MARKS}, ?) ON CONFLICT (asset, day, host) DO UPDATE SET "
    f"{_ALL} WHERE excluded.time > health.time"
)
_KEEP_NEWEST = (
    f"INSERT INTO health_now ({_NAMES}, reported) VALUES ({_MARKS}, ?) ON CONFLICT (asset) DO UPDATE SET "
    f"{_update()}, reported = coalesce(excluded.reported, health_now.reported) WHERE CASE WHEN {_IS_REPORT} "
    "THEN excluded.time > coalesce(health_now.reported, '') ELSE excluded.time > health_now.time END"
)


@dataclass(frozen=True)
class Kept:
    """What became of what was heard."""

    observations: int
    """New ones."""
    events: int
    known: int
    """Heard before."""
    strange: tuple[str, ...]
    """Assets that the fleet does not know, of which nothing is kept."""
    left_out: int
    """Reports and events of those."""
    agents: int
    """Words of agents, news or not."""


def keep(
    store: FleetStore,
    observations: Iterable[Observation] = (),
    events: Iterable[AlarmEvent] = (),
    agents: Iterable[tuple[str, str, str]] = (),
) -> Kept:
    """Write down what was heard, all or nothing; the same again changes nothing.

    What is older than all that is kept of an asset counts as known, and what would be too much goes.
    `agents`: name, `online` or `offline`, and when that was heard. Raises OutputError, StoreError.
    """
    new = new_events = known = left_out = 0
    strange: dict[str, None] = {}
    told = list(agents)
    with store.transaction() as db:
        prepare_health(db)
        assets = {name for (name,) in db.execute("SELECT asset FROM assets")}
        for seen in observations:
            if seen.asset not in assets:
                strange[seen.asset] = None
                left_out += 1
                continue
            values = dataclasses.astuple(seen)
            changed, reported = 0, None
            if seen.has_health:
                changed, reported = _keep_report(db, seen), seen.time
            changed |= db.execute(_KEEP_NEWEST, (*values, reported)).rowcount
            new, known = (new + 1, known) if changed > 0 else (new, known + 1)
        for event in events:
            if event.asset not in assets:
                strange[event.asset] = None
                left_out += 1
                continue
            changed = _keep_event(db, event)
            new_events, known = (new_events + 1, known) if changed > 0 else (new_events, known + 1)
        db.executemany(
            "INSERT INTO agents VALUES (?, ?, ?) ON CONFLICT (host) DO UPDATE SET status = excluded.status, "
            "time = excluded.time WHERE excluded.status <> agents.status",
            told,
        )
    return Kept(new, new_events, known, tuple(strange), left_out, len(told))


def _keep_report(db: sqlite3.Connection, seen: Observation) -> int:
    """How many rows it made or changed."""
    day, oldest = seen.time[:10], db.execute(_OLDEST_DAY, (seen.asset,)).fetchone()
    if oldest is not None and day < oldest[0]:
        return 0
    changed = db.execute(_KEEP_REPORT, (*dataclasses.astuple(seen), day)).rowcount
    if oldest is not None and changed:
        db.execute(f"DELETE FROM health WHERE asset = ? AND day < ({_OLDEST_DAY})", (seen.asset, seen.asset))
    return changed


def _keep_event(db: sqlite3.Connection, event: AlarmEvent) -> int:
    """How many rows it made."""
    oldest = db.execute(_OLDEST_EVENT, (event.asset,)).fetchone()
    if oldest is not None and event.start < oldest[0]:
        return 0
    changed = db.execute(
        "INSERT OR IGNORE INTO alarm_events VALUES (?, ?, ?, ?, ?, ?, ?)", dataclasses.astuple(event)
    ).rowcount
    if oldest is not None and changed:
        db.execute(
            f"DELETE FROM alarm_events WHERE asset = ? AND start < ({_OLDEST_EVENT})",
            (event.asset, event.asset),
        )
    return changed


def prepare_health(db: sqlite3.Connection) -> None:
    """See that the tables are there; within a transaction."""
    for statement in _SCHEMA:
        db.execute(statement)


def newest(store: FleetStore) -> dict[str, Observation]:
    """What was heard last of every asset that anything was heard of. Raises OutputError, StoreError."""
    with store.transaction() as db:
        prepare_health(db)
        return {row[0]: Observation(*row) for row in db.execute(f"SELECT {_NAMES} FROM health_now")}
