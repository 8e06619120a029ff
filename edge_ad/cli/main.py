"""The `edge-ad` command: subcommands loaded when used, errors turned into exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import NoReturn

import click

from edge_ad import __version__
from edge_ad.cli.default_command import DefaultCommandGroup
from edge_ad.cli.termination import on_sigterm
from edge_ad.errors import EdgeAdError, MissingDependencyError, OutputError, Terminated
from edge_ad.text import printable

_COMMANDS = {
    "build": "build:build",
    "train": "steps:train",
    "convert": "steps:convert",
    "evaluate": "evaluate:evaluate",
    "search": "search:search",
    "gate": "steps:gate",
    "pack": "steps:pack",
    "report": "steps:report",
    "data": "data:data",
    "run": "run:run",
    "replay": "replay:replay",
    "agent": "agent:agent",
    "bench": "bench:bench",
    "inspect": "inspect:inspect",
    "diff": "diff:diff",
    "verify": "verify:verify",
    "keys": "keys:keys",
    "sign": "keys:sign",
    "store": "store:store",
    "recalibrate": "recalibrate:recalibrate",
    "doctor": "doctor:doctor",
    "deploy": "deploy:deploy",
    "undeploy": "deploy:undeploy",
    "wheelhouse": "wheelhouse:wheelhouse",
    "profiles": "profiles:profiles",
    "fleet": "fleet:fleet",
}


_LONGEST_MESSAGE = 20_000
_HOST_PACKAGES = (
    "ai_edge_litert",
    "flatbuffers",
    "fsspec",
    "matplotlib",
    "optuna",
    "packaging",
    "pandas",
    "pebble",
    "pyarrow",
    "ray",
    "requests",
    "rich",
    "sklearn",
    "telemeval",
    "tensorflow",
    "keras",
)


class _ReaderGoneError(Exception):
    """Whoever read our output has closed it. Click would take the bare BrokenPipeError for a failure."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when asked for, so that a Pi never loads the workstation's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"edge_ad.cli.{module}"), attribute)
        _name_variables(command, f"EDGE_AD_{cmd_name.upper()}")
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError from error


def _name_variables(command: click.Command, prefix: str) -> None:
    """Let `EDGE_AD_<COMMAND>_<OPTION>` stand for every option, named as on the command line."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            name = max(parameter.opts, key=len).lstrip("-")
            own = f"{prefix}_{name.replace('-', '_').upper()}"
            parameter.envvar = [own, "EDGE_AD_STORE"] if name == "store" else own
    if isinstance(command, DefaultCommandGroup):
        _name_variables(command.default, prefix)
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            _name_variables(subcommand, f"{prefix}_{name.upper()}")


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-ad")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Train small autoencoders on sensor recordings, prove their conversion, run them on a Pi."""
    # A terminal that is closed ends a command in good order; not under nohup. The agent reloads instead.
    if ctx.invoked_subcommand != "agent" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, on_sigterm)


def main() -> NoReturn:
    """Run the command line and exit with the code the outcome stands for (see `edge_ad.errors`)."""
    signal.signal(signal.SIGTERM, on_sigterm)
    _require_streams()
    try:
        code = cli.main(prog_name="edge-ad", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as exit_:
        code = exit_.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except Terminated:
        click.echo("terminated", err=True)
        code = 128 + signal.SIGTERM
    except ModuleNotFoundError as error:
        if not _is_of_the_workstation(error.name or ""):
            raise
        missing = MissingDependencyError(
            f"this command is for the workstation and needs {error.name}: install 'edge-ad[host]' there"
        )
        click.echo(f"edge-ad: {missing}", err=True)
        code = missing.exit_code
    except EdgeAdError as error:
        click.echo(f"edge-ad: {_shown(error)}", err=True)
        code = error.exit_code
    except (BrokenPipeError, _ReaderGoneError):
        # The reader has seen enough: a normal end.
        _abandon_stdout()
        code = 0
    except OSError as error:
        if error.filename is not None:
            raise
        _abandon_stdout()
        failure = OutputError(f"cannot write the output: {error.strerror}")
        click.echo(f"edge-ad: {failure}", err=True)
        code = failure.exit_code
    sys.exit(code if isinstance(code, int) else 0)


def _is_of_the_workstation(module: str) -> bool:
    """Whether a module is of the workstation's packages, or of what our wheel for devices leaves out."""
    return module.partition(".")[0] in _HOST_PACKAGES or module.startswith(
        ("edge_ad.toolchain", "edge_ad.cli")
    )


def _shown(error: EdgeAdError) -> str:
    """The message, with nothing in it that a terminal takes for a command: names may come from a file."""
    text = str(error)
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[:_LONGEST_MESSAGE]} …"
    return "\n".join(map(printable, text.split("\n")))


def _require_streams() -> None:
    """Python has no stream object for one that was closed by the caller: give it an empty one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  it lives as long as the process


def _abandon_stdout() -> None:
    """Send what is still buffered nowhere; Python would fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
