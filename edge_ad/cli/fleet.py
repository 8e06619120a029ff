"""`edge-ad fleet`: many machines."""

from __future__ import annotations

import click

from edge_ad.cli.fleet_build import build
from edge_ad.cli.fleet_index import diff, list_


@click.group()
def fleet() -> None:
    """Many machines: a bundle for each, and an index of them all."""


fleet.add_command(build)
fleet.add_command(list_)
fleet.add_command(diff)
