"""What every source of a live stream is: something that gives lines of text as they come.

What is in a line is no matter of the source, but of the decoder (`sources.decoder`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.detect.features import SnapshotFeatures
from edge_ad.runtime.troubles import Note

MOST_AT_ONCE = 256
"""Lines that a source hands over in one go, so that other assets have their turn."""
LONGEST_LINE = 1 << 20
"""Bytes; what is beyond is not kept."""


class Line(NamedTuple):
    """One line, or one message, as it came."""

    text: str
    """Without its line end. Bytes that are not UTF-8 are replacement characters."""
    number: int = 0
    """Line number in its file, from 1; of the stream where there is no file. 0 with `first`: a
    header that is given again, by a source that goes on in the middle of a file."""
    arrived: float | None = None
    """When it came, in seconds of the monotonic clock; None where it was not timed, as in a file."""
    first: bool = False
    """Whether it is the first of a file or a connection, and so a header where the format has one."""
    problem: str | None = None
    """Why it cannot be used, in words, such as that it was cut off; None where it can."""


@dataclass(frozen=True)
class SourceContext:
    """What a source may know of the asset that it serves."""

    asset: str
    sample_period_s: float
    """Nominal."""
    position: str | None
    """Where to go on, as the source once gave it; None where it begins anew."""
    note: Note
    """Where it reports trouble."""
    say: Callable[[str], None]
    """Where it tells what is no trouble, such as that it is connected again."""
    snapshots: SnapshotFeatures | None = None
    """What a file of raw readings holds, where the asset's bundle was made of such."""
    layout: CsvFormat = CsvFormat()
    """How a sample is written as a line."""


class Source(Protocol):
    """Gives the lines of one asset's stream, and bears whatever befalls its connection.

    A source that loses its connection or its file notes the trouble, and tries again by itself for as long
    as it takes. `read` is not called again before the lines of the last call are decided.
    """

    async def read(self) -> Sequence[Line]:
        """The next lines as soon as there are any, at most `MOST_AT_ONCE`; none at the end of the stream."""
        ...

    def position(self) -> str | None:
        """Where a later start can go on, just after the lines given so far.

        None for a stream that cannot be read again.
        """
        ...

    def done(self) -> None:
        """The lines of the last `read` are decided, and what they caused is safe: acknowledge them."""
        ...

    async def close(self) -> None:
        """Let go of file or connection. May be called while `read` waits, which was cancelled then."""
        ...
