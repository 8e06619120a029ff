"""Trying candidates: each on every recording, side by side, by workers that remember what they have read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from edge_ad.errors import ConfigurationError, EdgeAdError
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluation.inputs import Source
from edge_ad.toolchain.pool import Workers
from edge_ad.toolchain.search.candidate import make_detector
from edge_ad.toolchain.search.objective import Objective, Piece, Worth
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import BuildPlan

_TIME_LIMIT_S = 3600.0
_MOST_READ = 64
"""Recordings that a process remembers."""


@dataclass(frozen=True)
class PieceTask:
    """A candidate and a recording."""

    source: Source
    plan: BuildPlan
    objective: Objective


class Try(Protocol):
    """Finds out what a candidate is worth."""

    def __call__(self, settings: BuildSettings) -> Worth:
        """Raises the first recording's EdgeAdError, which names it."""


@lru_cache(maxsize=_MOST_READ)
def read(objective: Objective, source: Source, recording_format: RecordingFormat) -> Recording:
    """A recording as an objective looks at it, from memory where this process has read it before."""
    return objective.read(source.path, recording_format, source.name)


def measure(task: PieceTask) -> Piece:
    """One candidate on one recording. Raises EdgeAdError."""
    recording = read(task.objective, task.source, task.plan.format)
    try:
        return task.objective.measure(make_detector(recording, task.plan), recording, task.plan)
    except ValueError as error:  # settings that contradict each other once the data is known
        raise ConfigurationError(f"{task.source.name}: {error}") from error


@contextmanager
def trying(
    sources: Sequence[Source], recording_format: RecordingFormat, objective: Objective, jobs: int
) -> Iterator[Try]:
    """What finds out a candidate's worth on these recordings, in processes that end with the block."""

    def tasks(settings: BuildSettings) -> list[PieceTask]:
        plan = BuildPlan(recording_format, settings, ())
        return [PieceTask(source, plan, objective) for source in sources]

    def one_by_one(settings: BuildSettings) -> Worth:
        return objective.judge([measure(task) for task in tasks(settings)])

    n_jobs = min(jobs, len(sources))
    if n_jobs == 1:
        yield one_by_one
        return
    with Workers(n_jobs) as workers:

        def side_by_side(settings: BuildSettings) -> Worth:
            todo = tasks(settings)
            found: dict[Source, Piece] = {}
            errors: dict[Source, EdgeAdError] = {}
            for outcome in workers.run(
                measure, todo, time_limit_s=_TIME_LIMIT_S, describe=lambda task: task.source.name
            ):
                if outcome.error is not None:
                    errors[outcome.task.source] = outcome.error
                elif outcome.result is not None:
                    found[outcome.task.source] = outcome.result
            for source in sources:
                if source in errors:
                    raise errors[source]
            return objective.judge([found[source] for source in sources])

        yield side_by_side
