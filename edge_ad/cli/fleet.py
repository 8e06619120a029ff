"""`edge-ad fleet`: many machines."""

from __future__ import annotations

import click

from edge_ad.cli.fleet_rollout import inventory, rollout
from edge_ad.cli.fleet_status import collect, status


@click.group()
def fleet() -> None:
    """Many machines: which hosts they have, new bundles for them, and how they do."""


fleet.add_command(inventory)
fleet.add_command(rollout)
fleet.add_command(collect)
fleet.add_command(status)
