"""CSV, line by line: the one reader of recordings, on the workstation and on the device."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.errors import DataError

_LONGEST_SHOWN = 100
"""Characters of a cell that is no number or time stamp; no time stamp is longer."""


class Sample(NamedTuple):
    """One reading of all wanted columns."""

    time: float
    """Seconds since the epoch (UTC); NaN where it cannot be read."""
    values: Sequence[float]
    """One value per wanted column; NaN for an empty cell."""
    stamp: str
    """The time stamp as it was written."""
    line: int
    """Line number in the file, the header being line 1."""
    problem: str | None = None
    """Why this line cannot be used, in words; None where it can."""
    arrived: float | None = None
    """When it came, in seconds of a clock that is never set; None where it was not timed."""


class CsvLines:
    """Iterates over the samples of CSV text.

    The header is read, and checked for the wanted columns, on construction. Columns may stand in
    any order and others are ignored. With `strict`, the first line that cannot be used raises
    DataError; otherwise it comes out as a sample that carries the problem, since a monitor must
    outlive a garbled line. Every physical line is one sample: a cell cannot contain a line end.
    """

    def __init__(
        self,
        lines: Iterable[str],
        layout: CsvFormat,
        columns: Sequence[str],
        *,
        name: str,
        strict: bool,
    ) -> None:
        """`lines` is usually an open text file; `name` is what errors call it. Raises DataError."""
        self._lines = _decoded(lines, name)
        self._layout = layout
        self._name = name
        self._strict = strict
        header = next(self._lines, None)
        if header is None or not header.strip():
            raise DataError(f"{name} is empty: it must start with a line of column names")
        self.header = [cell.strip() for cell in self._split(header.removeprefix("\ufeff"))]
        self._time_at, *self._values_at = self._find([layout.time_column, *columns])
        self._columns = list(columns)
        self._parse_time = _time_parser(layout)

    def _find(self, wanted: Sequence[str]) -> list[int]:
        """Positions of columns in the header."""
        separator = self._layout.separator
        for column in wanted:
            found = self.header.count(column)
            if found == 1:
                continue
            if found > 1:
                raise DataError(f"{self._name}: column {column!r} stands twice in line 1")
            if len(self.header) == 1:
                likely = max(";,\t|", key=self.header[0].count)
                hint = f"; is the separator {likely!r}?" if likely in self.header[0] else ""
                raise DataError(f"{self._name}: line 1 has a single column when split at {separator!r}{hint}")
            close = difflib.get_close_matches(column, self.header, 1)
            hint = f" (is it {close[0]!r}?)" if close else ""
            raise DataError(
                f"{self._name}: column {column!r} is missing from line 1{hint}; "
                f"it has: {', '.join(self.header)}"
            )
        return [self.header.index(column) for column in wanted]

    def __iter__(self) -> Iterator[Sample]:
        n_cells, time_at, values_at = len(self.header), self._time_at, self._values_at
        parse_time, separator = self._parse_time, self._layout.separator
        decimal_comma = self._layout.decimal == ","
        for number, line in enumerate(self._lines, start=2):
            text = line.rstrip("\r\n")
            cells = self._split(text) if '"' in text else text.split(separator)
            try:
                # Python reads 1_000 as a number, a recorder that writes it means something else
                if len(cells) != n_cells or "_" in text:
                    raise ValueError
                stamp = cells[time_at]
                if len(stamp) > _LONGEST_SHOWN:
                    raise ValueError
                time = parse_time(stamp)
                if decimal_comma:
                    cells = [cell.replace(",", ".") for cell in cells]
                values = [float(cells[i]) for i in values_at]
            except ValueError:
                if not text.strip() and n_cells > 1:
                    continue  # an empty line, as at the end of many files
                sample = self._examine(cells, number, whole=line.endswith("\n"))
                if sample.problem is not None and self._strict:
                    raise DataError(f"{self._name}, line {number}: {sample.problem}") from None
                yield sample
            else:
                yield Sample(time, values, stamp, number)

    def _examine(self, cells: list[str], number: int, *, whole: bool) -> Sample:
        """A line that is not plain numbers: empty cells are missing values, all else is a problem."""
        if len(cells) != len(self.header):
            cut = "" if whole or len(cells) > len(self.header) else "; the file seems cut off here"
            problem = f"{len(cells)} cells where the header has {len(self.header)}{cut}"
            stamp = cells[self._time_at] if len(cells) > self._time_at else ""
            return Sample(self._time_or_nan(stamp), (), _short(stamp), number, problem)
        stamp = cells[self._time_at]
        time = self._time_or_nan(stamp)
        if math.isnan(time):
            return Sample(time, (), _short(stamp), number, f"{_short(stamp)!r} is not a time stamp")
        values = []
        for column, position in zip(self._columns, self._values_at, strict=True):
            cell = cells[position].strip()
            if self._layout.decimal == ",":
                cell = cell.replace(",", ".")
            try:
                if "_" in cell:
                    raise ValueError
                values.append(float(cell) if cell else math.nan)
            except ValueError:
                hint = "; is the decimal sign a comma?" if cell.count(",") == 1 else ""
                problem = f"{_short(cell)!r} in column {column!r} is not a number{hint}"
                return Sample(time, (), stamp, number, problem)
        return Sample(time, values, stamp, number)

    def _time_or_nan(self, stamp: str) -> float:
        try:
            # Python takes a date with a million digits of a second for one.
            return math.nan if len(stamp) > _LONGEST_SHOWN else self._parse_time(stamp.strip())
        except ValueError:
            return math.nan

    def _split(self, line: str) -> list[str]:
        """Cells of a line that may have quotes; a single one where its quotes make no sense."""
        text = line.rstrip("\r\n")
        try:
            return next(csv.reader([text], delimiter=self._layout.separator, strict=True), [])
        except csv.Error:
            return [text]


def _decoded(lines: Iterable[str], name: str) -> Iterator[str]:
    """The lines, the ends of overlong ones cut off. Raises DataError for what is not UTF-8."""
    number = 0
    try:
        for number, line in enumerate(_bounded(lines), start=1):  # noqa: B007  used in the message
            yield line
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: near line {number + 1}: not UTF-8 text (byte 0x{error.object[error.start]:02x}); "
            "save the file as UTF-8"
        ) from error


_LONGEST_LINE = 1 << 20  # characters; a line that never ends must not fill the memory


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """Lines of at most so many characters; what is beyond is dropped."""
    if not isinstance(lines, io.TextIOBase):
        yield from lines
        return
    while line := lines.readline(_LONGEST_LINE):
        rest = line
        while rest and len(rest) == _LONGEST_LINE and not rest.endswith("\n"):
            rest = lines.readline(_LONGEST_LINE)
        yield line


_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _time_parser(layout: CsvFormat) -> Callable[[str], float]:
    """The function from a time stamp's text to seconds since the epoch; it raises ValueError."""
    time_format = layout.time_format
    if time_format == "seconds":
        return float if layout.decimal == "." else lambda text: float(text.replace(layout.decimal, "."))
    if time_format == "iso":
        parse: Callable[[str], datetime] = datetime.fromisoformat
    else:

        def parse(text: str) -> datetime:
            return datetime.strptime(text, time_format)

    def seconds(text: str) -> float:
        moment = parse(text)
        return (moment - (_EPOCH_UTC if moment.tzinfo else _EPOCH)).total_seconds()

    return seconds


def _short(cell: str) -> str:
    """As much of a garbled cell as a person wants to see."""
    return cell if len(cell) <= _LONGEST_SHOWN else f"{cell[:_LONGEST_SHOWN]}…"
