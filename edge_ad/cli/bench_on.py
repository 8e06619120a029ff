"""`edge-ad bench --on USER@HOST`: the same command on a board, its result here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from edge_ad.bench.results import BenchmarkFile

_OURS = ("bundle", "on", "output", "as_json", "stages", "store", "keras", "keras_windows", "wheelhouse")
_SSH = ("port", "identity", "ssh_config", "jump", "ask_sudo_password")


def measure_on(ctx: click.Context) -> BenchmarkFile:
    """Run the command of `ctx` on the board that its `--on` names; the environment it needs is made there.

    Raises what connecting and installing raise; BundleError, ConfigurationError where the command there ends
    with such an exit code; DeployError where what it printed is no result.
    """
    from edge_ad.cli.deploy import destination, progress, sudo_password
    from edge_ad.errors import BundleError, ConfigurationError, DeployError, EdgeAdError
    from edge_ad.runtime.benchmark.file import parse_benchmark
    from edge_ad.toolchain.deploy.deploy import Wishes
    from edge_ad.toolchain.deploy.remote import run_there
    from edge_ad.toolchain.deploy.ssh import Connection

    given = ctx.params
    # A store that the environment names is this machine's as well, and of no concern to the board.
    if ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE or given["keras"]:
        raise ConfigurationError("--store and --keras are for this machine, not with --on")
    to = destination(given["on"], given["port"], given["identity"], given["ssh_config"], given["jump"])
    password = sudo_password(ask=given["ask_sudo_password"])
    options = [*_options(ctx), "--no-keras", "--json"]
    wishes = Wishes(wheelhouse=given["wheelhouse"])
    with Connection(to) as connection:
        output = run_there(
            connection,
            "bench",
            given["bundle"],
            options,
            wishes,
            progress(as_json=False),
            sudo_password=password,
        )
    if output.code:
        kinds: dict[int, type[EdgeAdError]] = {2: ConfigurationError, 3: BundleError}
        raise kinds.get(output.code, DeployError)(f"the benchmark on {given['on']} ended with {output.code}")
    return parse_benchmark(output.text.encode(), f"what {given['on']} answered")


def _options(ctx: click.Context) -> list[str]:
    """What was asked for by the command line or by variables, as a command line."""
    words = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in (*_OURS, *_SSH) or ctx.get_parameter_source(name) == ParameterSource.DEFAULT:
            continue
        value = ctx.params[name]
        flag = max(parameter.opts, key=len)
        if isinstance(parameter, click.Option) and parameter.is_flag:
            words += [flag] if value else []
        elif isinstance(parameter, click.Option) and parameter.multiple:
            words += [word for item in value for word in (flag, str(item))]
        else:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [flag, text]
    return words
