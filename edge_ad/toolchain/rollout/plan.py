"""A rollout as it is written down: its folder's `rollout.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.codec import DecodeError, decode, parse_json
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.rollout.stages import Stage

PLAN_FILE = "rollout.json"
PLAYBOOK_FILE = "rollout.yml"
STAGES_FILE = "stages.yml"
ROLE = "edge_ad_bundle"


@dataclass(frozen=True)
class PlannedBundle:
    """A bundle that a host is to run."""

    asset: str
    bundle_id: str
    build_number: int
    file: str
    """Below the rollout's folder."""


@dataclass(frozen=True)
class Plan:
    """All of it."""

    id: str
    """UTC, `20261129T233000Z`: when it was written."""
    inventory: str
    """Path of the inventory that says how hosts are reached."""
    max_fail_percentage: float
    """More than that share of a stage's hosts, in percent, and no other stage begins."""
    stages: tuple[Stage, ...]
    bundles: dict[str, tuple[PlannedBundle, ...]]
    """By host."""
    fleet: str | None = None
    """Which fleet it is of (`FleetStore.identity`); None in a plan of before fleets had one."""

    def stage_of(self, host: str) -> str:
        """Name of a host's stage."""
        return next(stage.name for stage in self.stages if host in stage.hosts)


def check_fleet(plan: Plan, store: FleetStore, folder: Path) -> None:
    """See that a rollout is one of this fleet.

    One of before fleets had an identity is, where the fleet has built all of its bundles. Raises
    ConfigurationError, OutputError, StoreError.
    """
    if plan.fleet is None:
        planned = [(b.asset, b.bundle_id) for bundles in plan.bundles.values() for b in bundles]
        is_ours = store.has_built(planned)
    else:
        is_ours = plan.fleet == store.identity()
    if not is_ours:
        raise ConfigurationError(
            f"the rollout in {folder} is not one of the fleet in {store.root}: give the fleet that it was "
            "written from, or write one of this fleet into another folder (edge-ad fleet rollout "
            f"{store.root} --inventory FILE -o FOLDER)"
        )


def read_plan(folder: Path) -> Plan:
    """The rollout in a folder. Raises ConfigurationError where there is none."""
    path = folder / PLAN_FILE
    try:
        return decode(Plan, parse_json(path.read_bytes()))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no rollout: edge-ad fleet rollout FLEET --inventory FILE -o {folder} writes one"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except DecodeError as error:
        raise ConfigurationError(
            f"{path} is damaged ({error}): write the rollout anew into another folder"
        ) from error


def plan_text(plan: Plan) -> str:
    """As JSON."""
    from edge_ad.bundle.codec import encode

    return json.dumps(encode(plan), indent=1, ensure_ascii=False) + "\n"
