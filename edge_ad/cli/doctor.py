"""`edge-ad doctor`: what of this machine stands in the way of a trustworthy service."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, store_option

if TYPE_CHECKING:
    from edge_ad.runtime.doctor.finding import Finding

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": None}


@click.command()
@store_option
@click.option(
    "--config", type=PATH, help="The agent's TOML file: its spool, secrets and devices are looked at too."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--root", type=PATH, default=Path("/"), hidden=True, help="Folder that stands for / in tests.")
def doctor(store: Path | None, config: Path | None, as_json: bool, root: Path) -> None:
    """Check this machine: Python, interpreters, processor, clock, disks, permissions, service, store.

    One line per check: ok, warn, fail or skip; below a warn or a fail the commands that fix it. Nothing is
    changed: a small file is written where a service writes, and removed again.

    Exit 1 where something failed.
    """
    begun = monotonic()
    from edge_ad.runtime.doctor.agent_files import read_agent_files
    from edge_ad.runtime.doctor.examination import Subject, default_store, examine
    from edge_ad.runtime.doctor.machine import Machine

    subject = Subject((store or default_store()).absolute(), read_agent_files(config) if config else None)
    found = []
    for finding in examine(Machine(root), subject):
        found.append(finding)
        if not as_json:
            _print(finding)
    levels = [finding.level for finding in found]
    failed, warnings = levels.count("fail"), levels.count("warn")
    elapsed_s = round(monotonic() - begun, 3)
    if as_json:
        click.echo(_json(found, elapsed_s))
    else:
        click.echo(
            f"{failed} failed, {warnings} warnings, {len(found)} checks in {elapsed_s:.1f} s", err=True
        )
    if failed:
        raise click.exceptions.Exit(1)


def _print(finding: Finding) -> None:
    from edge_ad.text import printable

    # click leaves colours out itself where the output is no terminal.
    color = False if os.environ.get("NO_COLOR") else None
    level = click.style(f"{finding.level:<4}", fg=_COLORS[finding.level])
    click.echo(f"{level}  {finding.check}: {printable(finding.text)}", color=color)
    if finding.level in ("warn", "fail"):
        for command in finding.fix:
            click.echo(f"      fix: {printable(command)}", color=color)


def _json(found: list[Finding], elapsed_s: float) -> str:
    from edge_ad.bundle.codec import encode

    return json.dumps(
        {
            "failed": sum(finding.level == "fail" for finding in found),
            "warnings": sum(finding.level == "warn" for finding in found),
            "elapsed_s": elapsed_s,
            "findings": [encode(finding) for finding in found],
        }
    )
