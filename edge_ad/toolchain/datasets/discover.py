"""Finding the recordings of a data set: one file, or every CSV or Parquet file below a folder."""

from __future__ import annotations

import re
from pathlib import Path

from edge_ad.errors import DataError

SUFFIXES = (".csv", ".parquet")
"""Of recordings."""
_LONGEST_NAME = 100


def find_recordings(path: Path) -> dict[str, Path]:
    """Asset name -> file, in order of the names.

    An asset is called after its path below the folder: `valve1/0.csv` becomes `valve1-0`.
    Raises DataError where there is nothing to read or two files get the same name.
    """
    if path.is_file():
        return {asset_name(Path(path.name)): path}
    if not path.is_dir():
        if path.exists():
            raise DataError(f"{path} is no regular file, and is to be read more than once: save it first")
        raise DataError(f"{path} does not exist; give a recording (.csv or .parquet), or a folder of them")
    found_files = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    files = sorted(found_files, key=lambda file: _natural(file.relative_to(path)))
    if not files:
        raise DataError(f"{path} holds no .csv or .parquet file")
    found: dict[str, Path] = {}
    for file in files:
        name = asset_name(file.relative_to(path))
        if name in found:
            raise DataError(f"{found[name]} and {file} would both be asset {name!r}; rename one")
        if len(name) > _LONGEST_NAME:
            raise DataError(f"{file}: a name of {len(name)} characters is too long for an asset; rename it")
        found[name] = file
    return found


def asset_name(relative: Path) -> str:
    """A file's asset name: its path without suffix, folders joined by `-`, plain characters only."""
    joined = "-".join(relative.with_suffix("").parts)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", joined).strip("._-") or "asset"


def _natural(relative: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts `valve1/2.csv` before `valve1/10.csv`."""
    parts = re.split(r"(\d+)", str(relative))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
