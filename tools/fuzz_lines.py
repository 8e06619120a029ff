"""Lines to try decoders with, good and mutated ones, and what a slow check makes of each."""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_ad.bundle.bundle import Bundle
from edge_ad.runtime.sources.source import LONGEST_LINE

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
BLOCK = 5000
"""Lines after which a file is rotated and a connection closed; in CSV, a header follows."""
GOOD, BAD, BLANK, HEADER = "gb-h"
_START = datetime(2026, 1, 5)


class Lines:
    """Lines in one format, good and mutated; the same for the same seed."""

    def __init__(self, bundle: Bundle, form: str, seed: int) -> None:
        self._random = random.Random(f"{form} {seed}")
        self.layout = bundle.manifest.input
        self.channels = [channel.name for channel in bundle.manifest.channels]
        rows = (DATA / "toy.csv").read_text().splitlines()
        self._columns = rows[0].split(self.layout.separator)
        self._rows = [row.split(self.layout.separator) for row in rows[1:31]]
        self._form = form
        self._second = 0

    @property
    def header(self) -> bytes:
        """The line of column names."""
        return self.layout.separator.join(self._columns).encode()

    def block(self, n: int) -> list[bytes]:
        """So many lines, a header first where the format has one; none has a line end in it."""
        lines = [self.header] if self._form == "csv" else []
        while len(lines) < n:
            # By turns, so that windows fill now and then.
            share = self._random.choice((0, 0.1, 0.9))
            for _ in range(min(self._random.randrange(1, 60), n - len(lines))):
                line = self._mutated() if self._random.random() < share else self._good()
                lines.append(line.replace(b"\n", b" "))
        return lines

    def _good(self) -> bytes:
        cells = self._cells()
        if self._form == "csv":
            return self.layout.separator.join(cells).encode() + b"\r" * (self._random.random() < 0.1)
        return json.dumps(self._fields(cells)).encode()

    def _cells(self) -> list[str]:
        self._second += 1
        stamp = _START + timedelta(seconds=self._second)
        return [str(stamp), *self._rows[self._second % len(self._rows)][1:]]

    def _fields(self, cells: list[str]) -> dict[str, Any]:
        fields: dict[str, Any] = {"datetime": cells[0]}
        return fields | {
            name: float(cell) for name, cell in zip(self._columns[1:], cells[1:], strict=True) if cell
        }

    def _mutated(self) -> bytes:
        chance = self._random.random()
        if chance < 0.00002:
            return self._random.randbytes(1000) * (LONGEST_LINE // self._random.choice((500, 1001)))
        if chance < 0.0002:
            return self._random.choice(_MONSTERS)
        if chance < 0.02:
            return self._random.choice((b"", b" ", b"\r", b"\t \r", self.header))
        if chance < 0.1:
            return self._random.randbytes(self._random.randrange(200))
        if chance < 0.6:
            return self._with_other_cells()
        line = bytearray(self._good())
        for _ in range(self._random.choice((1, 1, 1, 2, 5))):
            self._garble(line)
        return bytes(line)

    def _with_other_cells(self) -> bytes:
        cells = self._cells()
        if self._form == "csv":
            for _ in range(self._random.choice((1, 1, 2))):
                cells[self._random.randrange(len(cells))] = self._random.choice(_CELLS)
            return self.layout.separator.join(cells).encode("utf-8", "surrogatepass")
        fields = {json.dumps(name): json.dumps(value) for name, value in self._fields(cells).items()}
        for _ in range(self._random.choice((1, 1, 2))):
            name = self._random.choice(list(fields))
            match self._random.randrange(5):
                case 0:
                    del fields[name]
                case 1:
                    fields[name] += f", {name}: 1.5"  # once more
                case 2:
                    fields['"more"'] = self._random.choice(_VALUES)
                case _:
                    fields[name] = self._random.choice(_VALUES)
        body = ", ".join(f"{name}: {value}" for name, value in fields.items())
        return ("{" + body + "}" + self._random.choice(_AFTER)).encode("utf-8", "surrogatepass")

    def _garble(self, line: bytearray) -> None:
        at = self._random.randrange(len(line) + 1)
        end = at + self._random.choice((1, 1, 2, 8, 64))
        match self._random.randrange(6):
            case 0:
                line[at : at + 1] = self._random.randbytes(1)
            case 1:
                del line[at:end]
            case 2:
                line[at:at] = line[at:end]
            case 3:
                line[at:end] = self._random.randbytes(end - at)
            case 4:
                line[at:at] = self._random.choice(_PIECES)
            case _:
                del line[at:]


_CELLS = [
    *("", " ", "nan", "-inf", "Infinity", "1e999", "-1e-999", "1_0", "0x1f", "1,5", "1.5.2", "--1", "1e"),
    *(".", "+.5", " 7 ", "٣", "²", "½", "9" * 400, "1" * 5000, "true", "None", "e1", "-1", ";", ";;", "\r1"),
    *('"', '"1"', '"1', '1"2', '"1;2"', "\0", "1\0", "\ufeff1", "\u00a01", "\ud800", "\x1b[2J", "\x7f", "💧"),
    *("2026-13-45", "2026-01-05T08:00Z", "2026-01-05 08:00:00." + "1" * 500, "1e308", "1e-320", "a" * 300),
]
_VALUES = [
    *("null", "true", "false", "NaN", "-Infinity", "1e999", "9" * 400, "9" * 5000, "-0", "1e308", "1e-400"),
    *('"1.5"', '""', '"\\ud800"', '"\\u0000"', "[]", "[1]", "{}", '{"a": 1, "a": 2}', "[[[[1]]]]", "01"),
    *("1.", ".5", "+1", "0x10", "'1'", "1_0", "", "17", "tru", '"2026-01-05 08:00:00"'),
    *('"2026-01-05\\ud80008:00:00"', '"2026-01-05 08:00:00.' + "1" * 500 + '"'),
]
_AFTER = ["", "", "", "", " ", "\r", "\t\r", "}", " {}", ",", "\0", "\ufeff", "//"]
_PIECES = [
    *(b'"', b'""', b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b";", b",", b"{", b"}", b"[", b"_"),
    b"\\u",
]
_MONSTERS = [
    *(b"[" * 100_000, b'{"a":' * 50_000, b";" * 100_000, b'"' * 100_001, b"9" * 100_000, b"\0" * 100_000),
    *(b'{"datetime": "' + b"\\" * 100_000, b"x" * LONGEST_LINE, b"x" * (LONGEST_LINE + 1), b"\r" * 70_000),
]


class SlowCheck:
    """What a line is, told in another way than by the decoders."""

    _NUMBER = re.compile(
        r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])\s*"
    )

    def __init__(self, lines: Lines, form: str) -> None:
        self._layout, self._channels = lines.layout, lines.channels
        self._header = lines.header.decode().split(lines.layout.separator)
        self._is_csv = form == "csv"

    def kind(self, raw: bytes) -> str:
        """GOOD, BAD, BLANK or HEADER."""
        if len(raw) > LONGEST_LINE:
            return BAD
        text = self.text(raw)
        if not text.strip():
            return BLANK
        if self._is_csv and text.split(self._layout.separator) == self._header:
            return HEADER
        return GOOD if (self._is_good_row if self._is_csv else self._is_good_object)(text) else BAD

    @staticmethod
    def text(raw: bytes) -> str:
        """The line as a source gives it."""
        return raw.rstrip(b"\r").decode("utf-8", "replace")

    def _is_good_row(self, text: str) -> bool:
        cells = text.split(self._layout.separator)
        if '"' in text:
            try:
                (cells,) = csv.reader([text], delimiter=self._layout.separator, strict=True)
            except (csv.Error, ValueError):
                return False
        if len(cells) != len(self._header):
            return False
        row = dict(zip(self._header, cells, strict=True))
        if not self._is_time(row[self._layout.time_column]):
            return False
        return all(not row[name].strip() or self._NUMBER.fullmatch(row[name]) for name in self._channels)

    def _is_good_object(self, text: str) -> bool:
        def known_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            names = Counter(name for name, _ in pairs)
            return dict(pairs) | {"twice": max(names.values(), default=1) > 1}

        def constant(name: str) -> None:
            raise ValueError(name)

        try:
            found = json.loads(
                text,
                object_pairs_hook=known_once,
                parse_int=Decimal,
                parse_float=Decimal,
                parse_constant=constant,
            )
        except (ValueError, RecursionError):
            return False
        if not isinstance(found, dict) or found["twice"] or not {"datetime", *self._channels} <= found.keys():
            return False
        values = [found[name] for name in self._channels]
        numbers = [value for value in values if value is not None]
        if not all(isinstance(value, Decimal) for value in numbers):
            return False
        # An integer of more digits than Python reads is no number that anything measures.
        if re.search(r"(?<![\d.eE+-])-?\d{4301}", text):
            return False
        is_time = isinstance(found["datetime"], str) and self._is_time(found["datetime"])
        return is_time and all(math.isfinite(float(value)) for value in numbers)

    def _is_time(self, stamp: str) -> bool:
        try:
            datetime.fromisoformat(stamp.strip())
        except ValueError:
            return False
        return len(stamp) <= 100


@dataclass(frozen=True)
class Corpus:
    """Lines in a file, with what each of them is."""

    form: str
    path: Path
    kinds: str
    blocks: tuple[int, ...]
    """Offsets at which a header stands, or may stand; that of the end is the last."""
    lines: Lines

    @classmethod
    def write(cls, path: Path, bundle: Bundle, form: str, n: int, seed: int) -> Corpus:
        """Make `n` lines."""
        lines = Lines(bundle, form, seed)
        check = SlowCheck(lines, form)
        kinds, blocks = [], [0]
        with path.open("wb") as file:
            for start in range(0, n, BLOCK):
                block = lines.block(min(BLOCK, n - start))
                kinds += map(check.kind, block)
                file.write(b"\n".join(block) + b"\n")
                blocks.append(file.tell())
        return cls(form, path, "".join(kinds), tuple(blocks), lines)

    def expected(self) -> Iterator[tuple[bytes, str]]:
        """Every line with its kind."""
        with self.path.open("rb") as file:
            for raw, kind in zip(file, self.kinds, strict=True):
                yield raw[:-1], kind

    def pieces(self, seed: int, block: int) -> Iterator[bytes]:
        """A block in pieces of any size."""
        chance = random.Random(seed)
        with self.path.open("rb") as file:
            file.seek(self.blocks[block])
            left = self.blocks[block + 1] - self.blocks[block]
            while left:
                piece = file.read(min(left, chance.choice((1, 7, 100, 4096, 65536, 65536, 65536))))
                left -= len(piece)
                yield piece

    @property
    def n_blocks(self) -> int:
        """How many there are."""
        return len(self.blocks) - 1
