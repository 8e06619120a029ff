"""Every event, as a line of JSON in a file that is synced: sinks of the kind `events`."""

from __future__ import annotations

from functools import partial

from edge_ad.runtime.events import Event
from edge_ad.runtime.sinks.decision_file import FileOptions
from edge_ad.runtime.sinks.one_thread import OneThread
from edge_ad.runtime.sinks.sink import DeliveryError, EventSink, SinkContext

_CLOSE_WITHIN_S = 3.0

Options = FileOptions


def open_sink(options: FileOptions, context: SinkContext) -> EventFile:
    """The sink. Raises ConfigurationError."""
    return EventFile(options)


class EventFile(EventSink):
    """An event is delivered once its line is on disk. After a crash a line may stand there twice."""

    def __init__(self, options: FileOptions) -> None:
        self._path = options.path
        self._file = options.open(sync=True)
        self._thread = OneThread("events")

    async def deliver(self, event: Event) -> None:
        """Append a line."""
        try:
            await self._thread.run(partial(self._file.append, event.body.encode(errors="replace") + b"\n"))
        except OSError as error:
            raise DeliveryError(f"cannot write {self._path}: {error.strerror}") from error

    async def close(self) -> None:
        """Close the file."""
        await self._thread.close(self._file.close, _CLOSE_WITHIN_S)
