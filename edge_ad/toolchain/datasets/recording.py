"""A recording: time stamps, samples and, where somebody judged them, labels."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Channel
from edge_ad.errors import DataError
from edge_ad.runtime.sources.csv_lines import CsvLines, Sample, time_parser
from edge_ad.toolchain.datasets import parquet
from edge_ad.toolchain.datasets.formats import RecordingFormat


@dataclass(frozen=True)
class Recording:
    """The samples of one asset, in order of time."""

    name: str
    """Name of the asset."""
    times: NDArray[np.float64]
    """`(n,)` seconds since the epoch (UTC), strictly increasing."""
    samples: NDArray[np.float64]
    """`(n, n_channels)` engineering units; NaN where a cell was empty."""
    channels: tuple[Channel, ...]
    labels: NDArray[np.bool_] | None
    """`(n,)`, True where the row is anomalous; None for a recording that nobody labelled."""
    in_train: NDArray[np.bool_]
    """`(n,)`: the rows that show normal operation, to learn from. The others are tested on."""
    sha256: str
    """Digest of the file the recording was read from."""
    not_used: tuple[str, ...] = ()
    """Columns of that file which the format does not name."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def train_rows(self) -> int:
        """Number of rows to learn from."""
        return int(self.in_train.sum())

    @property
    def tested(self) -> NDArray[np.bool_]:
        """`(n,)`: the rows that are not learned from."""
        return ~self.in_train


def read_recording(path: Path, recording_format: RecordingFormat, name: str) -> Recording:
    """Read a CSV or Parquet file as the format describes it.

    Raises DataError, with the line number, for anything that does not fit the format: the file is
    to be trained on, so nothing is guessed or skipped.
    """
    samples, header, digest = _read_rows(path, recording_format)
    labelled = recording_format.label_column in header
    if not samples:
        raise DataError(f"{path} has column names but no rows")
    times = np.array([sample.time for sample in samples], np.float64)
    _check_order(path, samples, times)
    values = np.array([sample.values for sample in samples], np.float64)
    labels = None
    if labelled:
        labels = _labels(path, samples, values[:, -1], str(recording_format.label_column))
        values = np.ascontiguousarray(values[:, :-1])
    first = _first_row(path, samples, recording_format)
    samples, times, values = samples[first:], times[first:], values[first:]
    labels = None if labels is None else labels[first:]
    in_train = _in_train(path, samples, recording_format)
    used = {recording_format.input.time_column, recording_format.label_column}
    used |= {channel.name for channel in recording_format.channels}
    not_used = tuple(column for column in header if column not in used)
    return Recording(name, times, values, recording_format.channels, labels, in_train, digest, not_used)


def _read_rows(path: Path, recording_format: RecordingFormat) -> tuple[list[Sample], list[str], str]:
    if path.suffix.lower() == parquet.SUFFIX:
        return parquet.read_rows(path, recording_format)
    columns = [channel.name for channel in recording_format.channels]
    label = recording_format.label_column
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with path.open(encoding="utf-8", newline="\n") as file:
            lines = CsvLines(file, recording_format.input, columns, name=str(path), strict=True)
            if label is not None and label in lines.header:
                file.seek(0)
                columns.append(label)
                lines = CsvLines(file, recording_format.input, columns, name=str(path), strict=True)
            return list(lines), lines.header, digest
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _check_order(path: Path, samples: list[Sample], times: NDArray[np.float64]) -> None:
    for sample in samples:
        if not math.isfinite(sample.time):
            raise DataError(f"{path}, line {sample.line}: time {sample.stamp!r} is not a finite number")
    wrong = np.flatnonzero(~(np.diff(times) > 0))
    if len(wrong):
        sample, before = samples[int(wrong[0]) + 1], samples[int(wrong[0])]
        what = "repeats" if sample.time == before.time else "is not later than"
        raise DataError(
            f"{path}, line {sample.line}: time {sample.stamp!r} {what} {before.stamp!r} on the line "
            f"before ({len(wrong)} such rows); sort the file by time and drop repeated rows"
        )


def _labels(path: Path, samples: list[Sample], column: NDArray[np.float64], name: str) -> NDArray[np.bool_]:
    wrong = np.flatnonzero((column != 0) & (column != 1))
    if len(wrong):
        line = samples[int(wrong[0])].line
        raise DataError(f"{path}, line {line}: label {name!r} is {column[wrong[0]]}, not 0 or 1")
    labels: NDArray[np.bool_] = column == 1
    return labels


def _first_row(path: Path, samples: list[Sample], recording_format: RecordingFormat) -> int:
    since = recording_format.train.since
    if since is None:
        return 0
    time = _time_of(since, recording_format)
    for index, sample in enumerate(samples):
        if sample.stamp.strip() == since or (time is not None and sample.time >= time):
            return index
    raise DataError(f"{path}: no row is as late as {since!r}, before which rows are left out")


def _in_train(path: Path, samples: list[Sample], recording_format: RecordingFormat) -> NDArray[np.bool_]:
    span = recording_format.train
    in_train = np.zeros(len(samples), bool)
    if span.share is None:
        in_train[: _train_rows(path, samples, recording_format)] = True
        return in_train
    # As scikit-learn does it: the test rows first, as many as rounded up, and then those to train on.
    n_test = math.ceil(len(samples) * (1 - span.share) - 1e-9)
    in_train[np.random.RandomState(span.seed).permutation(len(samples))[n_test:]] = True
    return in_train


def _time_of(stamp: str, recording_format: RecordingFormat) -> float | None:
    try:
        return time_parser(recording_format.input)(stamp)
    except ValueError:
        return None


def _train_rows(path: Path, samples: list[Sample], recording_format: RecordingFormat) -> int:
    span = recording_format.train
    if span.rows is not None:
        if len(samples) < span.rows:
            raise DataError(
                f"{path} has {len(samples)} rows, fewer than the train span of {span.rows}; "
                "record longer or set a shorter span in the format"
            )
        return span.rows
    for index, sample in enumerate(samples):
        if sample.stamp.strip() == span.until:
            return index + 1
    # The snapshot of that very time may have been left out; in other recordings it is a slip of the pen.
    time = _time_of(str(span.until), recording_format) if recording_format.snapshots else None
    if time is not None and samples[0].time <= time < samples[-1].time:
        return sum(sample.time <= time for sample in samples)
    raise DataError(f"{path}: no row has the time stamp {span.until!r} that ends the train span")
