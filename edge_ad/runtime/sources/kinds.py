"""The kinds of sources that an agent's configuration can name, those of other packages among them.

A package provides a kind by an entry point of the group `edge_ad.sources`, with the kind as its name:

    [project.entry-points."edge_ad.sources"]
    opcua = "edge_ad_opcua.source"

It names a module, or an object, that has what the modules of the built-in kinds have:

- `Options`, a frozen dataclass: the keys of the configuration's table, with their types and defaults. Its
  `__post_init__` raises ValueError for values that cannot be, in words for the person who wrote them.
- `open_source(options: Options, context: SourceContext) -> Source`. It does not wait, and fails for nothing
  that may come right by itself. `sources.in_thread.BlockingSource` makes a source of a blocking iterable.

What a Source must do is said in `sources.source`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from edge_ad.bundle.codec import decode
from edge_ad.runtime.kinds import provider_of
from edge_ad.runtime.sources.source import Source

GROUP = "edge_ad.sources"
SOURCE_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "file": "edge_ad.runtime.sources.whole_file",
        "follow": "edge_ad.runtime.sources.followed",
        "mqtt": "edge_ad.runtime.sources.mqtt",
        "serial": "edge_ad.runtime.sources.serial_line",
        "snapshots": "edge_ad.runtime.sources.snapshots",
        "stdin": "edge_ad.runtime.sources.standard_input",
        "tcp": "edge_ad.runtime.sources.tcp",
    }
)
"""The built-in kinds and their modules."""

OpenSource: TypeAlias = Callable[..., Source]
"""`open_source` of a kind: takes its options and a SourceContext; that of `mqtt` the brokers as well."""


def load_source(kind: str, table: Mapping[str, object]) -> tuple[Any, OpenSource]:
    """The options that a table of the configuration stands for, and what opens a source with them.

    `table` is without its `kind`. Raises ConfigurationError for an unknown kind, or one whose package is
    broken; DecodeError, with the key, for what the kind does not take.
    """
    provider = provider_of("source", kind, SOURCE_KINDS, GROUP)
    return decode(provider.Options, dict(table)), provider.open_source
