"""Guessing the format of a file that nobody described, for a person to check and correct."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_ad.bundle.manifest import Channel, CsvFormat
from edge_ad.errors import DataError
from edge_ad.runtime.sources.csv_lines import CsvLines
from edge_ad.toolchain.datasets import parquet
from edge_ad.toolchain.datasets.formats import PRESETS, RecordingFormat, TrainSpan

LABEL_NAMES = ("anomaly", "label", "is_anomaly", "fault")
_IGNORED_NAMES = ("changepoint",)
_TIME_FORMATS = ("iso", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "seconds")
_LONGEST_LINE = 1 << 17


def guess_format(path: Path) -> tuple[RecordingFormat, str | None]:
    """The format a file seems to have, and the preset's name where it fits one.

    Looks at the column names and the rows; the units are for the user to add. Raises DataError where no
    separator gives a time column and at least one column of numbers.
    """
    if path.suffix.lower() == parquet.SUFFIX:
        return _known_by_columns(path)
    header, first = _first_lines(path)
    for separator in (";", ",", "\t", "|"):
        names, cells = _cells(header, separator), _cells(first, separator)
        if len(names) < 2 or len(cells) != len(names):
            continue
        for preset, known in PRESETS.items():
            if known.input.separator == separator and known.recognizes(names):
                return known, preset
        table = _Table(path, names, cells, separator)
        guesses = [table.guess(decimal) for decimal in (".", ",") if decimal != separator]
        found = [guessed for guessed in guesses if guessed is not None]
        if found:  # the decimal sign by which more columns are numbers
            return max(found, key=lambda guessed: len(guessed.channels)), None
    raise DataError(
        f"{path}: no column of times (ISO 8601, '31.12.2026 23:59:59', or rising seconds) beside columns of "
        f"numbers was recognized in {header[:80]!r}; describe the file in a format file (docs/formats.md) "
        "and pass it with --format"
    )


def _known_by_columns(path: Path) -> tuple[RecordingFormat, str]:
    """A preset with the columns of a Parquet file."""
    names = parquet.column_names(path)
    for preset, known in PRESETS.items():
        if known.recognizes(names):
            return known, preset
    raise DataError(
        f"{path}: no preset has these columns: {', '.join(names)}; describe the file in a format file "
        "(docs/formats.md) and pass it with --format"
    )


@dataclass(frozen=True)
class _Table:
    """The first two lines of a file, cut into cells."""

    path: Path
    names: list[str]
    cells: list[str]
    separator: str

    def guess(self, decimal: str) -> RecordingFormat | None:
        """A format with this decimal sign, if one fits."""
        numeric = [
            n for n, cell in zip(self.names, self.cells, strict=True) if n and _is_number(cell, decimal)
        ]
        for time_format in _TIME_FORMATS:
            for column in self.names:
                # A number can be seconds and nothing else, and only the first column is taken for them.
                if not column or (column in numeric) != (time_format == "seconds"):
                    continue
                if time_format == "seconds" and column != self.names[0]:
                    continue
                layout = CsvFormat(self.separator, column, time_format, decimal)  # type: ignore[arg-type]  # "." or ","
                columns = [name for name in numeric if name != column and name not in _IGNORED_NAMES]
                if columns and self._reads(layout, columns):
                    return self._format(layout, columns)
        return None

    def _reads(self, layout: CsvFormat, columns: list[str]) -> bool:
        """Whether the first rows are samples, in order of time."""
        with self.path.open(encoding="utf-8", newline="\n") as file:
            lines = iter(CsvLines(file, layout, columns, name=str(self.path), strict=False))
            samples = [sample for _, sample in zip(range(20), lines, strict=False)]
        times = [sample.time for sample in samples]
        return bool(samples) and samples[0].problem is None and times == sorted(times)

    def _format(self, layout: CsvFormat, columns: list[str]) -> RecordingFormat:
        with self.path.open(encoding="utf-8", newline="\n") as file:
            samples = list(CsvLines(file, layout, columns, name=str(self.path), strict=True))
        values = np.array([sample.values for sample in samples], np.float64)
        binary = [
            name for name, column in zip(columns, values.T, strict=True) if np.isin(column, (0, 1)).all()
        ]
        label = next((name for name in columns if name.lower() in LABEL_NAMES), None)
        if label is None and len(binary) == 1:
            label = binary[0]  # a column of nothing but 0 and 1 is a judgement, hardly a sensor
        steps = np.diff([sample.time for sample in samples])
        period = float(np.round(np.median(steps), 6)) if len(steps) else 1.0
        if not period > 0:
            period = 1.0
        channels = tuple(Channel(name) for name in columns if name != label) or (Channel(columns[0]),)
        return RecordingFormat(
            channels=channels,
            train=TrainSpan(rows=max(1, len(samples) // 3)),
            input=layout,
            label_column=label,
            sample_period_s=period,
            largest_gap_s=round(5.5 * period, 6),
        )


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def _first_lines(path: Path) -> tuple[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            header, first = (file.readline(_LONGEST_LINE).rstrip("\r\n") for _ in range(2))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save the file as UTF-8") from error
    if not header.strip():
        raise DataError(f"{path} is empty: it must start with a line of column names")
    if not first.strip():
        raise DataError(f"{path} has column names but no rows")
    return header, first
