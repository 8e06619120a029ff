"""`edge-ad agent`: detectors as a service."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from edge_ad.cli.options import PATH, store_option


@click.command()
@click.argument("config", type=PATH)
@click.option("--check", is_flag=True, help="Check CONFIG, and that its bundles can be read; start nothing.")
@store_option
def agent(config: Path, check: bool, store: Path | None) -> None:
    """Watch the machines that CONFIG (a TOML file) names, until SIGTERM or the end of all streams.

    SIGHUP lets newly activated bundles take over, without a sample lost. What CONFIG may say is in
    docs/agent.md; firmware_configs/ has an example and a systemd unit.
    """
    import asyncio

    from edge_ad.errors import EdgeAdError
    from edge_ad.runtime.agent.agent import Agent
    from edge_ad.runtime.agent.check import check as check_config
    from edge_ad.runtime.agent.config import load_config
    from edge_ad.runtime.process import share_one_heap
    from edge_ad.text import printable

    # The journal of systemd reads a line's severity from such a prefix (sd-daemon(3)); 4 is a warning.
    prefix = "<4>" if "JOURNAL_STREAM" in os.environ else "edge-ad: "

    def say(text: str) -> None:
        click.echo("\n".join(prefix + printable(line) for line in text.splitlines()), err=True)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be heeded: it must not end the service
    share_one_heap()
    loaded = load_config(config)
    if check:
        code = 0
        for name, found in check_config(loaded, store, say):
            if isinstance(found, EdgeAdError):
                say(f"{name}: {found}")
                code = code or found.exit_code
            else:
                click.echo(f"{name}: build {found.build_number} ({found.bundle_id[:12]})")
        sys.exit(code)

    async def serve() -> None:
        await Agent(loaded, store, say).run()

    asyncio.run(serve())
