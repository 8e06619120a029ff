"""Every decision, as a line of JSON in a file: sinks of the kind `decisions`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_ad.detect.decision import Decision
from edge_ad.runtime.sinks.line_writer import LineWriter
from edge_ad.runtime.sinks.ndjson import DecisionLine
from edge_ad.runtime.sinks.rotating_file import RotatingFile
from edge_ad.runtime.sinks.sink import DecisionSink, InService, SinkContext, TakeDecision


@dataclass(frozen=True)
class FileOptions:
    """A file of lines, and how much of the disk it may take."""

    path: str
    """The file; its folder must exist."""
    max_mb: float = 10.0
    """Megabytes after which a new file is begun."""
    keep: int = 5
    """How many older files are kept, as FILE.1 (the newest) and so on."""

    def __post_init__(self) -> None:
        if not self.path or self.path.endswith("/") or "\0" in self.path:
            raise ValueError("path must name a file")
        if not 0.1 <= self.max_mb <= 1e6:
            raise ValueError("max_mb must lie between 0.1 and 1000000")
        if not 0 <= self.keep <= 1000:
            raise ValueError("keep must lie between 0 and 1000")

    def open(self, *, sync: bool) -> RotatingFile:
        """The file, opened when the first line comes."""
        max_bytes = int(self.max_mb * 1e6)
        return RotatingFile(Path(self.path), max_bytes=max_bytes, keep=self.keep, sync=sync)


Options = FileOptions


def open_sink(options: FileOptions, context: SinkContext) -> DecisionFile:
    """The sink. Raises ConfigurationError."""
    return DecisionFile(options, context)


class DecisionFile(DecisionSink):
    """Appends a line for each decision of any asset.

    Keys: `asset`, `bundle` (the first 12 characters of the id of what decided, and of its recalibration's),
    then those of `DecisionLine`. Lines are written when a batch of samples is decided, and not synced.
    """

    def __init__(self, options: FileOptions, context: SinkContext) -> None:
        file = options.open(sync=False)
        self._writer = LineWriter(Path(options.path), file, context.note, context.say)
        self._lines: list[str] = []

    def begin(self, service: InService) -> TakeDecision:
        """Decisions from now on are this bundle's."""
        names = [channel.name for channel in service.channels]
        line = DecisionLine(names, {"asset": service.asset, "bundle": service.label})

        def take(decision: Decision, stamp: str) -> None:
            self._lines.append(line(decision, stamp))

        return take

    def flush(self) -> None:
        """Have the lines written."""
        if self._lines:
            self._writer.put(self._lines)
            self._lines.clear()

    async def drain(self) -> None:
        """Let the disk come along."""
        await self._writer.drain()

    async def close(self) -> None:
        """Write what there is."""
        self.flush()
        await self._writer.close()
