"""What is written down of a stream, so that another process goes on where this one was."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from edge_ad.bundle.codec import DecodeError, decode, encode
from edge_ad.detect.episodes import EpisodeChange, EpisodeTracker
from edge_ad.runtime.agent.bundle_run import BundleRun

_FORMAT = 1


@dataclass(frozen=True)
class SavedStream:
    """Where a stream was, and what the bundle in service remembered of it."""

    source: str
    """Kind and address."""
    position: str | None
    """Of the source, after the last line that was decided."""
    label: str
    """Of the bundle."""
    channels: tuple[str, ...]
    severities: tuple[str, ...]
    """From mild to severe."""
    key: str | None
    """Of the run: what must be the same for `run` to make sense. None after another source took over."""
    header: str | None
    """The newest line of column names."""
    run: dict[str, Any]
    """As `BundleRun.save` gives it."""
    format: int = _FORMAT

    @classmethod
    def of(cls, run: BundleRun, source: str, position: str | None) -> SavedStream:
        """A stream as it is now."""
        service = run.service
        channels = tuple(channel.name for channel in service.channels)
        header = run.decoder.header
        return cls(source, position, service.label, channels, service.severities, run.key, header, run.save())

    @classmethod
    def parse(cls, text: str) -> SavedStream:
        """Raises ValueError for what no agent of this version has written."""
        try:
            saved = decode(cls, json.loads(text))
        except (DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from error
        if saved.format != _FORMAT:
            raise ValueError(f"it has format {saved.format}, of another edge_ad")
        return saved

    def text(self) -> str:
        """For `parse`."""
        return json.dumps(encode(self))

    def without_place(self) -> SavedStream:
        """What is left of it where the stream comes from another source."""
        return dataclasses.replace(self, position=None, key=None, header=None)

    def end_of_episode(self) -> EpisodeChange | None:
        """The end of the episode that was open; None where there was none.

        Raises KeyError, TypeError, ValueError.
        """
        tracker = EpisodeTracker(self.channels, self.severities)
        tracker.restore(self.run["monitor"]["episodes"])
        return tracker.close(float(self.run["monitor"]["newest"]))
