"""`edge-ad profiles`: what boards edge_ad knows, and what it takes for granted of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH

if TYPE_CHECKING:
    from edge_ad.profiles import DeviceProfile, System

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group()
def profiles() -> None:
    """Show the device profiles: boards, the packages they take, and how the runtime runs there."""


@profiles.command(name="list")
@_JSON
def list_(as_json: bool) -> None:
    """List the profiles that come with edge-ad; * is the one that fits this machine."""
    from edge_ad.profiles import all_profiles, all_targets
    from edge_ad.text import align

    here, known = _of_this_machine(), all_profiles()
    if as_json:
        rows = [
            {
                "name": profile.name,
                "title": profile.title,
                "aliases": profile.aliases,
                "architectures": profile.architectures,
                "targets": [target.name for target in all_targets() if target.profile is profile],
                "this_machine": profile.name == here,
            }
            for profile in known
        ]
        click.echo(json.dumps({"profiles": rows}))
        return
    table = [["", "profile", "for", "architectures", "systems"]]
    for profile in known:
        mark = "*" if profile.name == here else ""
        systems = ", ".join(dict.fromkeys(system.os for system in profile.systems))
        table.append([mark, profile.name, profile.title, ", ".join(profile.architectures), systems])
    click.echo(align(table, left=5))
    if here is None:
        click.echo("none of them is made for this machine: docs/profiles.md says how to write one", err=True)


@profiles.command()
@click.argument("name")
@_JSON
def show(name: str, as_json: bool) -> None:
    """Show a profile with the sources of its facts. NAME is a name, an alias, or a file such as my.toml."""
    from edge_ad.bundle.codec import encode
    from edge_ad.profiles import load_profile
    from edge_ad.text import printable

    profile = load_profile(name)
    if as_json:
        click.echo(json.dumps(encode(profile)).replace("\x7f", "\\u007f"))
        return
    for line in _described(profile):
        click.echo(printable(line))


@profiles.command()
@click.argument("file", type=PATH)
@_JSON
def check(file: Path, as_json: bool) -> None:
    """Check FILE, a profile of your own, and that the agent takes what its template becomes.

    Values that no fact gives a source for are named; they are no error.
    """
    from edge_ad.profiles.catalog import read_profile
    from edge_ad.text import printable

    profile = read_profile(file)
    _check_template(file, profile)
    unsourced = profile.unsourced()
    if as_json:
        click.echo(json.dumps({"name": profile.name, "without_source": unsourced}))
        return
    click.echo(printable(f"{file}: {profile.name} is in order"))
    for key in unsourced:
        click.echo(printable(f"{key} has no source: name one in [[facts]]"), err=True)


def _of_this_machine() -> str | None:
    from edge_ad.errors import ConfigurationError
    from edge_ad.profiles import pick
    from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
    from edge_ad.runtime.doctor.machine import Machine

    try:
        return pick(Machine().board(), PythonFacts.here().wheel_machine).name
    except ConfigurationError:
        return None


def _check_template(file: Path, profile: DeviceProfile) -> None:
    """Raises ConfigurationError where the agent would refuse what the template becomes."""
    import tempfile

    from edge_ad.errors import ConfigurationError
    from edge_ad.runtime.agent.config import load_config

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as written:
        written.write(profile.agent_config("pump-1"))
        written.flush()
        try:
            load_config(Path(written.name))
        except ConfigurationError as error:
            what = str(error).removeprefix(f"{written.name}: ")
            raise ConfigurationError(f"{file}: agent.template: {what}") from error


def _described(profile: DeviceProfile) -> list[str]:
    hardware, runtime = profile.hardware, profile.runtime
    lines = [
        f"{profile.name}: {profile.title}",
        f"also called: {', '.join(profile.aliases) or '-'}",
        f"boards: {', '.join(profile.boards) or 'all that no other profile is for'}",
        f"processor: {hardware.processor}",
        f"cores: {hardware.cores or 'not stated'}",
        f"memory: {', '.join(f'{size} MB' for size in hardware.memory_mb) or 'not stated'}",
        f"serial line: {hardware.serial}",
        "",
        f"sample period: {runtime.sample_period_s:g} s, deadline {runtime.deadline_ms:g} ms",
        f"model: {runtime.variant}, converted for {runtime.form}, {runtime.threads} thread(s)",
        f"governor: {runtime.governor}",
        f"unit: at most {runtime.memory_limit_mb} MB, {runtime.start_timeout_s} s to start",
        f"latency: {runtime.latency}",
    ]
    for system in profile.systems:
        lines += ["", *_system(profile, system)]
    lines += ["", "sources"]
    for fact in profile.facts:
        lines.append(f"  {', '.join(fact.keys)}: {fact.source} ({fact.looked_up})")
    lines += [f"  {key}: no source" for key in profile.unsourced()]
    return lines


def _system(profile: DeviceProfile, system: System) -> list[str]:
    version = f" {system.interpreter_version}" if system.interpreter_version else " alone"
    return [
        f"{system.os}, {system.architecture}: Python {system.python}, glibc {system.glibc}",
        f"  models run on {system.interpreter}{version}, {profile.variant(system)} first",
        f"  apt: {' '.join(system.apt) or '-'}",
        f"  pip: {' '.join(system.requirements) or '-'}",
        f"  {system.route}",
    ]
