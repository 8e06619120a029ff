"""`edge-ad fleet`: many machines."""

from __future__ import annotations

import click

from edge_ad.cli.fleet_build import build
from edge_ad.cli.fleet_index import diff, list_
from edge_ad.cli.fleet_rollout import inventory, rollout
from edge_ad.cli.fleet_status import collect, status


@click.group()
def fleet() -> None:
    """Many machines: a bundle for each, an index of them all, the way to their hosts, and how they do."""


for command in (build, list_, diff, inventory, rollout, collect, status):
    fleet.add_command(command)
