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

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from edge_ad.bundle.codec import decode
from edge_ad.runtime.kinds import provider_of
from edge_ad.runtime.sinks.sink import Sink

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
    provider = provider_of("sink", kind, SINK_KINDS, GROUP)
    return decode(provider.Options, dict(table)), provider.open_sink
