"""Downloading public data sets: resumed where it was cut off, verified before it is believed."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge_ad.errors import DownloadError, MissingDependencyError, OutputError
from edge_ad.files import make_folder

SKAB_URL = "https://raw.githubusercontent.com/waico/SKAB/1801b97459937a872c789add44e64511b586b1f2/data/"
SKAB_NOTICE = (
    "SKAB v0.9, GPL-3.0. Cite: I. Katser and V. Kozitsin, Skoltech Anomaly Benchmark (SKAB), 2020, "
    "DOI 10.34740/KAGGLE/DSV/1693952."
)

_CHUNK_BYTES = 1 << 12
"""Small, since the piece that a connection breaks off in is lost."""
_TIMEOUT_S = (10.0, 30.0)
"""To connect, and between two pieces of data."""
_AGAIN = "run the same command again: finished files are kept and the rest resumes"


@dataclass(frozen=True)
class PublishedFile:
    """A file of a data set as it was published."""

    name: str
    """Path below the data set's folder."""
    size: int
    sha256: str


@dataclass(frozen=True)
class FetchSummary:
    """What a download did; counts of files."""

    downloaded: int
    resumed: int
    already_present: int
    bytes_received: int


def skab_files() -> tuple[PublishedFile, ...]:
    """The 34 labelled recordings of SKAB v0.9 with their digests."""
    text = files("edge_ad.toolchain.datasets").joinpath("skab.sha256").read_text()
    rows = (line.split(maxsplit=2) for line in text.splitlines())
    return tuple(PublishedFile(name, int(size), digest) for digest, size, name in rows)


def fetch_skab(
    destination: Path,
    *,
    base_url: str = SKAB_URL,
    published: tuple[PublishedFile, ...] | None = None,
    retries: int = 3,
    timeout_s: tuple[float, float] = _TIMEOUT_S,
    on_file: Callable[[PublishedFile, str], None] = lambda _file, _what: None,
) -> FetchSummary:
    """Download SKAB into `destination/{valve1,valve2,other}`.

    A file counts as there only with the published size and SHA-256. What is cut off stays as
    `NAME.part` and is continued next time. A file that is there with other contents is never
    overwritten.

    Raises DownloadError (server, network, wrong contents), OutputError (folder, disk, a file in the
    way), MissingDependencyError.
    """
    published = skab_files() if published is None else published
    make_folder(destination)
    received = downloaded = resumed = present = 0
    with _only_one(destination), _session(retries) as session:
        for file in published:
            path = destination / file.name
            if path.exists():
                _require_published(path, file)
                present += 1
                on_file(file, "already there")
                continue
            make_folder(path.parent)
            had, got = _download(session, base_url + file.name, path, file, timeout_s)
            received += got
            downloaded += 1
            resumed += had > 0
            on_file(file, f"{got / 1000:.0f} KB" + (" more" if had else ""))
    return FetchSummary(downloaded, resumed, present, received)


def _download(
    session: Any,
    url: str,
    path: Path,
    file: PublishedFile,
    timeout_s: tuple[float, float],
) -> tuple[int, int]:
    """Complete `path` from its `.part`; returns the bytes that were there and those received."""
    part = path.with_name(path.name + ".part")
    had = _usable_bytes(part, file)
    received = 0
    if had < file.size:
        with _network_errors(url):
            headers = {"Range": f"bytes={had}-"} if had else {}
            # Compression would make the bytes on the wire differ from those of the file.
            headers["Accept-Encoding"] = "identity"
            with session.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
                response.raise_for_status()
                if had and not _continues_at(response, had):
                    had = 0  # the server sends the whole file
                received = _receive(response, part, had, file)
    if had + received < file.size:
        raise DownloadError(
            f"{url}: the connection ended after {had + received} of {file.size} bytes; {_AGAIN}"
        )
    digest = _sha256(part)
    if digest != file.sha256:
        part.unlink()
        raise DownloadError(
            f"{url}: wrong contents (SHA-256 {digest}, published {file.sha256}); the download was "
            "removed. A proxy may stand in between: try again or give another --base-url"
        )
    with _disk_errors(path):
        os.replace(part, path)
    return had, received


def _continues_at(response: Any, position: int) -> bool:
    """Whether the server answers with the rest of the file, from `position` on."""
    content_range = str(response.headers.get("Content-Range", ""))
    return response.status_code == 206 and content_range.startswith(f"bytes {position}-")


def _receive(response: Any, part: Path, had: int, file: PublishedFile) -> int:
    """Append the response to the `.part` file; returns the number of bytes received."""
    received = 0
    with _disk_errors(part), part.open("ab" if had else "wb") as output:
        for chunk in response.iter_content(_CHUNK_BYTES):
            # One byte too many is enough to tell that this is another file.
            room = file.size + 1 - had - received
            output.write(chunk[:room])
            received += min(len(chunk), room)
            if received >= file.size + 1 - had:
                break
        output.flush()
        os.fsync(output.fileno())
    return received


def _usable_bytes(part: Path, file: PublishedFile) -> int:
    try:
        size = part.stat().st_size
    except FileNotFoundError:
        return 0
    return size if size <= file.size else 0


def _require_published(path: Path, file: PublishedFile) -> None:
    if not path.is_file() or path.stat().st_size != file.size or _sha256(path) != file.sha256:
        raise OutputError(
            f"{path} is there but is not the published file, and is left as it is: move it away or choose "
            "another folder"
        )


def _sha256(path: Path) -> str:
    with _disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _session(retries: int) -> Iterator[Any]:
    try:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry
    except ModuleNotFoundError as error:
        raise MissingDependencyError("downloading needs: pip install 'edge-ad[host]'") from error
    retry = Retry(total=retries, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.mount("https://", HTTPAdapter(max_retries=retry))
        yield session


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    from requests import HTTPError, RequestException

    try:
        yield
    except HTTPError as error:
        code = error.response.status_code
        raise DownloadError(f"{url}: the server answers {code} {error.response.reason}; {_AGAIN}") from error
    except RequestException as error:
        raise DownloadError(f"{url}: {_cause(error)}; {_AGAIN}") from error


def _cause(error: BaseException) -> str:
    """The innermost reason, without the layers of the HTTP library around it."""
    reason: BaseException = error
    while reason.__cause__ or reason.__context__:
        reason = reason.__cause__ or reason.__context__ or reason
    return str(reason) or type(reason).__name__


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno is None:
            raise  # the network's, not the disk's: requests' errors are OSErrors without a number
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def _only_one(destination: Path) -> Iterator[None]:
    """Keep two downloads into one folder apart. The lock ends with the process, however it ends."""
    with _disk_errors(destination), (destination / ".fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"another download into {destination} is under way") from error
        yield
