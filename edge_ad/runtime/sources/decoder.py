"""What is in a line of a live stream: lines in, samples out, whatever a device sends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from time import monotonic, time
from typing import Any, Literal, Protocol

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sources.csv_lines import CsvRows, HeaderError, Sample, time_parser
from edge_ad.runtime.sources.json_lines import JsonDecoder
from edge_ad.runtime.sources.source import Line
from edge_ad.runtime.troubles import Note
from edge_ad.text import printable

_SAME_MOMENT_S = 1e-6
"""Between samples that arrive together, and so that each has a time of its own."""
_NO_HEADER = "no line of column names came yet"
_LONGEST_SAID = 300
"""Characters of a header that are told."""
_LONGEST_NAMES = 1 << 16
"""Characters of a line that could be one of column names."""


@dataclass(frozen=True)
class FormatOptions:
    """How the lines of an asset's stream are written. What is left out is as in the bundle's recordings."""

    kind: Literal["csv", "ndjson"] = "csv"
    """`csv`: cells below a line of column names; `ndjson`: a JSON object per line."""
    columns: tuple[str, ...] = ()
    """For csv that has no line of column names: those of the cells, in order. Any name will do for cells that
    are not channels. With `time = "arrival"` the time column may be missing."""
    separator: str | None = None
    """One character between the cells; default: the bundle's."""
    time_column: str | None = None
    """Column or key of the time stamp; default: the bundle's."""
    time_format: str | None = None
    """`iso`, `seconds` (since the epoch), or a strptime pattern; default: the bundle's."""
    decimal: Literal[".", ","] | None = None
    """Default: the bundle's."""
    time: Literal["stamped", "arrival"] = "stamped"
    """`arrival`: samples have no time stamp, or one that is not to be used, and count from when they came by
    this machine's clock. Not for a file, whose lines come all at once."""

    def __post_init__(self) -> None:
        if self.kind == "ndjson":
            for name in ("columns", "separator", "decimal"):
                if getattr(self, name):
                    raise ValueError(f"{name} is for csv; an ndjson line names its values itself")
        for name in self.columns:
            if self.columns.count(name) > 1:
                raise ValueError(f"columns names {name!r} twice")
        if self.time == "arrival" and (self.time_column is not None or self.time_format is not None):
            raise ValueError('time = "arrival" goes without time_column and time_format')
        # Only what is wrong in itself; whether it fits the rest of the bundle's, the bundle says.
        if self.separator is not None:
            CsvFormat(separator=self.separator, decimal="," if self.separator == "." else ".")
        if self.time_format is not None:
            CsvFormat(time_format=self.time_format)

    def layout(self, bundles: CsvFormat) -> CsvFormat:
        """The whole layout, given the bundle's. Raises ConfigurationError."""
        names = ("separator", "time_column", "time_format", "decimal")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        try:
            return replace(bundles, **{name: value for name, value in given.items() if value is not None})
        except ValueError as error:
            raise ConfigurationError(f"format: {error}") from error


class Decoder(Protocol):
    """Makes samples of lines."""

    @property
    def header(self) -> str | None:
        """The newest line of column names, so that another decoder can go on in the same stream.

        Also one that lacks what is wanted here: that is no matter to a decoder that wants something else.
        None where there is none yet, or none is needed.
        """
        ...

    def decode(self, line: Line) -> Sample | None:
        """The sample of a line; None for an empty one or a header.

        One that cannot be read carries the problem. Never raises, whatever the text.
        """
        ...


def open_decoder(
    options: FormatOptions,
    layout: CsvFormat,
    channel_names: Sequence[str],
    note: Note,
    header: str | None = None,
) -> Decoder:
    """The decoder for a bundle: `layout` and `channel_names` are the bundle's.

    `header` is the line of column names that an earlier decoder of the same stream had. Raises
    ConfigurationError for what can never give this bundle's samples.
    """
    layout = options.layout(layout)
    with_time = options.time == "stamped"
    decoder: Decoder
    if options.kind == "ndjson":
        decoder = JsonDecoder(layout, channel_names, with_time=with_time)
    else:
        decoder = CsvDecoder(
            layout, channel_names, note, cells=options.columns, header=header, with_time=with_time
        )
    return decoder if with_time else ArrivalDecoder(decoder)


class ArrivalDecoder:
    """Gives samples the time at which they came, by the system's clock; no two have the same."""

    def __init__(self, decoder: Decoder) -> None:
        """`decoder` makes samples whose time is not used."""
        self._decoder = decoder
        self._last = -math.inf

    @property
    def header(self) -> str | None:
        """See Decoder."""
        return self._decoder.header

    def decode(self, line: Line) -> Sample | None:
        """See Decoder. The time stamp is ISO 8601 in UTC, to the millisecond."""
        sample = self._decoder.decode(line)
        if sample is None:
            return None
        moment = time()
        if line.arrived is not None:
            moment -= max(0.0, monotonic() - line.arrived)
        if 0 <= self._last - moment < 1:  # beyond that, the clock was set back
            moment = self._last + _SAME_MOMENT_S
        self._last = moment
        stamp = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
        return sample._replace(time=moment, stamp=stamp.replace("+00:00", "Z"))


class CsvDecoder:
    """Reads rows under a header that may come, change and be damaged while the stream goes on.

    A line that names all wanted columns is the header from there on, wherever it stands: a device that starts
    anew mid-stream writes it again. The first line of a file or a connection may also be a row under the
    header known so far, as after a log was emptied in place, or in a device that sends it only once. If it is
    neither, but reads like other column names, the stream has changed: nothing can be read until a header
    comes that has what is wanted.
    """

    def __init__(
        self,
        layout: CsvFormat,
        channel_names: Sequence[str],
        note: Note,
        *,
        cells: Sequence[str] = (),
        header: str | None = None,
        with_time: bool = True,
    ) -> None:
        """`cells` names the columns of a stream that does not do so itself. Raises ConfigurationError."""
        self._layout, self._channels = layout, list(channel_names)
        self._note = note
        self._with_time = with_time
        self._wanted = {*channel_names, *([layout.time_column] if with_time else ())}
        self._parse_time = time_parser(layout)
        self._cells = list(cells)
        self._rows: CsvRows | None = None
        self._problem: str | None = None
        """Why there are no rows, once that was told."""
        self.header: str | None = None
        if cells:
            try:
                self._rows = self._below(cells, "the configured columns")
            except HeaderError as error:
                raise ConfigurationError(f"format: {error}") from error
        elif header is not None and not self._adopt(header):
            self._complain(header)

    def decode(self, line: Line) -> Sample | None:
        """See Decoder."""
        text, number, arrived, first, problem = line
        if problem is not None:
            return self._unreadable(line, problem)
        if not text or text.isspace():
            return None
        if first:
            return self._decode_first(line)
        if self._rows is None:
            return self._decode_without_header(line)
        sample = self._rows.read(text, number, arrived)
        if sample is None or (sample.problem is None and math.isfinite(sample.time)):
            return sample
        if self._is_header(text):
            return None
        return sample if sample.problem is not None else self._no_moment(sample)

    def _decode_first(self, line: Line) -> Sample | None:
        line = line._replace(text=line.text.removeprefix("\ufeff"), first=False)
        if not line.number:  # given again, for those who do not know it
            if self._rows is None and not self._adopt(line.text) and self._reads_like_names(line.text):
                self._complain(line.text)
            return None
        if self._is_header(line.text):
            return None
        if self._rows is not None:
            sample = self.decode(line)
            if self._cells or sample is None or sample.problem is None:
                return sample
            if not self._reads_like_names(line.text):
                return sample
            self._rows, self.header = None, line.text
        self._problem = None  # to be told anew
        return self._decode_without_header(line)

    def _decode_without_header(self, line: Line) -> Sample | None:
        if self._is_header(line.text):
            return None
        if self._problem is None:
            self._complain(line.text)
        return self._unreadable(line, self._problem or _NO_HEADER)

    def _complain(self, text: str) -> None:
        """Say why nothing can be read, after a line that should have been a header."""
        self._problem = None
        if self._reads_like_names(text):
            self._problem, self.header = self._flaw(text), text
        if self._problem is None:
            self._problem = _NO_HEADER
            self._note(
                "no-header",
                f"{_NO_HEADER}: lines cannot be read until one comes; for a stream without, name columns: "
                'format = { columns = ["…", "…"] }',
            )
        else:
            self._note(
                "missing-column",
                f"{self._problem}; lines cannot be read until a header comes that has what is wanted",
            )

    def _flaw(self, header: str) -> str | None:
        """What is wrong with a line of column names."""
        try:
            self._below(header, "the header")
        except HeaderError as error:
            return _said(str(error))
        return None

    def _is_header(self, text: str) -> bool:
        """Whether the line names all that is wanted; if so, it is in force from here on."""
        if self._cells:
            return self._names(text) == self._cells
        return self._adopt(text)

    def _adopt(self, header: str) -> bool:
        if len(header) > _LONGEST_NAMES or not self._wanted.issubset(self._names(header)):
            return False
        try:
            self._rows = self._below(header, "the header")
        except HeaderError:  # one of them stands twice
            return False
        self.header, self._problem = header, None
        return True

    def _below(self, header: str | Sequence[str], where: str) -> CsvRows:
        return CsvRows(header, self._layout, self._channels, where=where, with_time=self._with_time)

    def _names(self, text: str) -> list[str]:
        return [cell.strip() for cell in CsvRows(text, self._layout, (), with_time=False).header]

    def _reads_like_names(self, text: str) -> bool:
        """Whether a line is no row of readings, but one of other columns' names."""
        if len(text) > _LONGEST_NAMES:
            return False
        cells = self._names(text)
        if not self._wanted.isdisjoint(cells):
            return True
        is_text = "\ufffd" not in text and all(map(str.isprintable, cells))
        return is_text and not any(map(self._is_reading, cells))

    def _is_reading(self, cell: str) -> bool:
        """Whether it could be a value or a time stamp."""
        try:
            float(cell.replace(self._layout.decimal, ".") if cell else "nan")
        except ValueError:
            try:
                self._parse_time(cell)
            except ValueError:
                return False
        return True

    def _no_moment(self, sample: Sample) -> Sample:
        return sample._replace(values=(), problem=f"{sample.stamp!r} is not a time stamp")

    def _unreadable(self, line: Line, problem: str) -> Sample:
        return Sample(math.nan, (), "", line.number, problem, line.arrived)


def _said(text: str) -> str:
    """For the log, what others wrote in it included."""
    return printable(text if len(text) <= _LONGEST_SAID else f"{text[:_LONGEST_SAID]}…")
