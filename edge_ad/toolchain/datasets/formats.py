"""Descriptions of recordings: a TOML file of your own, or one of the presets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.bundle.manifest import Channel, CsvFormat
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.datasets.pump import PUMP_CHANNELS


@dataclass(frozen=True)
class TrainSpan:
    """The rows at the start of a recording that show normal operation: a count, or up to a time."""

    rows: int | None = None
    until: str | None = None
    """Time stamp (as in the file) of the last row of the span."""

    def __post_init__(self) -> None:
        if (self.rows is None) == (self.until is None):
            raise ValueError("give either rows or until")
        if self.rows is not None and self.rows < 1:
            raise ValueError("rows must be at least 1")


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

PRESETS = {"pump": PUMP, "skab": SKAB}


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
    lines += ["", "[train]  # the rows at the start that show normal operation"]
    if recording_format.train.rows is not None:
        lines.append(f"rows = {recording_format.train.rows}")
    else:
        lines.append(f"until = {_quoted(recording_format.train.until or '')}")
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


def _quoted(text: str) -> str:
    """A TOML basic string."""
    # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
