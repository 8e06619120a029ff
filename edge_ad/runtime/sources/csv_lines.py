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


_new_sample = tuple.__new__
"""Half the time of calling the class, and one is made for every line; goes by the order of its fields."""


class HeaderError(ValueError):
    """A line of column names that does not have what is wanted."""


class CsvRows:
    """Reads the rows below a header. Columns may stand in any order and others are ignored."""

    def __init__(
        self,
        header: str | Sequence[str],
        layout: CsvFormat,
        columns: Sequence[str],
        *,
        where: str = "the header",
        with_ends: bool = False,
        with_time: bool = True,
    ) -> None:
        """`header` is its line as text, or the names themselves; `where` is what errors call it.

        `with_ends`: rows come with their line ends, so that one without is cut off. Without `with_time` there
        need be no time column, and samples are of time 0. Raises HeaderError.
        """
        self._layout = layout
        if isinstance(header, str):
            header = [cell.strip() for cell in self._split(header.removeprefix("\ufeff").rstrip("\r\n"))]
        self.header = list(header)
        wanted = [layout.time_column, *columns] if with_time else columns
        positions = self._find(wanted, where)
        self._time_at = positions.pop(0) if with_time else None
        self._values_at = positions
        self._columns = list(columns)
        self._with_ends = with_ends
        self._parse_time = time_parser(layout)

    def _find(self, wanted: Sequence[str], where: str) -> list[int]:
        """Positions of columns in the header."""
        separator = self._layout.separator
        for column in wanted:
            found = self.header.count(column)
            if found == 1:
                continue
            if found > 1:
                raise HeaderError(f"column {column!r} stands twice in {where}")
            if len(self.header) == 1:
                likely = max(";,\t|", key=self.header[0].count)
                hint = f"; is the separator {likely!r}?" if likely in self.header[0] else ""
                raise HeaderError(f"{where} has a single column when split at {separator!r}{hint}")
            close = difflib.get_close_matches(column, self.header, 1)
            hint = f" (is it {close[0]!r}?)" if close else ""
            raise HeaderError(
                f"column {column!r} is missing from {where}{hint}; it has: {', '.join(self.header)}"
            )
        return [self.header.index(column) for column in wanted]

    def read(self, line: str, number: int, arrived: float | None = None) -> Sample | None:
        """The sample of a row; it carries the problem if it cannot be used. None for an empty line."""
        time_at, layout = self._time_at, self._layout
        text = line.rstrip("\r\n")
        cells = self._split(text) if '"' in text else text.split(layout.separator)
        try:
            # Python reads 1_000 as a number, a recorder that writes it means something else
            if len(cells) != len(self.header) or "_" in text:
                raise ValueError
            if time_at is None:
                stamp, time = "", 0.0
            else:
                stamp = cells[time_at]
                if len(stamp) > _LONGEST_SHOWN:
                    raise ValueError
                time = self._parse_time(stamp)
            if layout.decimal == ",":
                cells = [cell.replace(",", ".") for cell in cells]
            values = [float(cells[i]) for i in self._values_at]
        except ValueError:
            if not text.strip() and len(self.header) > 1:
                return None  # as at the end of many files
            is_cut = self._with_ends and not line.endswith("\n") and len(cells) < len(self.header)
            return self._examine(cells, number, arrived, "; the file seems cut off here" if is_cut else "")
        return _new_sample(Sample, (time, values, stamp, number, None, arrived))

    def _examine(self, cells: list[str], number: int, arrived: float | None, cut: str) -> Sample:
        """A line that is not plain numbers: empty cells are missing values, all else is a problem."""
        if len(cells) != len(self.header):
            problem = f"{len(cells)} cells where the header has {len(self.header)}{cut}"
            has_stamp = self._time_at is not None and len(cells) > self._time_at
            stamp = cells[self._time_at or 0] if has_stamp else ""
            return Sample(self._time_or_nan(stamp), (), short(stamp), number, problem, arrived)
        stamp, time = "", 0.0
        if self._time_at is not None:
            stamp = cells[self._time_at]
            time = self._time_or_nan(stamp)
        if math.isnan(time):
            problem = f"{short(stamp)!r} is not a time stamp"
            return Sample(time, (), short(stamp), number, problem, arrived)
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
                problem = f"{short(cell)!r} in column {column!r} is not a number{hint}"
                return Sample(time, (), stamp, number, problem, arrived)
        return Sample(time, values, stamp, number, None, arrived)

    def _time_or_nan(self, stamp: str) -> float:
        try:
            # Python takes a date with a million digits of a second for one.
            return math.nan if len(stamp) > _LONGEST_SHOWN else self._parse_time(stamp.strip())
        except ValueError:
            return math.nan

    def _split(self, text: str) -> list[str]:
        """Cells of a line that may have quotes; a single one where its quotes make no sense."""
        try:
            return next(csv.reader([text], delimiter=self._layout.separator, strict=True), [])
        except csv.Error:
            return [text]


class CsvLines:
    """Iterates over the samples of CSV text.

    The header is read, and checked for the wanted columns, on construction. With `strict`, the first line
    that cannot be used raises DataError; otherwise it comes out as a sample that carries the problem, since a
    monitor must outlive a garbled line. Every physical line is one sample: a cell cannot contain a line end.
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
        self._name = name
        self._strict = strict
        header = next(self._lines, None)
        if header is None or not header.strip():
            raise DataError(f"{name} is empty: it must start with a line of column names")
        try:
            self._rows = CsvRows(header, layout, columns, where="line 1", with_ends=True)
        except HeaderError as error:
            raise DataError(f"{name}: {error}") from None
        self.header = self._rows.header

    def __iter__(self) -> Iterator[Sample]:
        read, strict = self._rows.read, self._strict
        for number, line in enumerate(self._lines, start=2):
            sample = read(line, number)
            if sample is None:
                continue
            if strict and sample.problem is not None:
                raise DataError(f"{self._name}, line {number}: {sample.problem}")
            yield sample


def _decoded(lines: Iterable[str], name: str) -> Iterator[str]:
    """The lines, the ends of overlong ones cut off. Raises DataError for what is not UTF-8 or breaks off.

    An OSError of reading must not get further: there it would pass for one of writing the decisions.
    """
    number = 0
    try:
        for number, line in enumerate(_bounded(lines), start=1):  # noqa: B007  used in the message
            yield line
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: near line {number + 1}: not UTF-8 text (byte 0x{error.object[error.start]:02x}); "
            "save the file as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from error


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


def time_parser(layout: CsvFormat) -> Callable[[str], float]:
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


def short(cell: str) -> str:
    """As much of a garbled cell as a person wants to see."""
    return cell if len(cell) <= _LONGEST_SHOWN else f"{cell[:_LONGEST_SHOWN]}…"
