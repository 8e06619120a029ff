"""What was understood of a recording: rows, rate, gaps, ranges, label share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edge_ad.bundle.manifest import Channel
from edge_ad.detect.window import LARGEST_VALUE
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.recording import Recording, read_recording


@dataclass(frozen=True)
class ChannelDescription:
    """Range of one channel over the whole recording, in its unit; None where nothing is finite."""

    name: str
    unit: str
    minimum: float | None
    mean: float | None
    maximum: float | None
    missing: int
    """Cells that are empty, NaN, infinite or absurdly large."""
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
    label_column: str | None
    """None for a recording that nobody labelled."""
    label_share: float | None
    """Share of anomalous rows; None without labels."""
    not_used: tuple[str, ...]
    """Columns of the file that are neither time, channel nor label."""
    channels: tuple[ChannelDescription, ...]


def describe(path: Path, recording_format: RecordingFormat, name: str) -> RecordingDescription:
    """Read and describe a recording. Raises DataError."""
    recording = read_recording(path, recording_format, name)
    # Times are stored to about 2.4e-7 s: what is regular in the file is to be regular here.
    steps = np.round(np.diff(recording.times), 6)
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
        label_column=None if recording.labels is None else recording_format.label_column,
        label_share=None if recording.labels is None else float(recording.labels.mean()),
        not_used=recording.not_used,
        channels=tuple(
            _describe_channel(recording, index, channel) for index, channel in enumerate(recording.channels)
        ),
    )


def _describe_channel(recording: Recording, index: int, channel: Channel) -> ChannelDescription:
    column = recording.samples[:, index]
    finite = column[np.abs(column) < LARGEST_VALUE]
    train = column[recording.in_train]
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
