"""Where the work of a fleet is done: on this machine, or on a cluster (see `ray_engine`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_ad.toolchain.fleet.work import AssetResult, FleetTask, build_assets
from edge_ad.toolchain.pool import run_tasks

TASKS_PER_WORKER = 8
"""After so many tasks a worker makes room for a fresh one, whatever its libraries have left in memory."""
TIME_LIMIT_PER_ASSET_S = 900.0


@dataclass(frozen=True)
class Finished:
    """A task that came to an end: with results, or without because its worker was lost."""

    task: FleetTask
    results: list[AssetResult]
    lost: str = ""
    """Why there are no results."""


class Engine(Protocol):
    """Runs tasks side by side; closes down when its iteration ends, however it ends."""

    def run(self, tasks: Sequence[FleetTask]) -> Iterator[Finished]:
        """Every task once, in any order."""


@dataclass(frozen=True)
class LocalEngine:
    """Worker processes on this machine."""

    workers: int

    def run(self, tasks: Sequence[FleetTask]) -> Iterator[Finished]:
        """See `Engine`."""
        largest = max((len(task.sources) for task in tasks), default=1)
        outcomes = run_tasks(
            build_assets,
            tasks,
            jobs=min(self.workers, len(tasks)) or 1,
            time_limit_s=largest * TIME_LIMIT_PER_ASSET_S,
            most_waiting=2 * self.workers,
            tasks_per_process=TASKS_PER_WORKER,
        )
        for outcome in outcomes:
            if outcome.error is None and outcome.result is not None:
                yield Finished(outcome.task, outcome.result)
            else:
                yield Finished(outcome.task, [], str(outcome.error))
