"""What a search leaves in its folder.

DIR/search.json   what is searched, in which data, by which measure and seed
DIR/study.db      the trials so far, as optuna keeps them (SQLite)
DIR/trials.csv    the same as a table: numbers, parameters, figures, errors
DIR/best.toml     the settings of the best trial that keeps within the limits, for `--config`
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_ad.bundle.archive import sha256
from edge_ad.bundle.codec import canonical_json, decode, encode, parse_json
from edge_ad.errors import ConfigurationError
from edge_ad.files import write_atomic
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.search.objective import Limits
from edge_ad.toolchain.search.space import Value
from edge_ad.toolchain.settings import BuildSettings, ProtocolSettings
from edge_ad.toolchain.settings_file import settings_toml

SEARCH_FILE, STUDY_FILE, TRIALS_FILE, BEST_FILE = "search.json", "study.db", "trials.csv", "best.toml"


@dataclass(frozen=True)
class Search:
    """The contents of `search.json`: all that trials depend on."""

    space: dict[str, Any]
    """As the file has it."""
    limits: Limits
    settings: BuildSettings
    """What is not searched for is as here."""
    format: RecordingFormat
    groups: tuple[str, ...]
    """Whose labels are looked at; none: no labels at all."""
    seed: int
    data: dict[str, str]
    """Digest of what is read of each recording, by name."""


@dataclass(frozen=True)
class TrialRow:
    """A trial that came to its end."""

    number: int
    """From 0, in the order in which they ended."""
    parameters: dict[str, Value]
    value: float | None
    """None where it failed."""
    figures: dict[str, float | None]
    error: str

    @property
    def keeps_limits(self) -> bool:
        """Whether it may be chosen."""
        return self.value is not None and self.value >= 0


def begin(folder: Path, search: Search, *, resume: bool) -> str:
    """Write `search.json`, or see that the one which is there is of this very search; returns its digest.

    Raises ConfigurationError, OutputError.
    """
    path = folder / SEARCH_FILE
    if not path.exists():
        there = [name for name in (STUDY_FILE, TRIALS_FILE, BEST_FILE) if (folder / name).exists()]
        if there:
            raise ConfigurationError(
                f"{folder} has {', '.join(there)}, but no {SEARCH_FILE} that says of which search: put it "
                "back, or search into another folder"
            )
        if resume:
            raise ConfigurationError(f"{folder} holds no search to go on with: leave --resume out")
        content = canonical_json(encode(search))
        write_atomic(path, content)
        return sha256(content)
    if not resume:
        raise ConfigurationError(
            f"{folder} holds another search: --resume goes on with it, -o names another folder for a new one"
        )
    try:
        content = path.read_bytes()
        before = decode(Search, parse_json(content))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is damaged: {error}; search again into another folder") from error
    differing = [key for key, value in encode(search).items() if value != encode(before)[key]]
    if differing:
        raise ConfigurationError(
            f"{folder} is of a search with other {', '.join(differing)}: give what it was begun with, or "
            "another folder"
        )
    return sha256(content)


def n_ended(folder: Path) -> int:
    """How many trials a search has told of so far, or at least one where only `best.toml` is left."""
    known = 1 if (folder / BEST_FILE).exists() else 0
    try:
        with (folder / TRIALS_FILE).open(encoding="utf-8", errors="replace", newline="") as file:
            for cells in csv.reader(file):
                if cells and cells[0].isdecimal():
                    known = max(known, int(cells[0]) + 1)
    except (OSError, ValueError, csv.Error):  # the table is made anew of the study
        pass
    return known


def best_of(rows: Sequence[TrialRow]) -> TrialRow | None:
    """The best trial that keeps within the limits, the first of those that are alike; None: none does."""
    kept = [row for row in rows if row.keeps_limits]
    return max(kept, key=lambda row: row.value or 0.0) if kept else None


def trials_csv(rows: Sequence[TrialRow]) -> str:
    """One line per trial; an empty cell where it has no such parameter or figure."""
    parameters = list(dict.fromkeys(name for row in rows for name in row.parameters))
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "value", "keeps limits", *parameters, *figures, "error"])
    for row in rows:
        cells = [row.parameters.get(name) for name in parameters] + [
            row.figures.get(name) for name in figures
        ]
        value = "" if row.value is None else row.value
        writer.writerow(
            [row.number, value, "yes" if row.keeps_limits else "no", *map(_cell, cells), row.error]
        )
    return text.getvalue()


def _cell(value: Value | None) -> Value:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def best_toml(search: Search, settings: BuildSettings, best: TrialRow, n_trials: int, measure: str) -> str:
    """A complete `--config` file that says how it came to be."""
    before = search.settings.protocol
    where = f"labels of {', '.join(search.groups)}" if search.groups else "normal operation alone"
    said = (
        f"by edge-ad search on {where}: the best of {n_trials} trials (number {best.number}, seed "
        f"{search.seed}) by the {measure}; searched: {', '.join(search.space)}"
    )
    chosen_on = f"{said}; the rest before: {before.chosen_on}" if before.chosen_on else said
    labels_of = tuple(dict.fromkeys((*before.labels_of, *search.groups)))
    stated = replace(settings, protocol=ProtocolSettings(chosen_on, labels_of))
    figures = ", ".join(f"{name} {value:.4g}" for name, value in best.figures.items() if value is not None)
    return f"# {figures}\n{settings_toml(stated)}"


def save(folder: Path, rows: Sequence[TrialRow], best: str | None) -> None:
    """Write the table, and the best settings so far. Raises OutputError."""
    write_atomic(folder / TRIALS_FILE, trials_csv(rows).encode())
    if best is not None:
        write_atomic(folder / BEST_FILE, best.encode())
