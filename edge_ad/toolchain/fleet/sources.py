"""Where the recordings of a fleet are: a folder, an object store, or the simulator."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge_ad import __version__
from edge_ad.errors import ConfigurationError, DataError, MissingDependencyError
from edge_ad.files import write_atomic
from edge_ad.toolchain.datasets.discover import SUFFIXES, asset_name, find_recordings

SIMULATOR = "pump://"
"""Begins what is simulated: as a data set with the number of machines, as a source with a machine's."""
_S3 = ("s3://", "s3a://")
_STAMPS = ("ETag", "etag", "checksum", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified")
"""What the file systems of fsspec call that which changes when a file does."""


@dataclass(frozen=True)
class Source:
    """The recording of one asset."""

    asset: str
    address: str
    """Absolute path, URL, or `pump://INDEX` of the simulator."""
    stamp: str
    """Changes when the recording does; empty where the storage tells nothing."""

    def fetch(self, folder: Path) -> Path:
        """A local file with the recording: the one that is there, or a copy in `folder`. Raises DataError."""
        if self.address.startswith(SIMULATOR):
            from edge_ad.toolchain.datasets.pump import standard_run
            from edge_ad.toolchain.datasets.simulated import pump_csv

            path = folder / "recording.csv"
            write_atomic(path, pump_csv(standard_run(int(self.address.removeprefix(SIMULATOR)))).encode())
            return path
        if "://" not in self.address:
            return Path(self.address)
        system, inside = _file_system(self.address)
        path = folder / f"recording{PurePosixPath(inside).suffix}"
        try:
            with system.open(inside, "rb") as remote, path.open("wb") as local:
                shutil.copyfileobj(remote, local, 1 << 20)
        except Exception as error:  # each file system of fsspec raises what its library does
            raise DataError(f"cannot read {self.address}: {_brief(error)}") from error
        return path


def find_sources(dataset: str) -> list[Source]:
    """The recordings of a data set, in order of the assets' names.

    A folder (or its URL) holds one `.csv` or `.parquet` file per asset, at any depth. Raises DataError where
    there is none or two get the same name, ConfigurationError for what is no URL, MissingDependencyError for
    one whose library is missing.
    """
    if dataset.startswith(SIMULATOR):
        stamp = f"simulator {__version__}"
        return [Source(f"pump-{i}", f"{SIMULATOR}{i}", stamp) for i in range(_machines(dataset))]
    if "://" not in dataset:
        files = find_recordings(Path(dataset)).items()
        return [Source(name, str(path.resolve()), _digest(path)) for name, path in files]
    return _find_remote(dataset)


def _machines(dataset: str) -> int:
    number = dataset.removeprefix(SIMULATOR)
    if not (number.isascii() and number.isdecimal()):
        raise ConfigurationError(f"{dataset}: how many machines? {SIMULATOR}1000 simulates a thousand")
    return int(number)


def _find_remote(dataset: str) -> list[Source]:
    system, root = _file_system(dataset)
    try:
        found: dict[str, Any] = system.find(root, detail=True)
    except Exception as error:
        raise DataError(f"cannot list {dataset}: {_brief(error)}") from error
    sources: dict[str, Source] = {}
    for path, facts in sorted(found.items()):
        inside = PurePosixPath(path)
        if inside.suffix.lower() not in SUFFIXES:
            continue
        relative = Path(inside.name) if path == root else Path(inside.relative_to(root))
        name = asset_name(relative)
        address = system.unstrip_protocol(path)
        if name in sources:
            raise DataError(f"{sources[name].address} and {address} would both be asset {name!r}; rename one")
        sources[name] = Source(name, address, _stamp(facts))
    if not sources:
        raise DataError(f"{dataset} holds no .csv or .parquet file")
    return list(sources.values())


def _file_system(url: str) -> tuple[Any, str]:
    is_s3 = url.startswith(_S3)
    try:
        import fsspec
    except ModuleNotFoundError as error:
        extra = "s3" if is_s3 else "distributed"
        raise MissingDependencyError(f"{url}: URLs need: pip install 'edge-ad[{extra}]'") from error
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # of the protocol's own library
        needed = "object stores need: pip install 'edge-ad[s3]'" if is_s3 else error
        raise MissingDependencyError(f"{url}: {needed}") from error
    except ValueError as error:  # no such protocol
        raise ConfigurationError(f"{url}: {error}") from error
    inside = str(path).rstrip("/")
    if is_s3 and not inside:
        raise ConfigurationError(f"{url} names no bucket: s3://BUCKET/FOLDER")
    return system, inside


def _stamp(facts: dict[str, Any]) -> str:
    known = {key: str(facts[key]) for key in _STAMPS if facts.get(key) is not None}
    return f"{facts.get('size')} {sorted(known.items())}" if known else ""


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _brief(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
