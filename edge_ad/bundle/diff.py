"""What differs between two bundles: their manifests, and through the members' digests all other bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.codec import encode
from edge_ad.bundle.manifest import Manifest

_NAMED_BY: dict[str, tuple[str, ...]] = {
    "channels": ("name",),
    "models": ("name",),
    "variants": ("name",),
    "members": ("name",),
    "evaluation": ("rule",),
    "parity": ("reference", "figure", "rule"),
    "proof": ("windows",),
    "measured_forms": ("form",),
    "severities": ("name",),
}
"""Key of a list in the manifest -> what tells its items apart; they are matched by it, not by index."""
_PER_CHANNEL = ("offset", "scale")  # of the scaler


@dataclass(frozen=True)
class Change:
    """One entry that is not the same in both bundles."""

    path: tuple[str, ...]
    """Keys of the manifest from the top, list items by their names: `("variants", "tiny-int8", "form")`.
    `order` as the last one stands for a list that has the same items in another order."""
    before: Any
    """Plain JSON value; None where there is none."""
    after: Any


def diff(before: Bundle, after: Bundle) -> list[Change]:
    """Everything that differs, in the manifest's order; empty for equal bundles."""
    return list(_changes((), _plain(before.manifest), _plain(after.manifest)))


def _plain(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON, with the scaler's numbers by their channels' names."""
    plain: dict[str, Any] = encode(manifest)
    names = [channel.name for channel in manifest.channels]
    plain["scaler"] |= {key: dict(zip(names, plain["scaler"][key], strict=True)) for key in _PER_CHANNEL}
    return plain


def _changes(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _changes((*path, key), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and path[-1] in _NAMED_BY:
        ours, theirs = _by_name(path[-1], before), _by_name(path[-1], after)
        yield from _changes(path, ours, theirs)
        common = [name for name in ours if name in theirs]
        other = [name for name in theirs if name in ours]
        if common != other:
            yield Change((*path, "order"), common, other)
    else:
        yield Change(path, before, after)


def _by_name(key: str, items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The items of a list by name; a second one of the same name is numbered."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        name = wanted = " ".join(str(item[part]) for part in _NAMED_BY[key])
        number = 1
        while name in found:
            number += 1
            name = f"{wanted} #{number}"
        found[name] = item
    return found
