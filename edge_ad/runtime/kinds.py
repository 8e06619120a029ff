"""Kinds of sources and sinks: those of edge-ad, and those of other packages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edge_ad.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def provider_of(what: str, kind: str, built_in: Mapping[str, str], group: str) -> Any:
    """The module, or object, that provides a kind of `what`: `source` or `sink`.

    It has the dataclass `Options`, and the function `open_source` or `open_sink`. `built_in` names modules by
    kind, `group` the entry points of other packages. Raises ConfigurationError for an unknown kind, or one
    whose package is broken.
    """
    if kind in built_in:
        return import_module(built_in[kind])
    from importlib.metadata import entry_points  # only here: it takes time and memory

    found = {point.name: point for point in entry_points(group=group)}
    if kind not in found:
        others = sorted(set(found) - set(built_in))
        installed = f"; installed from other packages: {', '.join(others)}" if others else ""
        raise ConfigurationError(
            f"no kind of {what} is called {kind!r}; there are: {', '.join(built_in)}{installed}"
        )
    point = found[kind]
    try:
        provider: object = point.load()
    except Exception as error:  # whatever another package raises
        raise ConfigurationError(
            f"{_told(what, point)} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not dataclasses.is_dataclass(getattr(provider, "Options", None)):
        raise ConfigurationError(f"{_told(what, point)} has no dataclass Options")
    if not callable(getattr(provider, f"open_{what}", None)):
        raise ConfigurationError(f"{_told(what, point)} has no function open_{what}")
    return provider


def _told(what: str, point: EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist is not None else ""
    return f"the {what} {point.name!r}{package} ({point.value})"
