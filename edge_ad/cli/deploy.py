"""`edge-ad deploy` and `edge-ad undeploy`: the runtime and a bundle onto a board, and off it again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, FiniteRange, ssh_options

if TYPE_CHECKING:
    from edge_ad.runtime.install.progress import Event
    from edge_ad.toolchain.deploy.deploy import Prepared
    from edge_ad.toolchain.deploy.ssh import Destination


def destination(
    name: str, port: int | None, identity: Path | None, ssh_config: Path | None, jump: str | None
) -> Destination:
    """Where to. Raises ConfigurationError."""
    from edge_ad.toolchain.deploy.ssh import Destination

    return Destination(name, port, identity, ssh_config, jump)


def sudo_password(*, ask: bool) -> str | None:
    """Ask for it, without showing it."""
    return click.prompt("password for sudo on the board", hide_input=True, err=True) if ask else None


@click.command()
@click.argument("bundle", type=PATH)
@click.argument("board", metavar="USER@HOST")
@click.option(
    "--wheelhouse",
    type=PATH,
    help="Take packages from there (edge-ad wheelhouse); else the board has network.",
)
@click.option("--profile", help="Device profile, a name or a file.  [default: the one that fits the board]")
@click.option("--config", type=PATH, help="The agent's configuration, in place of the one on the board.")
@click.option(
    "--samples", help="File on the board with the asset's samples.  [default: /var/log/edge-ad/ASSET.csv]"
)
@click.option(
    "--trust", type=PATH, multiple=True, help="Public key that the board is to trust; may be repeated."
)
@click.option(
    "--allow-downgrade", is_flag=True, help="Take a build number that is not above all earlier ones."
)
@click.option("--service/--no-service", default=True, show_default=True, help="Run the agent as a service.")
@click.option("--user", "as_user", is_flag=True, help="Install for the account that logs in, without root.")
@click.option("--gpio", is_flag=True, help="With what lamps and relays on GPIO pins need.")
@click.option(
    "--healthy-within",
    type=FiniteRange(5, 3600),
    help="Seconds that the service may take; then everything is taken back.  [default: the profile's]",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON on stdout.")
@ssh_options
def deploy(
    bundle: Path,
    board: str,
    wheelhouse: Path | None,
    profile: str | None,
    config: Path | None,
    samples: str | None,
    trust: tuple[Path, ...],
    allow_downgrade: bool,
    service: bool,
    as_user: bool,
    gpio: bool,
    healthy_within: float | None,
    dry_run: bool,
    as_json: bool,
    port: int | None,
    identity: Path | None,
    ssh_config: Path | None,
    jump: str | None,
    ask_sudo_password: bool,
) -> None:
    """Install the runtime and BUNDLE on a board over SSH, and start the service.

    What is there already is left alone: the same command again changes nothing, and after an interruption
    goes on. A service that does not come up well is taken back, and what ran before runs on. Host keys must
    be known (ssh USER@HOST once).
    """
    from edge_ad.toolchain.deploy import deploy as deployment
    from edge_ad.toolchain.deploy.board import Board
    from edge_ad.toolchain.deploy.ssh import Connection

    wishes = deployment.Wishes(
        wheelhouse, profile, config, samples, trust, allow_downgrade, service, gpio, healthy_within
    )
    to = destination(board, port, identity, ssh_config, jump)
    from edge_ad.bundle.bundle import read

    read(bundle)  # before anybody is bothered with a password
    password = sudo_password(ask=ask_sudo_password)
    with Connection(to) as connection:
        reached = Board(connection, sudo_password=password, as_user=as_user)
        if not as_user:
            reached.require_root()
        prepared = deployment.prepare(reached, bundle, wishes)
        if not as_json:
            click.echo(_board_text(prepared), err=True)
        if dry_run:
            _print_plan(deployment.plan(reached, prepared), as_json=as_json)
            if not as_json:
                click.echo(f"to send: {prepared.upload_bytes / 1e6:.1f} MB; nothing was changed", err=True)
            return
        deployment.apply(reached, prepared, progress(as_json=as_json))
    if not as_json:
        click.echo(_done_text(prepared, board, to.as_typed()))


@click.command()
@click.argument("board", metavar="USER@HOST")
@click.option("--purge", is_flag=True, help="Remove bundles, alarm events, trusted keys and settings too.")
@click.option("--user", "as_user", is_flag=True, help="What was installed with deploy --user.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON on stdout.")
@ssh_options
def undeploy(
    board: str,
    purge: bool,
    as_user: bool,
    as_json: bool,
    port: int | None,
    identity: Path | None,
    ssh_config: Path | None,
    jump: str | None,
    ask_sudo_password: bool,
) -> None:
    """Stop the service on a board and remove the runtime; bundles and settings stay, unless --purge."""
    from edge_ad.toolchain.deploy import deploy as deployment
    from edge_ad.toolchain.deploy.board import Board
    from edge_ad.toolchain.deploy.ssh import Connection

    to = destination(board, port, identity, ssh_config, jump)
    password = sudo_password(ask=ask_sudo_password)
    with Connection(to) as connection:
        reached = Board(connection, sudo_password=password, as_user=as_user)
        if not as_user:
            reached.require_root()
        deployment.remove(reached, progress(as_json=as_json), purge=purge)
    if not as_json:
        click.echo(f"edge_ad is removed from {board}")


def progress(*, as_json: bool) -> Callable[[Event], None]:
    """Tell of events: JSON on stdout, or lines for people on stderr with the time each step took."""
    begun: dict[str, float] = {}

    def say(event: Event) -> None:
        from edge_ad.text import printable

        if as_json:
            click.echo(json.dumps(event.__dict__))
            sys.stdout.flush()
            return
        text = printable(event.text)
        if event.state == "begin":
            begun[event.step] = monotonic()
            click.echo(f"{event.step}: {text} …", err=True)
        elif event.state == "done":
            seconds = monotonic() - begun.get(event.step, monotonic())
            click.echo(f"{event.step}: done{f', {text}' if text else ''} ({seconds:.1f} s)", err=True)
        elif event.state == "kept":
            click.echo(f"{event.step}: as it should be", err=True)
        elif event.state == "failed" and not text.startswith("could not be taken back"):
            click.echo(f"{event.step}: FAILED", err=True)  # why is what the command ends with
        else:
            click.echo(f"{event.step or 'board'}: {event.state} {text}", err=True)

    return say


def _print_plan(events: list[Event], *, as_json: bool) -> None:
    from edge_ad.text import printable

    for event in events:
        if as_json:
            click.echo(json.dumps({"step": event.step, "done": event.state == "kept", "text": event.text}))
        else:
            mark = "is done" if event.state == "kept" else "to do"
            click.echo(f"{mark:<8}{event.step}: {printable(event.text)}")


def _board_text(prepared: Prepared) -> str:
    from edge_ad.text import printable

    facts = prepared.facts
    free = "" if facts.free_bytes is None else f", {facts.free_bytes / 1e9:.1f} GB free"
    version = ".".join(map(str, facts.python))
    return printable(
        f"{facts.board or prepared.profile.title} ({prepared.profile.name}): {facts.os_title}, "
        f"{facts.machine}, Python {version}, {prepared.packages.engine}{free}"
    )


def _done_text(prepared: Prepared, board: str, typed: str) -> str:
    from edge_ad.text import printable

    facts, order = prepared.facts, prepared.order
    assert order.bundle is not None  # noqa: S101  deploy always has one
    asset = printable(order.bundle.asset)
    lines = [
        f"{asset}: build {order.bundle.build_number} ({order.bundle.bundle_id[:12]}) is active on {board}"
    ]
    if order.service is not None and facts.has_systemd:
        lines.append(
            f"where its samples come from is in /etc/edge-ad/agent.toml there{_samples_text(prepared)}"
        )
        lines.append(f"log: ssh {typed} journalctl -fu edge-ad-agent")
    else:
        program = f"{facts.prefix}/bin/edge-ad"
        lines.append(f"no service was started; to run it: {program} run @{asset} - --store {facts.store}")
    return "\n".join(lines)


def _samples_text(prepared: Prepared) -> str:
    """The file that a configuration of ours names; whoever deploys may not know of it yet."""
    service = prepared.order.service
    if service is None or service.replace_config or prepared.facts.has_config:
        return ""
    return f" (a file that samples are appended to: {prepared.samples})"
