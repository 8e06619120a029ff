"""Which format the recordings at a path have."""

from __future__ import annotations

from pathlib import Path

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.datasets.discover import find_recordings
from edge_ad.toolchain.datasets.formats import PRESETS, RecordingFormat, load_format
from edge_ad.toolchain.datasets.guess import guess_format


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
