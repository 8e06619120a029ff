"""Descriptions of recordings: a TOML file of your own, or one of the presets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.bundle.manifest import Channel, CsvFormat
from edge_ad.detect.features import SnapshotFeatures
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.datasets.pump import PUMP_CHANNELS


@dataclass(frozen=True)
class TrainSpan:
    """The rows of a recording that show normal operation: those at its start, by a count or up to a time, or
    some drawn at random.
    """

    rows: int | None = None
    until: str | None = None
    """Time stamp (as in the file) of the last row of the span; of snapshots, where that one is missing, the
    last one before it counts."""
    since: str | None = None
    """Time stamp of the first row that is used at all: what comes before, such as a machine's running in, is
    left out of the recording."""
    share: float | None = None
    """Share of the rows that are drawn at random; the others are tested. They come from all of the recording,
    a failure at its end included: see docs/bearing.md. Only for windows of one sample."""
    seed: int = 0
    """Of the draw, which is that of scikit-learn's `train_test_split(test_size=1 - share)`."""

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.rows, self.until, self.share)) != 1:
            raise ValueError("give either rows or until, or share for rows drawn at random")
        if self.rows is not None and self.rows < 1:
            raise ValueError("rows must be at least 1")
        if self.share is not None and not 0 < self.share < 1:
            raise ValueError("share must lie between 0 and 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError("seed must be at least 0 and below 2**32")

    @property
    def which(self) -> str:
        """How the rows were chosen, in words that stand before their number."""
        return "the first" if self.share is None else "a random"


@dataclass(frozen=True)
class RecordingFormat:
    """How to read a recording and what it means."""

    channels: tuple[Channel, ...]
    train: TrainSpan
    input: CsvFormat = CsvFormat()
    label_column: str | None = None
    """Column that is 1 where the row is anomalous. A recording without it has no labels."""
    sample_period_s: float = 1.0
    """Nominal time between samples."""
    largest_gap_s: float = 5.5
    """A longer step in time ends the window; about 5 periods."""
    rate_tolerance: float = 0.5
    """By how much the mean step in time may differ from the nominal one, as a factor less one; 0: by any."""
    marks: tuple[str, ...] = ()
    """Further columns by which a file of this format is known; they are not read."""
    snapshots: SnapshotFeatures | None = None
    """Where a row is made of a file of raw readings: what that holds. Its features are the channels."""

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if not names:
            raise ValueError("at least one channel is needed")
        if len(set(names)) != len(names):
            raise ValueError("two channels have the same name")
        if self.input.time_column in names or self.label_column in names:
            raise ValueError("the time and label columns cannot be channels")
        if not 0 < self.sample_period_s <= self.largest_gap_s:
            raise ValueError("largest_gap_s must not be below sample_period_s")
        if not self.rate_tolerance >= 0:
            raise ValueError("rate_tolerance must not be negative")
        if self.snapshots is not None and tuple(names) != self.snapshots.channel_names:
            wanted = ", ".join(self.snapshots.channel_names)
            raise ValueError(f"the channels must be the features of the snapshots, in order: {wanted}")

    def recognizes(self, columns: Sequence[str]) -> bool:
        """Whether a file with these columns is of this format."""
        wanted = {self.input.time_column, *(channel.name for channel in self.channels), *self.marks}
        return wanted <= set(columns)


_SKAB_UNITS = (
    ("Accelerometer1RMS", "g"),
    ("Accelerometer2RMS", "g"),
    ("Current", "A"),
    ("Pressure", "bar"),
    ("Temperature", "degC"),
    ("Thermocouple", "degC"),
    ("Voltage", "V"),
    ("Volume Flow RateRMS", "L/min"),
)

SKAB = RecordingFormat(
    # SKAB's documentation gives no sensor ranges, so none are claimed here.
    channels=tuple(Channel(name, unit) for name, unit in _SKAB_UNITS),
    train=TrainSpan(rows=400),
    input=CsvFormat(separator=";", time_column="datetime"),
    label_column="anomaly",
)

PUMP = RecordingFormat(
    channels=tuple(Channel(*channel) for channel in PUMP_CHANNELS),
    train=TrainSpan(rows=400),
    input=CsvFormat(separator=";", time_column="datetime"),
    label_column="anomaly",
    marks=("simulated fault",),
)

BEARING_SIGNALS = tuple(f"Bearing {number}" for number in (1, 2, 3, 4))
"""Of the second test of NASA's bearing data; its documentation names no unit of the readings."""


def snapshot_format(features: SnapshotFeatures, train: TrainSpan) -> RecordingFormat:
    """The format of recordings made of snapshots every ten minutes, as NASA's."""
    return RecordingFormat(
        channels=tuple(Channel(name) for name in features.channel_names),
        train=train,
        sample_period_s=600.0,
        largest_gap_s=3000.0,
        snapshots=features,
    )


BEARING = snapshot_format(
    # 20,480 readings at 20 kHz, and the train span: the seed's post
    SnapshotFeatures(signals=BEARING_SIGNALS),
    TrainSpan(since="2004-02-12 10:52:39", until="2004-02-15 12:52:39"),
)

PRESETS = {"bearing": BEARING, "pump": PUMP, "skab": SKAB, "skab-best": SKAB}


def load_format(path: Path) -> RecordingFormat:
    """Read a format from a TOML file. Raises ConfigurationError naming the file and the key."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
        return decode(RecordingFormat, table)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, DecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def format_toml(recording_format: RecordingFormat) -> str:
    """The TOML text that `load_format` reads back as the same format."""
    source = recording_format.input
    lines = [
        f"sample_period_s = {recording_format.sample_period_s!r}",
        f"largest_gap_s = {recording_format.largest_gap_s!r}  # a longer step in time ends the window",
    ]
    if recording_format.rate_tolerance != RecordingFormat.rate_tolerance:
        lines.append(f"rate_tolerance = {recording_format.rate_tolerance!r}")
    if recording_format.label_column is not None:
        lines.append(f"label_column = {_quoted(recording_format.label_column)}  # 1 where a row is anomalous")
    else:
        lines.append('# label_column = "…"  # 1 where a row is anomalous, 0 elsewhere; not a channel')
    lines += ["", "[input]"]
    for key in ("separator", "decimal", "time_column", "time_format"):
        lines.append(f"{key} = {_quoted(getattr(source, key))}")
    lines += _train_lines(recording_format.train)
    if recording_format.snapshots is not None:
        lines += _snapshot_lines(recording_format.snapshots)
    for channel in recording_format.channels:
        lines += ["", "[[channels]]", f"name = {_quoted(channel.name)}"]
        lines.append(f"unit = {_quoted(channel.unit)}")
        if channel.low is not None:
            lines.append(f"low = {channel.low!r}")
        if channel.high is not None:
            lines.append(f"high = {channel.high!r}")
        if channel.flat_after is not None:
            lines.append(f"flat_after = {channel.flat_after}")
    return "\n".join(lines) + "\n"


def _train_lines(span: TrainSpan) -> list[str]:
    lines = ["", "[train]  # the rows that show normal operation"]
    if span.since is not None:
        lines.append(f"since = {_quoted(span.since)}  # earlier rows are left out")
    if span.rows is not None:
        return [*lines, f"rows = {span.rows}"]
    if span.until is not None:
        return [*lines, f"until = {_quoted(span.until)}"]
    return [*lines, f"share = {span.share!r}  # drawn at random", f"seed = {span.seed}"]


def _snapshot_lines(features: SnapshotFeatures) -> list[str]:
    lines = ["", "[snapshots]  # of raw readings, one file per row; the channels are their features"]
    lines.append(f"signals = [{', '.join(map(_quoted, features.signals))}]")
    lines += [f"rows = {features.rows}", f"rate_hz = {features.rate_hz!r}"]
    lines.append(f"kinds = [{', '.join(map(_quoted, features.kinds))}]")
    if features.band_edges_hz:
        lines.append(f"band_edges_hz = {list(features.band_edges_hz)!r}")
    lines.append(f"drop_first_row = {str(features.drop_first_row).lower()}")
    lines.append(f"separator = {_quoted(features.separator)}")
    lines.append(f"name_format = {_quoted(features.name_format)}  # of a file's name")
    return lines


def _quoted(text: str) -> str:
    """A TOML basic string."""
    # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
