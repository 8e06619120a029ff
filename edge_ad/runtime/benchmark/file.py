"""The JSON file of a benchmark: written whole or not at all, read strictly or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from edge_ad.bench.results import SCHEMA, BenchmarkFile
from edge_ad.bundle.codec import DecodeError, decode, encode, parse_json
from edge_ad.errors import DataError
from edge_ad.files import write_atomic

_MAJOR = SCHEMA.partition(".")[0]


def to_json(benchmark: BenchmarkFile) -> bytes:
    """One line of JSON, without a line end."""
    return json.dumps(encode(benchmark), allow_nan=False).encode()


def write_benchmark(path: Path, benchmark: BenchmarkFile) -> None:
    """Raises OutputError; the former file is then untouched."""
    write_atomic(path, to_json(benchmark) + b"\n")


def read_benchmark(path: Path) -> BenchmarkFile:
    """Raises DataError for a file that cannot be read, or is no whole benchmark of a known schema."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return parse_benchmark(data, str(path))


def parse_benchmark(data: bytes, name: str) -> BenchmarkFile:
    """`name` is what messages call it. Raises DataError."""
    try:
        parsed = parse_json(data)
    except DecodeError as error:
        raise DataError(f"{name}: no benchmark, or not all of one: {error}") from error
    schema = parsed.get("schema") if isinstance(parsed, dict) else None
    if not isinstance(schema, str):
        raise DataError(f"{name}: no benchmark: it does not name its schema. Make one with: edge-ad bench")
    _require_known(schema, name)
    try:
        # a later minor version may say more
        return decode(BenchmarkFile, parsed, None if schema == SCHEMA else lambda key: None)
    except DecodeError as error:
        raise DataError(f"{name}: {error}") from error


def _require_known(schema: str, name: str) -> None:
    major = schema.partition(".")[0]
    if major == _MAJOR:
        return
    if major == "1":
        raise DataError(
            f"{name}: schema {schema}, of an edge_ad before {SCHEMA}: it holds one process per variant, from "
            "which no interval can be had. Measure again with: edge-ad bench"
        )
    raise DataError(f"{name}: schema {schema} is not known here ({SCHEMA} is); it may take a newer edge_ad")
