"""The agent's configuration: one TOML file, checked as a whole before anything starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.http.options import HttpOptions
from edge_ad.runtime.mqtt.options import BrokerOptions
from edge_ad.runtime.sinks.kinds import load_sink
from edge_ad.runtime.sources.decoder import FormatOptions
from edge_ad.runtime.sources.kinds import load_source

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class AgentOptions:
    """What stands in `[agent]`."""

    name: str = "edge-ad"
    """Unique among the agents on a broker."""
    spool: str = ""
    """File of the alarm events that are not delivered yet, and of the streams' states.

    Default: `agent/spool.db` below the store."""
    spool_events: int = 100_000
    """Most events that are kept."""
    spool_mb: int = 256
    """Most room on disk that they may take."""
    save_every_s: float = 30.0
    """How often the streams' states are written down; alarm events are at once."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not 0.1 <= self.save_every_s <= 3600:
            raise ValueError("save_every_s must lie between 0.1 and 3600")
        if not 10 <= self.spool_events <= 10_000_000:
            raise ValueError("spool_events must lie between 10 and 10000000")
        if not 1 <= self.spool_mb <= 100_000:
            raise ValueError("spool_mb must lie between 1 and 100000")


@dataclass(frozen=True)
class AssetOptions:
    """What stands in `[[asset]]`."""

    name: str
    """Unique in this file; sinks know the asset by it."""
    source: dict[str, Any]
    """A table with `kind` and what that kind of source takes."""
    bundle: str = ""
    """A file, or `@ASSET` for the active one of the machine's store; default: `@` and the name."""
    format: FormatOptions = field(default_factory=FormatOptions)
    """How a line is read."""
    variant: str | None = None
    """Converted form to run; default: the bundle's."""
    threads: int = 1
    """Of the interpreter."""
    resample: bool = False
    """Interpolate samples to the bundle's period."""
    hold_s: float = 0.0
    """Seconds to wait for samples that are overtaken by later ones."""
    trial_s: float = 180.0
    """Seconds after which a newly activated `@ASSET` counts as proven."""
    record_normal: str | None = None
    """CSV file that keeps the newest samples of normal operation."""
    record_minutes: float = 60.0
    """How many of those."""
    sinks: tuple[str, ...] | None = None
    """Names of those that are told of this asset; default: all."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.threads < 1:
            raise ValueError("threads must be at least 1")
        if not 0 <= self.hold_s <= 3600:
            raise ValueError("hold_s must lie between 0 and 3600")
        if not 0 <= self.trial_s <= 1e9:
            raise ValueError("trial_s must lie between 0 and 1e9")
        if not 0 < self.record_minutes <= 1e6:
            raise ValueError("record_minutes must lie above 0, and at most at 1e6")

    @property
    def reference(self) -> str:
        """The bundle as the store's commands take it."""
        return self.bundle or f"@{self.name}"


@dataclass(frozen=True)
class Part:
    """A source or a sink as configured: `open` makes it of `options` and a context."""

    name: str
    kind: str
    options: Any
    open: Any

    @property
    def address(self) -> str:
        """Kind, and where it leads, for people; the same as long as it is the same stream."""
        return f"{self.kind} {getattr(self.options, 'address', '')}".strip()


@dataclass(frozen=True)
class AgentConfig:
    """All of the file."""

    path: Path
    agent: AgentOptions
    assets: tuple[AssetOptions, ...]
    sources: Mapping[str, Part]
    """By the asset's name."""
    sinks: tuple[Part, ...]
    brokers: Mapping[str, BrokerOptions]
    http: HttpOptions | None


def load_config(path: Path) -> AgentConfig:
    """Read and check the file; nothing is opened or started.

    Raises ConfigurationError naming the file and the key, MissingDependencyError for a kind of source or sink
    whose package is not installed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError(f"{path} is too long for a configuration")
        return _config(path, tomllib.loads(content.decode()))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, DecodeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _config(path: Path, tables: dict[str, Any]) -> AgentConfig:
    known = ("agent", "asset", "sink", "broker", "http")
    for key in tables:
        if key not in known:
            raise DecodeError(f"unknown table [{key}]; known here: {', '.join(known)}")
    agent = _part(AgentOptions, tables.get("agent", {}), "agent")
    assets = tuple(
        _part(AssetOptions, table, f"asset {_called(table, i)}")
        for i, table in enumerate(_list(tables, "asset"))
    )
    if not assets:
        raise DecodeError("there is no [[asset]] to watch")
    _check_unique("asset", [asset.name for asset in assets])
    sources = {asset.name: _source(asset) for asset in assets}
    readers = [name for name, part in sources.items() if part.kind == "stdin"]
    if len(readers) > 1:
        raise DecodeError(f"standard input can serve one asset, not {' and '.join(readers)}")
    sinks = tuple(_sink(table, i) for i, table in enumerate(_list(tables, "sink")))
    names = [sink.name for sink in sinks]
    _check_unique("sink", names)
    for asset in assets:
        for name in asset.sinks or ():
            if name not in names:
                raise DecodeError(
                    f"asset {asset.name}: there is no sink {name!r}; there are: {', '.join(names) or 'none'}"
                )
    _check_apart(agent, assets, sources, sinks)
    brokers = _table(tables, "broker")
    for part in (*sources.values(), *sinks):
        broker = getattr(part.options, "broker", None)
        if part.kind == "mqtt" and broker not in brokers:
            there = ", ".join(brokers) or "none"
            raise DecodeError(f"{part.name}: there is no [broker.{broker}]; there are: {there}")
    return AgentConfig(
        path,
        agent,
        assets,
        sources,
        sinks,
        {name: _part(BrokerOptions, table, f"broker {name}") for name, table in brokers.items()},
        _part(HttpOptions, tables["http"], "http") if "http" in tables else None,
    )


def _check_apart(
    agent: AgentOptions, assets: tuple[AssetOptions, ...], sources: dict[str, Part], sinks: tuple[Part, ...]
) -> None:
    """Refuse what would write over a file that is something else as well, or count a trial twice."""
    of_store: dict[str, str] = {}
    for asset in assets:
        if asset.reference.startswith("@") and asset.reference in of_store:
            raise DecodeError(
                f"{of_store[asset.reference]} and {asset.name} both run {asset.reference}, but a bundle of "
                "the store serves one asset: install one for each, or name the bundle's file"
            )
        of_store[asset.reference] = asset.name
    written = {agent.spool: "the spool"} if agent.spool else {}
    recorded = [(asset.record_normal, f"record_normal of {asset.name}") for asset in assets]
    put = [(getattr(sink.options, "path", None), f"sink {sink.name}") for sink in sinks]
    for path, what in (*recorded, *put):
        if isinstance(path, str):
            if path in written:
                raise DecodeError(f"{what} and {written[path]} would both write {path}")
            written[path] = what
    for name, source in sources.items():
        path = getattr(source.options, "path", None)
        if path in written:
            raise DecodeError(f"{written[path]} would write over {path}, which asset {name} reads")


def _source(asset: AssetOptions) -> Part:
    kind, table = _kind(asset.source, f"asset {asset.name}: source")
    try:
        options, opener = load_source(kind, table)
    except (DecodeError, ConfigurationError) as error:
        raise type(error)(f"asset {asset.name}: source: {error}") from error
    return Part(asset.name, kind, options, opener)


def _sink(table: object, number: int) -> Part:
    where = f"sink {_called(table, number)}"
    kind, rest = _kind(table, where)
    name = rest.pop("name", kind)
    if not isinstance(name, str):
        raise DecodeError(f"{where}: name must be of type str")
    _check_name(name)
    try:
        options, opener = load_sink(kind, rest)
    except (DecodeError, ConfigurationError) as error:
        raise type(error)(f"{where}: {error}") from error
    return Part(name, kind, options, opener)


def _kind(table: object, where: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        raise DecodeError(f'{where} must be a table with a kind, such as kind = "mqtt"')
    rest = dict(table)
    return rest.pop("kind"), rest


def _part(cls: type[T], table: object, where: str) -> T:
    try:
        return decode(cls, table)
    except DecodeError as error:
        raise DecodeError(f"{where}: {error}") from error


def _list(tables: dict[str, Any], key: str) -> list[Any]:
    value = tables.get(key, [])
    if not isinstance(value, list):
        raise DecodeError(f"[{key}] must be a list of tables: write [[{key}]]")
    return value


def _table(tables: dict[str, Any], key: str) -> dict[str, Any]:
    value = tables.get(key, {})
    if not isinstance(value, dict):
        raise DecodeError(f"{key} must be tables by name: write [{key}.NAME]")
    for name in value:
        _check_name(name)
    return value


def _called(table: object, number: int) -> str:
    name = table.get("name", table.get("kind")) if isinstance(table, dict) else None
    return name if isinstance(name, str) else str(number + 1)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} must be 1 to 64 letters, digits, dots, hyphens and underscores")


def _check_unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DecodeError(f"two {what}s are called {name!r}")
