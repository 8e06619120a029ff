"""A group that is a command as well: `edge-ad bench BUNDLE` beside `edge-ad bench compare A B`."""

from __future__ import annotations

from typing import Any

import click

_DEFAULT = "(default)"
"""Name that nobody types."""


class DefaultCommandGroup(click.Group):
    """Runs its default command unless the first word is the name of one of its others.

    What has such a name and is meant for the default command is reached by another: `./compare`.
    """

    def __init__(self, *args: Any, default: DefaultCommand, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; what is for the default command, help included, is handed on to it."""
        first = args[0] if args else ""
        return super().parse_args(ctx, args if first in self.commands else [_DEFAULT, *args])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """As click's."""
        return self.default if cmd_name == _DEFAULT else super().get_command(ctx, cmd_name)


class _UnnamedContext(click.Context):
    """Its command goes by the name of the group."""

    @property
    def command_path(self) -> str:
        """What was typed to get here."""
        return self.parent.command_path if self.parent else super().command_path


class DefaultCommand(click.Command):
    """The command of a `DefaultCommandGroup` that needs no name; its help tells of the others."""

    context_class = _UnnamedContext

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The other commands of the group."""
        super().format_epilog(ctx, formatter)
        group = ctx.parent.command if ctx.parent else None
        if isinstance(group, click.Group):
            with formatter.section("Other uses"):
                formatter.write_dl(
                    [
                        (f"{ctx.command_path} {name} --help", command.get_short_help_str(limit=200))
                        for name, command in group.commands.items()
                    ]
                )
