"""A snapshot's text and name: readings of all signals, line by line, and the time they were taken at."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.detect.features import SnapshotFeatures
from edge_ad.text import printable

_LONGEST_SHOWN = 60
_BYTES_PER_CELL = 40
_TAB, _LINE_END = ord("\t"), ord("\n")


class SnapshotError(ValueError):
    """A snapshot that cannot be used, and why, in words that follow its name."""


def snapshot_time(name: str, settings: SnapshotFeatures) -> datetime:
    """When the snapshot of this file name was taken, in UTC. Raises SnapshotError."""
    try:
        time = datetime.strptime(name, settings.name_format)
    except ValueError as error:
        raise SnapshotError(
            f"its name is no time of the form {settings.name_format}: rename it, set name_format, or move it "
            "elsewhere"
        ) from error
    return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)


def largest_snapshot(settings: SnapshotFeatures) -> int:
    """Bytes of text beyond which a file is something else."""
    return settings.rows * len(settings.signals) * _BYTES_PER_CELL


def parse_snapshot(content: bytes, settings: SnapshotFeatures) -> NDArray[np.float64]:
    """The readings `(rows, n_signals)` of a snapshot's text, each the nearest float64.

    Raises SnapshotError for another number of rows or columns, or a cell that is no number, with its line.
    """
    text = content.rstrip() + b"\n"
    if settings.separator != "\t":
        text = text.replace(settings.separator.encode(), b"\t")
    n_signals = len(settings.signals)
    if settings.separator != " ":
        characters = np.frombuffer(text, np.uint8)
        breaks = characters[(characters == _TAB) | (characters == _LINE_END)]
        wanted = np.full((settings.rows, n_signals), _TAB, np.uint8)
        wanted[:, -1] = _LINE_END
        if not np.array_equal(breaks, wanted.ravel()):
            raise SnapshotError(_shape_flaw(text, settings))
    elif text.count(b"\n") != settings.rows:
        raise SnapshotError(_shape_flaw(text, settings))
    try:
        cells = text.split()
        if b"_" in text:  # Python reads 1_000 as a number, a recorder that writes it means something else
            raise ValueError
        readings = np.array(cells, np.float64).reshape(settings.rows, n_signals)
    except ValueError as error:
        raise SnapshotError(_cell_flaw(text, settings)) from error
    return readings


def _shape_flaw(text: bytes, settings: SnapshotFeatures) -> str:
    lines, n_signals = text.splitlines(), len(settings.signals)
    if not text.strip():
        return "is empty"
    for number, line in enumerate(lines, start=1):
        n_columns = len(_cells(line, settings))
        if n_columns != n_signals:
            names = ", ".join(settings.signals)
            is_last = number == len(lines) and len(lines) < settings.rows
            hint = "; the file seems cut off here" if is_last else ""
            return f"line {number} has {n_columns} columns, not the {n_signals} of {names}{hint}"
    return f"has {len(lines)} rows, not {settings.rows}"


def _cell_flaw(text: bytes, settings: SnapshotFeatures) -> str:
    for number, line in enumerate(text.splitlines(), start=1):
        cells = _cells(line, settings)
        if len(cells) != len(settings.signals):
            return _shape_flaw(text, settings)
        for signal, cell in zip(settings.signals, cells, strict=True):
            shown = printable(cell.decode(errors="replace"))[:_LONGEST_SHOWN]
            try:
                float(cell)
            except ValueError:
                return f"line {number}: {signal} is {shown!r}, not a number"
            if b"_" in cell:
                return f"line {number}: {signal} is {shown!r}, not a number"
    return "holds something that is no number"


def _cells(line: bytes, settings: SnapshotFeatures) -> list[bytes]:
    return line.split() if settings.separator == " " else line.split(b"\t")


def header_line(settings: SnapshotFeatures, layout: CsvFormat) -> str:
    """The line of column names above those of `feature_line`."""
    line = io.StringIO()
    writer = csv.writer(line, delimiter=layout.separator, lineterminator="")
    writer.writerow([layout.time_column, *settings.channel_names])
    return line.getvalue()


def feature_line(name: str, content: bytes, settings: SnapshotFeatures, layout: CsvFormat) -> str:
    """A snapshot as the line of a recording: its time and its features to the last bit, none for NaN.

    Raises SnapshotError.
    """
    time = snapshot_time(name, settings)
    features = settings.extract(parse_snapshot(content, settings)).tolist()
    cells = ["" if value != value else repr(value) for value in features]  # noqa: PLR0124  NaN
    if layout.decimal == ",":
        cells = [cell.replace(".", ",") for cell in cells]
    return layout.separator.join([stamp_of(time, layout), *cells])


def stamp_of(time: datetime, layout: CsvFormat) -> str:
    """A time stamp as the layout has it."""
    if layout.time_format == "seconds":
        return repr(time.timestamp())
    if layout.time_format == "iso":
        return time.strftime("%Y-%m-%d %H:%M:%S") + (f".{time.microsecond:06d}" if time.microsecond else "")
    return time.strftime(layout.time_format)
