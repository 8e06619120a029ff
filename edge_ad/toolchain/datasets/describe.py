"""What was understood of a recording: rows, rate, gaps, ranges, label share."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edge_ad.bundle.manifest import Channel, CsvFormat
from edge_ad.errors import DataError
from edge_ad.runtime.sources.csv_lines import CsvLines
from edge_ad.toolchain.datasets.formats import PRESETS, RecordingFormat, TrainSpan
from edge_ad.toolchain.datasets.recording import Recording, read_recording

_LABEL_NAMES = ("anomaly", "label", "is_anomaly", "fault")
_IGNORED_NAMES = ("changepoint",)


@dataclass(frozen=True)
class ChannelDescription:
    """Range of one channel over the whole recording, in its unit; None where nothing is finite."""

    name: str
    unit: str
    minimum: float | None
    mean: float | None
    maximum: float | None
    missing: int
    """Cells that are empty, NaN or infinite."""
    constant_in_train: bool


@dataclass(frozen=True)
class RecordingDescription:
    """One recording in figures."""

    asset: str
    rows: int
    train_rows: int
    start: str
    end: str
    median_step_s: float | None
    """Median time between rows; None for a single row."""
    nominal_step_share: float | None
    """Share of steps that equal the median."""
    gaps: int
    """Steps longer than the format's largest gap."""
    longest_step_s: float | None
    label_share: float | None
    """Share of anomalous rows; None without labels."""
    channels: tuple[ChannelDescription, ...]


def describe(path: Path, recording_format: RecordingFormat, name: str) -> RecordingDescription:
    """Read and describe a recording. Raises DataError."""
    recording = read_recording(path, recording_format, name)
    steps = np.diff(recording.times)
    median = float(np.median(steps)) if len(steps) else None
    return RecordingDescription(
        asset=name,
        rows=len(recording),
        train_rows=recording.train_rows,
        start=_moment(recording.times[0]),
        end=_moment(recording.times[-1]),
        median_step_s=median,
        nominal_step_share=float((steps == median).mean()) if len(steps) else None,
        gaps=int((steps > recording_format.largest_gap_s).sum()),
        longest_step_s=float(steps.max()) if len(steps) else None,
        label_share=None if recording.labels is None else float(recording.labels.mean()),
        channels=tuple(
            _describe_channel(recording, index, channel) for index, channel in enumerate(recording.channels)
        ),
    )


def _describe_channel(recording: Recording, index: int, channel: Channel) -> ChannelDescription:
    column = recording.samples[:, index]
    finite = column[np.isfinite(column)]
    train = column[: recording.train_rows]
    return ChannelDescription(
        channel.name,
        channel.unit,
        float(finite.min()) if len(finite) else None,
        float(finite.mean()) if len(finite) else None,
        float(finite.max()) if len(finite) else None,
        len(column) - len(finite),
        bool((train == train[0]).all()),
    )


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(float(seconds), timezone.utc).isoformat(" ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s"


def guess_format(path: Path) -> tuple[RecordingFormat, str | None]:
    """The format a file seems to have, and the preset's name where it fits one.

    Looks at the column names and the first rows; the units are for the user to add. Raises
    DataError where no separator gives a time column and at least one column of numbers.
    """
    header, first = _first_lines(path)
    for separator in (";", ",", "\t", "|"):
        names = [cell.strip() for cell in next(csv.reader([header], delimiter=separator), [])]
        cells = next(csv.reader([first], delimiter=separator), [])
        if len(names) < 2 or len(cells) != len(names):
            continue
        for preset, known in PRESETS.items():
            wanted = {known.input.time_column, *(channel.name for channel in known.channels)}
            if known.input.separator == separator and wanted <= set(names):
                return known, preset
        guessed = _guess_columns(path, names, cells, separator)
        if guessed is not None:
            return guessed, None
    raise DataError(
        f"{path}: no time column with columns of numbers was recognized in {header[:80]!r}; describe "
        "the file in a format file and pass it with --format"
    )


def _guess_columns(path: Path, names: list[str], cells: list[str], separator: str) -> RecordingFormat | None:
    for decimal in (".", ","):
        if decimal == separator:
            continue
        for time_format in ("iso", "seconds"):
            time_column = names[0]
            layout = CsvFormat(separator, time_column, time_format, decimal)
            numeric = [
                name for name, cell in zip(names[1:], cells[1:], strict=True) if _is_number(cell, decimal)
            ]
            label = next((name for name in numeric if name.lower() in _LABEL_NAMES), None)
            channels = [n for n in numeric if n != label and n.lower() not in _IGNORED_NAMES]
            if not channels or not _reads(path, layout, channels):
                continue
            times = _times(path, layout, channels)
            period = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
            return RecordingFormat(
                channels=tuple(Channel(name) for name in channels),
                train=TrainSpan(rows=max(1, len(times) // 3)),
                input=layout,
                label_column=label,
                sample_period_s=period if period > 0 else 1.0,
                largest_gap_s=5.5 * period if period > 0 else 5.5,
            )
    return None


def _reads(path: Path, layout: CsvFormat, channels: list[str]) -> bool:
    with path.open(encoding="utf-8", newline="\n") as file:
        sample = next(iter(CsvLines(file, layout, channels, name=str(path), strict=False)), None)
    return sample is not None and sample.problem is None


def _times(path: Path, layout: CsvFormat, channels: list[str]) -> list[float]:
    with path.open(encoding="utf-8", newline="\n") as file:
        return [s.time for s in CsvLines(file, layout, channels, name=str(path), strict=True)]


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _first_lines(path: Path) -> tuple[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            header, first = file.readline().rstrip("\r\n"), file.readline().rstrip("\r\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save the file as UTF-8") from error
    if not header.strip():
        raise DataError(f"{path} is empty: it must start with a line of column names")
    if not first.strip():
        raise DataError(f"{path} has column names but no rows")
    return header, first
