"""Frozen dataclasses to JSON and back, strictly: a wrong type is an error, never a guess."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class DecodeError(ValueError):
    """A value does not fit its declared type; the message starts with the path to it."""


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8: equal values give equal bytes.

    Raises ValueError for NaN and infinities, which JSON does not have, for halves of surrogate pairs, and
    for what is nested too deeply.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return text.encode()


def parse_json(text: bytes) -> object:
    """Parse JSON in UTF-8, refusing what Python's parser lets through.

    That is NaN, infinities, duplicate keys, halves of surrogate pairs. Raises DecodeError.
    """

    def no_constant(name: str) -> object:
        raise DecodeError(f"{name} is not a JSON number")

    def finite(digits: str) -> float:
        number = float(digits)
        if math.isinf(number):
            raise DecodeError(f"{digits[:20]} is larger than a number can be")
        return number

    def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise DecodeError("a JSON object names a key twice")
        return result

    try:
        parsed: object = json.loads(
            text.decode(),
            parse_constant=no_constant,
            parse_float=finite,
            object_pairs_hook=no_duplicates,
        )
        if b"\\u" in text:  # an escape may stand for half of a pair, which no text can be written with
            canonical_json(parsed)
    except DecodeError:
        raise
    # ValueError: besides what is no JSON, numbers of thousands of digits
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not valid JSON: {error}") from error
    return parsed


def encode(value: object) -> Any:
    """Plain JSON values (dict, list, str, number, bool, None) of dataclasses, tuples and dicts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def decode(cls: type[T], value: object, unknown: Callable[[str], None] | None = None) -> T:
    """Build dataclass `cls` from parsed JSON (or TOML).

    `unknown` is called with the path of every key that `cls` does not know; without it such a key is
    an error. Raises DecodeError with the path of the first value that does not fit.
    """
    result: T = _decode(cls, value, "", unknown)
    return result


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _decode(hint: Any, value: object, path: str, unknown: Callable[[str], None] | None) -> Any:
    if hint is Any:
        return value
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(hint, value, path, unknown)
    if origin is tuple:
        if not isinstance(value, list):
            raise DecodeError(f"{path or 'value'} must be a list")
        item = get_args(hint)[0]
        return tuple(_decode(item, v, f"{path}[{i}]", unknown) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise DecodeError(f"{path or 'value'} must be an object")
        item = get_args(hint)[1]
        return {k: _decode(item, v, f"{path}.{k}", unknown) for k, v in value.items()}
    if origin is Literal:
        if value not in get_args(hint):
            allowed = ", ".join(map(repr, get_args(hint)))
            raise DecodeError(f"{path} is {value!r}; it can be {allowed}")
        return value
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        return None if value is None else _decode(options[0], value, path, unknown)
    return _decode_scalar(hint, value, path)


def _decode_dataclass(cls: Any, value: object, path: str, unknown: Callable[[str], None] | None) -> Any:
    if not isinstance(value, dict):
        raise DecodeError(f"{path or 'the top level'} must be an object with keys")
    prefix = f"{path}." if path else ""
    hints = _hints(cls)
    for key in value:
        if key not in hints:
            if unknown is None:
                raise DecodeError(f"unknown key {prefix}{key}; known here: {', '.join(hints)}")
            unknown(f"{prefix}{key}")
    arguments = {}
    for field in dataclasses.fields(cls):
        if field.name in value:
            arguments[field.name] = _decode(
                hints[field.name], value[field.name], prefix + field.name, unknown
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DecodeError(f"missing key {prefix}{field.name}")
    try:
        return cls(**arguments)
    except ValueError as error:  # a dataclass that checks its own ranges
        raise DecodeError(f"{path}: {error}" if path else str(error)) from error


def _decode_scalar(hint: Any, value: object, path: str) -> Any:
    if hint is float and type(value) in (int, float):
        try:
            number = float(value)  # type: ignore[arg-type]  # narrowed on the line above
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise DecodeError(f"{path} is not a finite number")
        return number
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise DecodeError(f"{path} must be of type {hint.__name__}, not {type(value).__name__}")
