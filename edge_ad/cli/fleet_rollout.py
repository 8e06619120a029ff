"""`edge-ad fleet inventory` and `edge-ad fleet rollout`: bundles from a fleet to its hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, FiniteRange

if TYPE_CHECKING:
    from edge_ad.toolchain.fleet.store import FleetStore
    from edge_ad.toolchain.rollout.plan import Plan
    from edge_ad.toolchain.rollout.results import HostResult

_SHOWN = 30
"""Hosts that are named one by one where a person reads."""


@click.command()
@click.argument("fleet", type=PATH)
@click.option(
    "--hosts",
    type=PATH,
    help="CSV or TOML file with host, address, port, user, assets, which the fleet keeps.  "
    "[default: what it kept]",
)
@click.option("--ssh-config", type=PATH, help="As ssh -F, for all hosts.  [default: ~/.ssh/config]")
@click.option("--identity", type=PATH, help="As ssh -i, for all hosts: a private key.")
@click.option("-o", "--output", type=PATH, help="File to write.  [default: standard output]")
def inventory(
    fleet: Path, hosts: Path | None, ssh_config: Path | None, identity: Path | None, output: Path | None
) -> None:
    """Write an Ansible inventory of the hosts that watch FLEET's assets. It holds no password."""
    from edge_ad.errors import ConfigurationError
    from edge_ad.files import write_atomic
    from edge_ad.text import counted
    from edge_ad.toolchain.fleet.store import FleetStore
    from edge_ad.toolchain.rollout.hosts import load_hosts, read_hosts, save_hosts
    from edge_ad.toolchain.rollout.inventory import inventory_yaml

    with FleetStore.open(fleet) as store:
        if hosts is not None:
            save_hosts(store, read_hosts(hosts))
        known = load_hosts(store)
        assigned = {asset for host in known for asset in host.assets}
        without = [record.asset for record in store.assets() if record.asset not in assigned]
    if not known:
        raise ConfigurationError(f"the fleet in {fleet} has no hosts yet: name them with --hosts FILE")
    text = inventory_yaml(known, ssh_config=ssh_config, identity=identity)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomic(output, text.encode())
        click.echo(f"{output}: {counted(len(known), 'host')}, {counted(len(assigned), 'asset')}", err=True)
    if without:
        click.echo(f"no host watches {_some(without)}", err=True)


@click.command()
@click.argument("fleet", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the rollout.")
@click.option("--inventory", type=PATH, help="Write a new rollout, to the hosts of this Ansible inventory.")
@click.option(
    "--stages",
    default="1,10%,100%",
    show_default=True,
    help="How many hosts are done after each stage; the first is the canary.",
)
@click.option("--canary", multiple=True, help="Host of the first stage; may be repeated.")
@click.option(
    "--max-fail-percentage",
    type=FiniteRange(0, 100),
    default=25.0,
    show_default=True,
    help="Of a stage's hosts; where more are not well, no other stage begins.",
)
@click.option(
    "--forks", type=click.IntRange(1, 1000), default=20, show_default=True, help="Hosts worked on at once."
)
@click.option(
    "--healthy-within",
    type=click.IntRange(5, 3600),
    default=60,
    show_default=True,
    help="Seconds that a service may take with its new bundle; then that is taken back.",
)
@click.option("--run", "do_run", is_flag=True, help="Run it, by ansible-playbook; again: go on.")
@click.option("--check", is_flag=True, help="With --run: change nothing, show what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print how each host came out as a line of JSON.")
def rollout(
    fleet: Path,
    output: Path,
    inventory: Path | None,
    stages: str,
    canary: tuple[str, ...],
    max_fail_percentage: float,
    forks: int,
    healthy_within: int,
    do_run: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Bring FLEET's bundles to its hosts: a canary, a tenth, then all.

    With --inventory, a folder with an Ansible playbook and role is written. With --run it is carried out;
    without either, the rollout in the folder tells how it went, by whomever it was run. On every host bundles
    are verified and self-tested, activated, and taken back if the service is not well afterwards. Ends with 1
    if a host does not run what it should.
    """
    from edge_ad.errors import ConfigurationError, DeployError
    from edge_ad.text import counted
    from edge_ad.toolchain.fleet.store import FleetStore
    from edge_ad.toolchain.rollout.plan import check_fleet, read_plan
    from edge_ad.toolchain.rollout.results import read_results, save_results
    from edge_ad.toolchain.rollout.run import run_rollout

    if check and not do_run:
        raise ConfigurationError("--check goes with --run")
    with FleetStore.open(fleet) as store:
        if inventory is not None:
            plan = _write(
                store, output, inventory, stages, canary, max_fail_percentage, forks, healthy_within
            )
            if not do_run:
                return
        else:
            plan = read_plan(output)
            check_fleet(plan, store, output)
        if do_run:
            went_well = run_rollout(output, check=check)
            if check:
                if not went_well:
                    raise DeployError("hosts would not come out well; why stands above. Nothing was changed")
                return
        results = read_results(output, plan)
        save_results(store, plan, results)
    if as_json:
        for result in results:
            click.echo(json.dumps(_plain(plan, result)))
    else:
        _show(plan, results)
    bad = [result.host for result in results if not result.is_well]
    if bad:
        of_all = f"{len(bad)} of {counted(len(results), 'host')}"
        raise DeployError(f"not running what they should: {of_all}: {_some(bad)}")


def _write(
    store: FleetStore,
    output: Path,
    inventory: Path,
    stages: str,
    canary: tuple[str, ...],
    max_fail_percentage: float,
    forks: int,
    healthy_within_s: int,
) -> Plan:
    from edge_ad.errors import ConfigurationError
    from edge_ad.text import printable
    from edge_ad.toolchain.rollout.bundles import choose_bundles
    from edge_ad.toolchain.rollout.inventory import read_inventory
    from edge_ad.toolchain.rollout.playbook import new_plan, write_rollout
    from edge_ad.toolchain.rollout.run import check_syntax
    from edge_ad.toolchain.rollout.stages import plan_stages

    chosen = choose_bundles(store, read_inventory(inventory))
    if chosen.without:
        click.echo(f"no bundle, nothing to bring: {_some(chosen.without)}", err=True)
    if not chosen.hosts:
        raise ConfigurationError(f"no host of {inventory} watches an asset that has a bundle in {store.root}")
    planned = plan_stages(list(chosen.hosts), stages=stages, canaries=canary)
    plan = new_plan(inventory, planned, chosen.hosts, max_fail_percentage, store.identity())
    write_rollout(output, plan, chosen.hosts, forks=forks, healthy_within_s=healthy_within_s)
    check_syntax(output)
    for stage in planned:
        click.echo(printable(f"{stage.name}: {_some(stage.hosts)}"), err=True)
    click.echo(f"{output}: to run it, edge-ad fleet rollout {store.root} -o {output} --run", err=True)
    return plan


def _show(plan: Plan, results: tuple[HostResult, ...]) -> None:
    from edge_ad.text import align, printable

    builds = {b.bundle_id: b.build_number for bundles in plan.bundles.values() for b in bundles}
    counts: dict[str, int] = {}
    for result in results:
        counts[result.state] = counts.get(result.state, 0) + 1
    # Those that are not well in any case, the others where they are few.
    shown = [r for r in results if not r.is_well or len(results) <= _SHOWN]
    rows = [("host", "stage", "state", "runs")]
    for result in shown:
        runs = [
            f"{asset} {f'build {builds[id_]}' if id_ in builds else id_[:12]}"
            for asset, id_ in result.running
        ]
        rows.append((result.host, result.stage, result.state, printable(", ".join(runs)) or "-"))
    if shown:
        click.echo(align(rows, 4))
    for result in shown:
        if result.problem:
            click.echo(printable(f"{result.host}: {result.problem}"))
    click.echo(", ".join(f"{n} {state}" for state, n in counts.items()))


def _plain(plan: Plan, result: HostResult) -> dict[str, object]:
    return {
        "rollout": plan.id,
        "host": result.host,
        "stage": result.stage,
        "state": result.state,
        "is_well": result.is_well,
        "problem": result.problem,
        "time": result.time,
        "running": dict(result.running),
    }


def _some(names: tuple[str, ...] | list[str]) -> str:
    from edge_ad.text import printable

    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return printable(", ".join(names[:_SHOWN])) + more
