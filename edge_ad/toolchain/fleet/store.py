"""The index of a fleet: one SQLite file, read by many, written by the process that builds.

    FLEET/fleet.sqlite3            a row per asset (`assets`), and every row it replaced (`history`)
    FLEET/fleet.json               what the fleet is built from and how
    FLEET/bundles/3f/ASSET.edgead  the bundles, in 256 folders by the first digits of the name's digest

A bundle is on disk before its row says so. Further modules keep tables of their own in the same file.
"""

from __future__ import annotations

import dataclasses
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_ad.bundle.archive import sha256
from edge_ad.errors import ConfigurationError, OutputError, StoreError
from edge_ad.files import make_folder
from edge_ad.toolchain.fleet.conditions import COLUMNS, SORTS, Condition
from edge_ad.toolchain.fleet.record import AssetRecord

INDEX_FILE = "fleet.sqlite3"
_APPLICATION_ID = 0x45414446  # "EADF"
_VERSION = 1
_PATIENCE_S = 10.0
_TYPES = {"str": "TEXT", "int": "INTEGER", "float": "REAL", "AssetState": "TEXT"}
_INDEXED = ("state", "made", "seconds")
_IDENTITY = "CREATE TABLE IF NOT EXISTS fleet (id TEXT NOT NULL)"
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_UNCHANGED = frozenset({"made", "seconds", "source", "data_stamp", "bundle_path"})
"""What may differ between two fleets that hold the same bundles."""

_told = itemgetter(*(i for i, name in enumerate(COLUMNS) if name not in _UNCHANGED))
"""Of a row, what tells what was built."""


def _columns() -> str:
    return ", ".join(
        f'"{name}" {_TYPES[declared.partition(" ")[0]]}' + ("" if "None" in declared else " NOT NULL")
        for name, declared in COLUMNS.items()
    )


_SCHEMA = [
    f'CREATE TABLE assets ({_columns()}, PRIMARY KEY ("asset")) WITHOUT ROWID',
    f"CREATE TABLE history ({_columns()})",
    'CREATE INDEX history_by_asset ON history ("asset", "build_number")',
    # Rows without the figure come last in every order, so that is part of the index.
    *(
        f'CREATE INDEX assets_by_{column} ON assets ("{column}" IS NULL, "{column}")'
        for column, _ in SORTS.values()
        if "None" in COLUMNS[column]
    ),
    *(f'CREATE INDEX assets_with_{column} ON assets ("{column}")' for column in _INDEXED),
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
]


@dataclass(frozen=True)
class AssetChange:
    """An asset that two fleets know differently."""

    asset: str
    before: AssetRecord | None
    """None where only the second fleet has the asset."""
    after: AssetRecord | None
    fields: tuple[str, ...]
    """Which columns differ; empty where one side is missing."""


class FleetStore:
    """The index of one fleet; use it as a context manager."""

    def __init__(self, root: Path, connection: sqlite3.Connection) -> None:
        self.root = root
        self.connection = connection
        """For the tables of other modules; in autocommit, see `transaction`."""

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> FleetStore:
        """Open the index of the fleet in a folder.

        Raises ConfigurationError where there is none (unless it is to be created) or one of a newer version,
        StoreError where it is damaged, OutputError where it cannot be written.
        """
        path = root / INDEX_FILE
        if create:
            make_folder(root)
        elif not path.exists():
            raise ConfigurationError(
                f"{root} holds no fleet: run 'edge-ad fleet build DATASET -o {root}' first"
            )
        elif path.stat().st_size == 0:  # which SQLite takes for a database without tables
            raise StoreError(
                f"{path} is damaged (it is empty): move it away and build the fleet again into {root}"
            )
        try:
            connection = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise OutputError(f"cannot open {path}: {error}") from error
        store = cls(root, connection)
        try:
            store._prepare(path)
        except BaseException:
            connection.close()
            raise
        return store

    def _prepare(self, path: Path) -> None:
        with self._translated():
            version, identity = (
                self.connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("user_version", "application_id")
            )
            empty = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if empty:
                self.connection.execute("PRAGMA journal_mode = WAL")
                with self.transaction():
                    # another process may have been faster
                    if self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                        for statement in _SCHEMA:
                            self.connection.execute(statement)
            elif identity != _APPLICATION_ID:
                raise ConfigurationError(f"{path} is the file of another program")
            elif version > _VERSION:
                raise ConfigurationError(
                    f"{path} was written by a newer edge-ad (version {version} of the index, this one reads "
                    f"{_VERSION}): use that one"
                )
            for setting in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
                self.connection.execute(f"PRAGMA {setting}")

    def close(self) -> None:
        """Release the file."""
        self.connection.close()

    def __enter__(self) -> FleetStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk at the end. Raises OutputError, StoreError."""
        with self._translated():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"cannot use {self.root / INDEX_FILE}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self.root / INDEX_FILE} is damaged ({error}): move it away and build the fleet again into "
                "the same folder"
            ) from error

    def record(self, *records: AssetRecord) -> None:
        """Write rows in place of those of the same assets; what had been built goes to the history.

        Raises OutputError, StoreError; then none is written.
        """
        marks = ", ".join("?" * len(COLUMNS))
        with self.transaction() as db:
            for record in records:
                db.execute(
                    f"INSERT INTO history ({_NAMES}) SELECT {_NAMES} FROM assets "
                    "WHERE asset = ? AND state = 'built' AND sha256 <> ?",
                    (record.asset, record.sha256),
                )
                db.execute(
                    f"INSERT OR REPLACE INTO assets ({_NAMES}) VALUES ({marks})", dataclasses.astuple(record)
                )

    def forget(self, assets: Iterable[str]) -> None:
        """Take assets out of the index; those that had been built stay in the history."""
        with self.transaction() as db:
            for asset in assets:
                db.execute(
                    f"INSERT INTO history ({_NAMES}) SELECT {_NAMES} FROM assets "
                    "WHERE asset = ? AND state = 'built'",
                    (asset,),
                )
                db.execute("DELETE FROM assets WHERE asset = ?", (asset,))

    def identity(self) -> str:
        """What tells this fleet from any other; made once, and the same in its copies. 32 hex digits."""
        with self.transaction() as db:
            db.execute(_IDENTITY)
            db.execute(
                "INSERT INTO fleet SELECT ? WHERE NOT EXISTS (SELECT 1 FROM fleet)", (secrets.token_hex(16),)
            )
            (found,) = db.execute("SELECT id FROM fleet").fetchone()
        return str(found)

    def has_built(self, bundles: Iterable[tuple[str, str]]) -> bool:
        """Whether all of these, asset and id of the bundle, were built here, now or earlier."""
        with self._translated():
            known = set(
                self.connection.execute(
                    "SELECT asset, bundle_id FROM assets UNION SELECT asset, bundle_id FROM history"
                )
            )
        return known.issuperset(bundles)

    def asset(self, name: str) -> AssetRecord | None:
        """One asset, or None where the fleet does not know it."""
        found = self.assets([Condition("asset", "=", name)])
        return found[0] if found else None

    def assets(
        self, conditions: Sequence[Condition] = (), *, sort: str = "asset", limit: int | None = None
    ) -> list[AssetRecord]:
        """The assets that fulfil all conditions, in one of the orders of `SORTS`."""
        text, values = assets_query(conditions, sort=sort, limit=limit)
        with self._translated():
            return [_record(row) for row in self.connection.execute(text, values)]

    def history(self, asset: str) -> list[AssetRecord]:
        """Earlier builds of an asset that had a bundle, the oldest first."""
        with self._translated():
            rows = self.connection.execute(
                f"SELECT {_NAMES} FROM history WHERE asset = ? ORDER BY build_number, rowid", (asset,)
            )
            return [_record(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """State -> number of assets."""
        with self._translated():
            return dict(self.connection.execute("SELECT state, count(*) FROM assets GROUP BY state"))

    def diff(self, other: FleetStore) -> list[AssetChange]:
        """What another fleet has otherwise, by asset. Where and when something was built does not count."""
        before, after = self._rows(), other._rows()
        changes = []
        for name in sorted(before.keys() | after.keys()):
            ours, theirs = before.get(name), after.get(name)
            if ours is None or theirs is None:
                sides = [None if side is None else _record(side) for side in (ours, theirs)]
                changes.append(AssetChange(name, sides[0], sides[1], ()))
            elif _told(ours) != _told(theirs):
                first, second = _record(ours), _record(theirs)
                changes.append(AssetChange(name, first, second, differing(first, second)))
        return changes

    def _rows(self) -> dict[str, tuple[Any, ...]]:
        """Asset -> its row: most are compared and never looked at."""
        text, values = assets_query((), sort="asset", limit=None)
        with self._translated():
            return {row[0]: row for row in self.connection.execute(text, values)}


def _record(row: tuple[Any, ...]) -> AssetRecord:
    """A row of all columns as a record; ten times as fast as its constructor, for thousands of them."""
    record = object.__new__(AssetRecord)
    record.__dict__.update(zip(COLUMNS, row, strict=True))
    return record


def differing(ours: AssetRecord, theirs: AssetRecord) -> tuple[str, ...]:
    """Which columns differ of those that tell what was built."""
    return tuple(
        name for name in COLUMNS if name not in _UNCHANGED and getattr(ours, name) != getattr(theirs, name)
    )


def assets_query(
    conditions: Sequence[Condition], *, sort: str, limit: int | None
) -> tuple[str, list[str | int | float]]:
    """The SQL of `FleetStore.assets` and its values."""
    column, direction = SORTS[sort]
    where = " AND ".join(condition.sql for condition in conditions) or "1"
    nulls_last = f'"{column}" IS NULL, ' if "None" in COLUMNS[column] else ""
    order = f'{nulls_last}"{column}" {direction}'
    text = f"SELECT {_NAMES} FROM assets WHERE {where} ORDER BY {order}"
    values: list[str | int | float] = [condition.value for condition in conditions]
    if limit is not None:
        return f"{text} LIMIT ?", [*values, limit]
    return text, values


def bundle_path(asset: str) -> str:
    """Where an asset's bundle is, relative to the fleet's folder."""
    return f"bundles/{sha256(asset.encode())[:2]}/{asset}.edgead"
