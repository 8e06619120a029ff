"""How a rollout went: a file per host, and what the fleet's index keeps of it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_ad.bundle.codec import DecodeError, decode, parse_json
from edge_ad.errors import OutputError
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.rollout.plan import Plan

HostState = Literal[
    "updated", "unchanged", "refused", "rolled-back", "not-serving", "unreachable", "waiting", "damaged"
]
"""`refused`: nothing was changed, what ran before runs on. `rolled-back`: it runs again. `not-serving`: the
service does not run, or not with what it ran before. `waiting`: its turn never came. `damaged`: its file of
results."""
WELL: tuple[HostState, ...] = ("updated", "unchanged")

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS rollout_hosts (rollout TEXT NOT NULL, host TEXT NOT NULL, "
    "stage TEXT NOT NULL, state TEXT NOT NULL, problem TEXT NOT NULL, time TEXT NOT NULL, "
    "PRIMARY KEY (rollout, host)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS running (asset TEXT PRIMARY KEY, host TEXT NOT NULL, "
    "bundle_id TEXT NOT NULL, time TEXT NOT NULL) WITHOUT ROWID",
)


@dataclass(frozen=True)
class _Outcome:
    """A host's file, as the role writes it."""

    rollout: str
    host: str
    stage: str
    time: str
    is_ok: bool
    is_reached: bool
    is_touched: bool
    is_serving: bool
    problem: str
    wanted: dict[str, str]
    before: dict[str, str | None]
    after: dict[str, str | None]


@dataclass(frozen=True)
class HostResult:
    """How one host came out."""

    host: str
    stage: str
    state: HostState
    problem: str = ""
    time: str = ""
    """UTC, ISO 8601; empty where nothing came out."""
    running: tuple[tuple[str, str], ...] = ()
    """Asset and id of the bundle that is active there, as far as the rollout is about it."""

    @property
    def is_well(self) -> bool:
        """Whether it runs what it should."""
        return self.state in WELL


def read_results(folder: Path, plan: Plan) -> tuple[HostResult, ...]:
    """Every host of the plan, in the order of stages."""
    return tuple(_result(folder, plan.id, host, stage.name) for stage in plan.stages for host in stage.hosts)


def _result(folder: Path, rollout: str, host: str, stage: str) -> HostResult:
    path = folder / "results" / f"{host}.json"
    try:
        found = decode(_Outcome, parse_json(path.read_bytes()))
    except FileNotFoundError:
        return HostResult(host, stage, "waiting")
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}") from error
    except DecodeError as error:
        return HostResult(host, stage, "damaged", f"{path} is damaged ({error}): run the rollout again")
    if (found.rollout, found.host) != (rollout, host):
        return HostResult(host, stage, "damaged", f"{path} is of rollout {found.rollout}: run this one again")
    running = tuple(
        (asset, id_) for asset, id_ in sorted(found.after.items()) if id_ and asset in found.wanted
    )
    return HostResult(host, stage, _state(found), found.problem, found.time, running)


def _state(found: _Outcome) -> HostState:
    if not found.is_reached:
        return "unreachable"
    if found.is_ok:
        return "unchanged" if not found.is_touched else "updated"
    as_before = all(found.after.get(asset) == found.before.get(asset) for asset in found.wanted)
    if not found.is_serving or not as_before:
        return "not-serving"
    return "rolled-back" if found.is_touched else "refused"


def save_results(store: FleetStore, plan: Plan, results: tuple[HostResult, ...]) -> None:
    """Keep them in the fleet's index. The same again changes nothing. Raises OutputError, StoreError."""
    with store.transaction() as db:
        prepare_results(db)
        for result in results:
            db.execute(
                "INSERT OR REPLACE INTO rollout_hosts VALUES (?, ?, ?, ?, ?, ?)",
                (plan.id, result.host, result.stage, result.state, result.problem, result.time),
            )
            db.executemany(
                "INSERT INTO running VALUES (?, ?, ?, ?) ON CONFLICT (asset) DO UPDATE "
                "SET host = excluded.host, bundle_id = excluded.bundle_id, time = excluded.time "
                "WHERE excluded.time >= running.time",
                [(asset, result.host, bundle_id, result.time) for asset, bundle_id in result.running],
            )


def prepare_results(db: sqlite3.Connection) -> None:
    """See that the tables are there; within a transaction."""
    for statement in _SCHEMA:
        db.execute(statement)
