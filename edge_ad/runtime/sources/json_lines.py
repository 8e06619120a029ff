"""NDJSON: one JSON object per line, with the channels' names as keys."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.runtime.sources.csv_lines import Sample, short, time_parser
from edge_ad.runtime.sources.source import Line

_NUMBERS = {float, int}
_new_sample = tuple.__new__


class JsonDecoder:
    """Reads lines such as `{"time": "2026-01-05T08:09:48Z", "Pressure": 0.38, "Flow": null}`.

    `null` is a missing value. Keys that are no channel's are ignored. Everything else that is not exactly a
    number per channel and a time stamp in the stated form makes the line unreadable: nothing is guessed.
    """

    header: str | None = None
    """There is none in this format."""

    def __init__(self, layout: CsvFormat, channel_names: Sequence[str], *, with_time: bool = True) -> None:
        """Of `layout`, time column and time format count. Without `with_time` samples are of time 0."""
        self._names = list(channel_names)
        self._time_key = layout.time_column if with_time else None
        self._time_format = layout.time_format
        self._parse_time = time_parser(CsvFormat(time_format=layout.time_format))
        self._parse: Callable[[str], Any] = json.JSONDecoder(
            object_pairs_hook=_Object, parse_constant=_refuse_constant
        ).decode

    def decode(self, line: Line) -> Sample | None:
        """The sample of a line; None for an empty one. Never raises."""
        text, number, arrived, first, problem = line
        if problem is not None:
            return Sample(math.nan, (), "", number, problem, arrived)
        if not text or text.isspace():
            return None
        if first:
            if not number:
                return None  # given again for its column names, which this format does not have
            text = text.removeprefix("\ufeff")
        time, stamp = math.nan, ""
        try:
            fields = self._fields(text)
            time, stamp = self._time(fields)
            values = self._values(fields)
        except KeyError as error:
            problem = f"key {error.args[0]!r} is missing"
        except OverflowError:
            problem = "a number is too large"
        except RecursionError:
            problem = "nested too deeply"
        except ValueError as error:
            problem = str(error)
        else:
            return _new_sample(Sample, (time, values, stamp, number, None, arrived))
        return Sample(time, (), stamp, number, problem, arrived)

    def _fields(self, text: str) -> dict[str, Any]:
        try:
            parsed = self._parse(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not a JSON object: {error.msg} at character {error.pos + 1}") from error
        except _ConstantError:
            raise
        except ValueError as error:  # an integer of thousands of digits
            raise ValueError("a number is too large") from error
        if type(parsed) is not _Object:
            raise ValueError(f"not a JSON object, but {_described(parsed)}")
        fields = dict(parsed)
        if len(fields) != len(parsed):
            raise ValueError("a key stands twice")
        return fields

    def _time(self, fields: dict[str, Any]) -> tuple[float, str]:
        """Seconds since the epoch, and how they were written. Raises KeyError, ValueError, OverflowError."""
        key = self._time_key
        if key is None:
            return 0.0, ""
        value = fields[key]
        if self._time_format == "seconds":
            if type(value) not in _NUMBERS:
                expected = "seconds since the epoch are expected, as a number"
                raise ValueError(f"{key!r} is {_described(value)}; {expected}")
            time = float(value)
            if not math.isfinite(time):
                raise ValueError(f"{key!r} is too large a number")
            return time, str(value)
        expected = "ISO 8601" if self._time_format == "iso" else repr(self._time_format)
        if type(value) is not str:
            raise ValueError(
                f"{key!r} is {_described(value)}; a time stamp is expected, as text ({expected})"
            )
        try:
            if short(value) is not value:
                raise ValueError
            time = self._parse_time(value.strip())
        except ValueError:
            raise ValueError(f"{short(value)!r} is not a time stamp ({expected})") from None
        # JSON can write halves of surrogate pairs, which no file can; ISO 8601 lets one stand for the T
        return time, value if value.isascii() else value.encode("utf-8", "replace").decode()

    def _values(self, fields: dict[str, Any]) -> list[float]:
        """One per channel; NaN for null. Raises KeyError, ValueError, OverflowError."""
        found = [fields[name] for name in self._names]
        if not _NUMBERS.issuperset(map(type, found)):
            for name, value in zip(self._names, found, strict=True):
                if value is not None and type(value) not in _NUMBERS:
                    raise ValueError(f"{name!r} is {_described(value)}, not a number")
            found = [math.nan if value is None else value for value in found]
        values = list(map(float, found))
        if not math.isfinite(sum(values)):
            # JSON has no infinity, but numbers that become one: 1e999
            for name, number in zip(self._names, values, strict=True):
                if math.isinf(number):
                    raise ValueError(f"{name!r} is too large a number")
        return values


class _Object(list[tuple[str, Any]]):
    """The pairs of a JSON object, told from a JSON array by its type: a key may stand twice."""


class _ConstantError(ValueError):
    """NaN or an infinity by name."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(f"{name} is not JSON; write null for a missing value")


def _described(value: object) -> str:
    """What a value is, for people."""
    if isinstance(value, str):
        return f"the text {short(value)!r}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return "a number"
    return "an object" if isinstance(value, _Object) else "a list"
