"""Which format the recordings at a path have."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from edge_ad.bundle.manifest import Channel
from edge_ad.detect.features import FeatureKind
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.datasets.discover import find_recordings
from edge_ad.toolchain.datasets.formats import PRESETS, RecordingFormat, TrainSpan, load_format
from edge_ad.toolchain.datasets.guess import guess_format

RANDOM_SHARE = 0.2
"""Of the rows, to train on: the bearing post's `test_size=0.8`."""


@dataclass(frozen=True)
class FormatChanges:
    """What is to be read or trained on instead of what the format says."""

    features: tuple[str, ...] = ()
    """Of snapshots; none: the format's."""
    drop_first_row: bool = False
    random_split: bool = False
    train_rows: int | None = None
    skip_bad_snapshots: bool = False
    """Leave snapshots out that cannot be used; else they end the work."""

    def apply(self, recording_format: RecordingFormat, seed: int) -> RecordingFormat:
        """The format with these changes; `seed` is that of a random split. Raises ConfigurationError."""
        changed = recording_format
        try:
            if self.features or self.drop_first_row:
                changed = self._with_features(changed)
            if self.random_split:
                if self.train_rows is not None:
                    raise ConfigurationError("give either --split random or --train-rows, not both")
                span = TrainSpan(share=RANDOM_SHARE, seed=seed)
                changed = dataclasses.replace(changed, train=span)
            if self.train_rows is not None:
                changed = dataclasses.replace(changed, train=TrainSpan(rows=self.train_rows))
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return changed

    def _with_features(self, recording_format: RecordingFormat) -> RecordingFormat:
        snapshots = recording_format.snapshots
        if snapshots is None:
            raise ConfigurationError(
                "--features and --drop-first-row are for snapshot files: --preset bearing, or a format with "
                "[snapshots]"
            )
        known: tuple[FeatureKind, ...] = get_args(FeatureKind)
        for name in self.features:
            if name not in known:
                raise ConfigurationError(f"no feature is called {name!r}; there are: {', '.join(known)}")
        chosen = tuple(kind for name in self.features for kind in known if kind == name)
        kinds = chosen or snapshots.kinds
        edges = snapshots.band_edges_hz
        if "band-energy" in kinds and not edges:
            edges = tuple(snapshots.rate_hz * eighth / 8 for eighth in range(5))
        changed = dataclasses.replace(
            snapshots,
            kinds=kinds,
            band_edges_hz=edges if "band-energy" in kinds else (),
            drop_first_row=self.drop_first_row or snapshots.drop_first_row,
        )
        channels = recording_format.channels
        if changed.channel_names != snapshots.channel_names:
            channels = tuple(Channel(name) for name in changed.channel_names)
        return dataclasses.replace(recording_format, snapshots=changed, channels=channels)


def choose_format(
    data: Path, preset: str | None, format_file: Path | None
) -> tuple[RecordingFormat, str | None]:
    """The format asked for, or the preset whose columns the first file has; and the preset's name.

    A format is only recognized, never made up: training on guessed columns would be a guess about
    the machine. Raises ConfigurationError, DataError.
    """
    if preset and format_file:
        raise ConfigurationError("give either --preset or --format, not both")
    if format_file:
        return load_format(format_file), None
    if preset:
        return PRESETS[preset], preset
    first = next(iter(find_recordings(data).values()))
    guessed, found = guess_format(first)
    if found is None:
        raise ConfigurationError(
            f"{first} fits no preset; write a format for it with "
            f"'edge-ad data describe {first} --save-format my.toml', edit it, and pass --format my.toml"
        )
    return guessed, found
