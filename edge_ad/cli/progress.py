"""Progress of long work: a bar on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

import click


def make_progress() -> PlainProgress | BarProgress:
    """What suits stderr."""
    return BarProgress() if sys.stderr.isatty() else PlainProgress()


class PlainProgress:
    """One line per piece of work: `train 3/68 valve1-2 full: 13 epochs (41 s)`."""

    def start(self, step: str, total: int, skipped: int) -> None:
        """A step begins."""
        self._step, self._total, self._done = step, total, 0
        self._began = monotonic()
        if skipped:
            click.echo(f"{step}: {skipped} already done", err=True)

    def advance(self, name: str, detail: str) -> None:
        """A piece of work is done."""
        self._done += 1
        elapsed = monotonic() - self._began
        line = f"{self._step} {self._done}/{self._total} {name}: {detail} ({elapsed:.0f} s)"
        click.echo(line, err=True)

    def finish(self) -> None:
        """The step has ended."""


class BarProgress:
    """A bar with counts and time left, drawn by rich."""

    def start(self, step: str, total: int, skipped: int) -> None:
        """A step begins."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar: Any = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[last]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(step, total=total + skipped, completed=skipped, last="")
        self._bar.start()

    def advance(self, name: str, detail: str) -> None:
        """A piece of work is done."""
        self._bar.update(self._task, advance=1, last=f"{name}: {detail}"[:60])

    def finish(self) -> None:
        """The step has ended."""
        self._bar.stop()
