"""Recordings in Parquet files: the same columns as in CSV, typed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import DataError, MissingDependencyError
from edge_ad.runtime.sources.csv_lines import Sample, time_parser
from edge_ad.toolchain.datasets.formats import RecordingFormat

SUFFIX = ".parquet"


def column_names(path: Path) -> list[str]:
    """The columns of a file. Raises DataError, MissingDependencyError."""
    with _Translated(path):
        names: list[str] = _parquet().read_schema(path).names
        return names


def read_rows(path: Path, recording_format: RecordingFormat) -> tuple[list[Sample], list[str], str]:
    """Samples (with the label last, where there is one), column names, and the file's SHA-256.

    The time column holds time stamps (without a zone: UTC), texts as the format says, or seconds since the
    epoch. A missing value is NaN. Raises DataError, MissingDependencyError.
    """
    header = column_names(path)
    wanted = [channel.name for channel in recording_format.channels]
    label, time_column = recording_format.label_column, recording_format.input.time_column
    if label in header:
        wanted.append(label)
    for column in (time_column, *wanted):
        if header.count(column) != 1:
            what = "stands twice in" if column in header else "is missing from"
            raise DataError(f"{path}: column {column!r} {what} the file; it has: {', '.join(header)}")
    with _Translated(path):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        table = _parquet().ParquetFile(path).read(columns=[time_column, *wanted])
    stamps = _stamps(path, table.column(time_column).to_pylist(), recording_format)
    values = np.column_stack([_numbers(path, name, table.column(name)) for name in wanted])
    samples = [
        Sample(time, row, stamp, line)
        for line, ((time, stamp), row) in enumerate(zip(stamps, values.tolist(), strict=True), start=1)
    ]
    return samples, header, digest


def _numbers(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    try:
        return np.array([math.nan if v is None else float(v) for v in column.to_pylist()], np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: column {name!r} holds {column.type}, no numbers") from error


def _stamps(path: Path, values: Sequence[Any], recording_format: RecordingFormat) -> list[tuple[float, str]]:
    parse, stamps = time_parser(recording_format.input), []
    for line, value in enumerate(values, start=1):
        try:
            stamps.append(_stamp(value, parse))
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}, row {line}: time {value!r} is none") from error
    return stamps


def _stamp(value: Any, parse: Any) -> tuple[float, str]:
    """Seconds since the epoch, and the time as it would stand in a CSV file."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        text = moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ")
        return moment.timestamp(), text
    if isinstance(value, str):
        return parse(value), value
    return float(value), str(value)


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingDependencyError("Parquet files need: pip install 'edge-ad[distributed]'") from error
    return pyarrow.parquet


class _Translated:
    """What pyarrow and the disk raise, as DataError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # pyarrow's own errors are ValueErrors, OSErrors or KeyErrors besides
        if isinstance(error, (OSError, ValueError, KeyError)):
            reason = str(error).strip().partition("\n")[0]
            raise DataError(f"cannot read {self._path} as Parquet: {reason}") from error
