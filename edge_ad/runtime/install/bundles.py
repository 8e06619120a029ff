"""What the store has active, read without loading anything of it: nothing may be installed yet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ActiveFact:
    """An asset of the store."""

    asset: str
    active: str | None
    """Id of the bundle that runs."""
    build_number: int
    """Its; 0 where none is active."""
    given_up: dict[str, str]
    """Bundles that did not work here, and why."""


def active_bundles(store: Path) -> dict[str, ActiveFact]:
    """By asset. A state that cannot be read is left out: installing a bundle makes it anew."""
    found = {}
    for path in sorted(store.glob("assets/*/state.json")):
        try:
            fact = _fact(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found[fact.asset] = fact
    return found


def _fact(state: dict[str, Any]) -> ActiveFact:
    active = state.get("active")
    builds = {g["bundle_id"]: int(g["build_number"]) for g in state.get("generations", ())}
    return ActiveFact(str(state["asset"]), active, builds.get(active, 0), dict(state.get("failed", {})))
