"""Which hosts a fleet has, and which assets each of them watches."""

from __future__ import annotations

import csv
import re
import sqlite3
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.fleet.store import FleetStore

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:%-]*")
"""No leading dash: ssh would take it for an option."""
_COLUMNS = ("host", "address", "port", "user", "assets")
_LARGEST_FILE = 64 << 20
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS hosts (host TEXT PRIMARY KEY, address TEXT NOT NULL, port INTEGER NOT NULL, "
    "user TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS host_assets (asset TEXT PRIMARY KEY, host TEXT NOT NULL "
    "REFERENCES hosts (host) ON DELETE CASCADE) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS host_assets_by_host ON host_assets (host)",
)


def check_host_name(name: str) -> None:
    """Raises ValueError for what can be no host: it names members of groups, files, an agent on a broker."""
    if not _NAME.fullmatch(name) or name in ("localhost", "all", "ungrouped"):
        raise ValueError(f"host {name!r} must be letters, digits, dots and dashes, and not localhost")


def check_asset_name(name: str) -> None:
    """Raises ValueError for a name that Ansible would take for a template, and carry out."""
    if "{" in name or "}" in name:
        raise ValueError(f"asset {name!r}: a name with braces cannot be rolled out by Ansible")


@dataclass(frozen=True)
class Host:
    """A machine that watches assets."""

    host: str
    """Its name: in the inventory, of its file of results, and what its agent is called on a broker."""
    assets: tuple[str, ...]
    address: str = ""
    """Name or address; empty: the same as `host`."""
    port: int = 22
    user: str = "root"

    def __post_init__(self) -> None:
        check_host_name(self.host)
        if self.address and not _ADDRESS.fullmatch(self.address):
            raise ValueError(f"address {self.address!r} of {self.host} is no host name or address")
        if not _NAME.fullmatch(self.user):
            raise ValueError(f"user {self.user!r} of {self.host} is no account")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port {self.port} of {self.host} does not lie between 1 and 65535")
        if not self.assets or not all(self.assets):
            raise ValueError(f"host {self.host} watches no assets: name them, separated by ;")
        for asset in self.assets:
            check_asset_name(asset)


@dataclass(frozen=True)
class _HostsFile:
    host: tuple[Host, ...]


def read_hosts(path: Path) -> tuple[Host, ...]:
    """Hosts from a file.

    CSV with the columns host, address, port, user, assets (names separated by `;`), of which address, port
    and user may be missing or empty; or TOML with a table `[[host]]` for each, with the same keys and
    `assets` as a list. Raises ConfigurationError naming the line or host.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigurationError(f"{path} is too long for a list of hosts")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8: {error}") from error
    try:
        hosts = _of_toml(text) if path.suffix == ".toml" else _of_csv(text)
        return _checked(hosts)
    except (ValueError, DecodeError) as error:  # a TOMLDecodeError is a ValueError
        raise ConfigurationError(f"{path}: {error}") from error


def _of_toml(text: str) -> tuple[Host, ...]:
    return decode(_HostsFile, tomllib.loads(text)).host


def _of_csv(text: str) -> tuple[Host, ...]:
    lines = csv.DictReader(text.splitlines(), strict=True)
    try:
        columns = lines.fieldnames or ()
        unknown = sorted(set(columns) - set(_COLUMNS))
        if unknown or not {"host", "assets"} <= set(columns):
            raise ValueError(
                f"the first line must name columns of {', '.join(_COLUMNS)}; host and assets must be there"
            )
        return tuple(_of_row(row, lines.line_num) for row in lines)
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error


def _of_row(row: dict[str | Any, Any], number: int) -> Host:
    if None in row or None in row.values():
        raise ValueError(f"line {number} has not as many values as the first line has columns")
    given = {key: value.strip() for key, value in row.items() if value.strip()}
    port = given.get("port", "22")
    if not port.isdecimal():
        raise ValueError(f"line {number}: port {port!r} is no number")
    assets = tuple(name.strip() for name in given.get("assets", "").split(";") if name.strip())
    try:
        return Host(
            given.get("host", ""), assets, given.get("address", ""), int(port), given.get("user", "root")
        )
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


def _checked(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """No host twice, no asset on two hosts: one of them would never be told of a new bundle."""
    seen: dict[str, Host] = {}
    owner: dict[str, str] = {}
    for host in hosts:
        if host.host in seen:
            raise ValueError(f"host {host.host} stands there twice: name all of its assets in one place")
        seen[host.host] = host
        for asset in host.assets:
            if asset in owner:
                raise ValueError(
                    f"asset {asset!r} is watched by {owner[asset]} and by {host.host}: leave it to one"
                )
            owner[asset] = host.host
    if not seen:
        raise ValueError("names no hosts")
    return tuple(seen.values())


def save_hosts(store: FleetStore, hosts: Iterable[Host]) -> None:
    """Make these the hosts of a fleet, in place of all it had.

    Raises ConfigurationError for an asset that the fleet does not know, OutputError, StoreError.
    """
    known = {record.asset for record in store.assets()}
    hosts = tuple(hosts)
    strange = [(h.host, a) for h in hosts for a in h.assets if a not in known]
    if strange:
        host, asset = strange[0]
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        raise ConfigurationError(
            f"{host} is to watch {asset!r}, which the fleet does not know{more}: see 'edge-ad fleet list "
            f"{store.root}'"
        )
    with store.transaction() as db:
        prepare_hosts(db)
        db.execute("DELETE FROM host_assets")
        db.execute("DELETE FROM hosts")
        for host_ in hosts:
            values = (host_.host, host_.address, host_.port, host_.user)
            db.execute("INSERT INTO hosts VALUES (?, ?, ?, ?)", values)
            db.executemany("INSERT INTO host_assets VALUES (?, ?)", [(a, host_.host) for a in host_.assets])


def load_hosts(store: FleetStore) -> tuple[Host, ...]:
    """The hosts of a fleet, by name; none before `save_hosts`. Raises OutputError, StoreError."""
    with store.transaction() as db:
        prepare_hosts(db)
        assets: dict[str, list[str]] = {}
        for asset, host in db.execute("SELECT asset, host FROM host_assets ORDER BY asset"):
            assets.setdefault(host, []).append(asset)
        rows = db.execute("SELECT host, address, port, user FROM hosts ORDER BY host").fetchall()
    return tuple(
        Host(h, tuple(assets[h]), address, port, user) for h, address, port, user in rows if h in assets
    )


def prepare_hosts(db: sqlite3.Connection) -> None:
    """See that the tables are there; within a transaction."""
    for statement in _SCHEMA:
        db.execute(statement)
