"""The kinds of sinks that an agent's configuration can name, those of other packages among them.

A package provides a kind by an entry point of the group `edge_ad.sinks`, with the kind as its name:

    [project.entry-points."edge_ad.sinks"]
    pager = "edge_ad_pager.sink"

It names a module, or an object, that has what the modules of the built-in kinds have:

- `Options`, a frozen dataclass: the keys of the configuration's table, with their types and defaults. Its
  `__post_init__` raises ValueError for values that cannot be, in words for the person who wrote them.
- `open_sink(options: Options, context: SinkContext) -> Sink`. It does not wait, and fails for nothing that
  may come right by itself.

What a Sink must do is said in `sinks.sink`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from edge_ad.bundle.codec import decode
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sinks.sink import Sink

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "edge_ad.sinks"
SINK_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "decisions": "edge_ad.runtime.sinks.decision_file",
        "events": "edge_ad.runtime.sinks.event_file",
        "exec": "edge_ad.runtime.sinks.command",
        "gpio": "edge_ad.runtime.sinks.gpio",
        "mqtt": "edge_ad.runtime.sinks.mqtt",
        "webhook": "edge_ad.runtime.sinks.webhook",
    }
)
"""The built-in kinds and their modules."""

OpenSink: TypeAlias = Callable[..., Sink]
"""`open_sink` of a kind: takes its options and a SinkContext; that of `mqtt` the brokers as well."""


def load_sink(kind: str, table: Mapping[str, object]) -> tuple[Any, OpenSink]:
    """The options that a table of the configuration stands for, and what opens a sink with them.

    `table` is without its `kind` and `name`. Raises ConfigurationError for an unknown kind, or one whose
    package is broken; DecodeError, with the key, for what the kind does not take.
    """
    provider: Any = import_module(SINK_KINDS[kind]) if kind in SINK_KINDS else _of_other_package(kind)
    return decode(provider.Options, dict(table)), provider.open_sink


def _of_other_package(kind: str) -> object:
    from importlib.metadata import entry_points  # only here: it takes time and memory

    found = {point.name: point for point in entry_points(group=GROUP)}
    if kind not in found:
        others = sorted(set(found) - set(SINK_KINDS))
        installed = f"; installed from other packages: {', '.join(others)}" if others else ""
        raise ConfigurationError(
            f"no kind of sink is called {kind!r}; there are: {', '.join(SINK_KINDS)}{installed}"
        )
    point = found[kind]
    try:
        provider: object = point.load()
    except Exception as error:  # whatever another package raises
        raise ConfigurationError(
            f"{_told(point)} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not dataclasses.is_dataclass(getattr(provider, "Options", None)):
        raise ConfigurationError(f"{_told(point)} has no dataclass Options")
    if not callable(getattr(provider, "open_sink", None)):
        raise ConfigurationError(f"{_told(point)} has no function open_sink")
    return provider


def _told(point: EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist is not None else ""
    return f"the sink {point.name!r}{package} ({point.value})"
