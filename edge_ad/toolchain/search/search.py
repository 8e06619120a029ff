"""The search: optuna proposes one candidate after the other and is told what each was worth.

What is proposed depends on the seed, the number of trials that ended before and what they came to, and on
nothing else: a search that was interrupted proposes what it would have proposed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.errors import ConfigurationError, DataError, EdgeAdError, MissingDependencyError
from edge_ad.toolchain.build import Progress
from edge_ad.toolchain.datasets.choose import choose_format
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.evaluation.inputs import Source, find_sources
from edge_ad.toolchain.search.objective import (
    LabelObjective,
    Limits,
    NormalObjective,
    Objective,
    recording_digest,
)
from edge_ad.toolchain.search.record import (
    BEST_FILE,
    SEARCH_FILE,
    STUDY_FILE,
    TRIALS_FILE,
    Search,
    TrialRow,
    begin,
    best_of,
    best_toml,
    n_ended,
    save,
)
from edge_ad.toolchain.search.space import DEFAULT_SPACE, read_space, settings_for
from edge_ad.toolchain.search.study import Study
from edge_ad.toolchain.search.trials import read, trying
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import Workspace

_TOP = "."
"""What `--labels-of` calls the group of recordings that are in no folder."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for, besides data and folder."""

    trials: int
    settings: BuildSettings
    """What is not searched for."""
    space_file: Path | None = None
    labels_of: tuple[str, ...] = ()
    seed: int = 0
    resume: bool = False
    preset: str | None = None
    format_file: Path | None = None


@dataclass(frozen=True)
class Found:
    """What a search has come to."""

    best: TrialRow
    n_trials: int
    n_failed: int
    settings_file: str
    trials_file: str


class NothingFoundError(EdgeAdError):
    """No trial keeps within the limits, or all of them failed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_search(data: Path, folder: Path, wanted: Wanted, jobs: int, progress: Progress) -> Found:
    """Search until so many trials have ended, earlier ones included. After each, the folder is up to date.

    Raises ConfigurationError, DataError, OutputError, MissingDependencyError; NothingFoundError where no
    trial keeps within the limits, or all of them fail: then with the exit code of the first one's error.
    """
    if find_spec("optuna") is None:
        raise MissingDependencyError("a search needs optuna: pip install 'edge-ad[search]'")
    table, limits = _read_file(wanted.space_file)
    sources = _chosen(find_sources(data), wanted.labels_of, data)
    recording_format, _ = choose_format(sources[0].path, wanted.preset, wanted.format_file)
    _check_format(recording_format, sources[0])
    objective: Objective = (
        LabelObjective(limits) if wanted.labels_of else NormalObjective(limits, wanted.seed)
    )
    names = [channel.name for channel in recording_format.channels]
    where = str(wanted.space_file or "the default space")
    space = read_space(table, names, wanted.settings, where)
    digests = {source.name: recording_digest(read(objective, source, recording_format)) for source in sources}
    _check_labels(objective, sources, recording_format)
    search = Search(table, limits, wanted.settings, recording_format, wanted.labels_of, wanted.seed, digests)
    workspace = Workspace(folder)
    with workspace.locked():
        digest = begin(folder, search, resume=wanted.resume)
        study = Study(folder / STUDY_FILE, digest, wanted.seed, n_ended(folder))
        rows = study.rows()
        progress.start("search", max(0, wanted.trials - len(rows)), min(len(rows), wanted.trials))
        first_error: EdgeAdError | None = None
        try:
            with trying(sources, recording_format, objective, jobs) as attempt:
                while len(rows) < wanted.trials:
                    trial, row = study.ask(len(rows), space, wanted.settings)
                    try:
                        worth = attempt(settings_for(wanted.settings, row.parameters, names))
                        row = replace(row, value=worth.value, figures=worth.figures)
                    except ValueError as error:
                        row = replace(row, error=str(error))
                    except EdgeAdError as error:
                        row, first_error = replace(row, error=str(error)), first_error or error
                    study.tell(trial, row)
                    rows.append(row)
                    _save(folder, search, objective, rows, names)
                    progress.advance(f"trial {row.number}", _told(row, rows))
        finally:
            progress.finish()
        _save(folder, search, objective, rows, names)
    return _found(folder, rows, objective, first_error)


def _save(
    folder: Path, search: Search, objective: Objective, rows: Sequence[TrialRow], names: Sequence[str]
) -> None:
    best, text = best_of(rows), None
    if best is not None:
        settings = settings_for(search.settings, best.parameters, names)
        text = best_toml(search, settings, best, len(rows), objective.text())
    save(folder, rows, text)


def _told(row: TrialRow, rows: Sequence[TrialRow]) -> str:
    """A trial and the best so far, for the person waiting."""
    if row.value is None:
        return f"failed: {row.error}"
    best = best_of(rows)
    kept = f"{row.value:.4f}" if row.keeps_limits else f"exceeds a limit, by {-row.value:.4f} together"
    return f"{kept}; best: " + ("none yet" if best is None else f"{best.value:.4f}, trial {best.number}")


def _found(
    folder: Path, rows: Sequence[TrialRow], objective: Objective, first_error: EdgeAdError | None
) -> Found:
    failed = [row for row in rows if row.value is None]
    best, table = best_of(rows), folder / TRIALS_FILE
    if best is not None:
        return Found(best, len(rows), len(failed), str(folder / BEST_FILE), str(table))
    if len(failed) == len(rows):
        message = f"all {len(rows)} trials failed, the first one: {failed[0].error}"
        raise NothingFoundError(message, first_error.exit_code if first_error else 1)
    nearest = max((row for row in rows if row.value is not None), key=lambda row: row.value or 0.0)
    raise NothingFoundError(
        f"none of {len(rows)} trials keeps within the limits ({objective.text()}); the nearest is trial "
        f"{nearest.number}, see {table}. Search longer with --resume and more --trials, or from new with "
        "wider limits in [objective] of --space",
        1,
    )


def _read_file(path: Path | None) -> tuple[dict[str, Any], Limits]:
    """The tables of a space file. Raises ConfigurationError."""
    if path is None:
        return DEFAULT_SPACE, Limits()
    try:
        with path.open("rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    # besides what is no TOML, numbers of thousands of digits and what is nested too deeply
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    for key, value in given.items():
        if key not in ("space", "objective"):
            raise ConfigurationError(f"{path}: unknown table {key}; known: [space], [objective]")
        if not isinstance(value, dict):
            raise ConfigurationError(f"{path}: {key} must be a table")
    try:
        limits = decode(Limits, given.get("objective", {}))
    except DecodeError as error:
        raise ConfigurationError(f"{path}: [objective] {error}") from error
    return given.get("space", DEFAULT_SPACE), limits


def _chosen(sources: Sequence[Source], groups: Sequence[str], data: Path) -> list[Source]:
    """The recordings of the groups, or all where none is named. Raises ConfigurationError."""
    there = {source.group or _TOP for source in sources}
    for group in groups:
        if group not in there:
            raise ConfigurationError(
                f"--labels-of {group}: no such folder of recordings in {data}; there are: "
                f"{', '.join(sorted(there))}"
            )
        try:
            group.encode()
        except UnicodeEncodeError as error:
            raise ConfigurationError(
                f"--labels-of {group}: the name of this folder is not UTF-8, so that {SEARCH_FILE} and "
                f"{BEST_FILE} cannot say whose labels were looked at: rename the folder"
            ) from error
    return [source for source in sources if not groups or (source.group or _TOP) in groups]


def _check_format(recording_format: RecordingFormat, first: Source) -> None:
    if recording_format.snapshots is not None:
        raise ConfigurationError(
            "a search reads recordings, not snapshot files; a build leaves those that it made of them in its "
            "folder's recordings/, for which 'edge-ad data describe --save-format' writes a format"
        )
    if recording_format.train.share is not None:
        raise ConfigurationError(
            f"{first.path}: rows drawn at random to train on leave no course of time to judge: state a train "
            "span of rows in the format"
        )


def _check_labels(objective: Objective, sources: Sequence[Source], recording_format: RecordingFormat) -> None:
    if not isinstance(objective, LabelObjective):
        return
    recordings = [read(objective, source, recording_format) for source in sources]
    if not any(found.labels is not None and found.labels[found.tested].any() for found in recordings):
        raise DataError(
            "no row after the train spans of the named groups is labelled as anomalous, so there is nothing "
            "to choose by: name other groups, or search without --labels-of"
        )
