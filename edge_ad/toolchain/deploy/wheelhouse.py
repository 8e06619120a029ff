"""A wheelhouse: everything that a kind of board needs, collected for those that have no network.

A folder of wheels, and of Debian packages that somebody may put beside them. `wheelhouse.json` says which
boards it is for, and what belongs to it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge_ad import __version__
from edge_ad.bundle.codec import DecodeError, decode, encode
from edge_ad.errors import ConfigurationError, DeployError, DownloadError
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.deploy.requirements import BoardPython, packages_for
from edge_ad.toolchain.deploy.wheel import device_wheel, pip_wheel

_CATALOG = "wheelhouse.json"
_SCHEMA = "1.0"


@dataclass(frozen=True)
class Wheelhouse:
    """What stands in `wheelhouse.json`."""

    schema: str
    target: str
    edge_ad: str
    """Version of edge_ad that it was made by."""
    board: BoardPython
    pip: tuple[str, ...]
    """Exact versions of the packages."""
    debian: tuple[str, ...]
    """Debian packages that the board must have besides."""
    files: dict[str, str]
    """SHA-256 by file name."""

    def fits(self, board: BoardPython) -> bool:
        """Whether its wheels are for such a board: the same Python and machine, and no older C library."""
        mine = self.board
        return (mine.machine, mine.python) == (board.machine, board.python) and mine.glibc <= board.glibc


def collect(target: str, board: BoardPython, folder: Path, *, gpio: bool = False) -> Wheelhouse:
    """Download what such a board needs into a folder. What was there of it stays if it is whole.

    Raises DownloadError, DeployError, OutputError; ConfigurationError for a folder with other things in it.
    """
    packages = packages_for(board, gpio=gpio)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _CATALOG).exists():
        raise ConfigurationError(f"{folder} is no wheelhouse, and not empty: name a new folder")
    make_folder(folder)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as name:
        new = Path(name)
        _download(board, packages.pip, new, folder)
        for wheel, content in (device_wheel(), pip_wheel()):
            write_atomic(new / wheel, content)
        files = {path.name: _sha256(path) for path in sorted(new.iterdir())}
        found = Wheelhouse(_SCHEMA, target, __version__, board, packages.pip, packages.debian, files)
        for path in folder.glob("*.whl"):
            if path.name not in files:
                path.unlink()
        for name_ in files:
            (new / name_).replace(folder / name_)
    write_atomic(folder / _CATALOG, json.dumps(encode(found), indent=1).encode() + b"\n")
    return found


def read_wheelhouse(folder: Path) -> Wheelhouse:
    """Read and check one. Raises ConfigurationError for one that is none or not whole."""
    again = "make it anew with edge-ad wheelhouse"
    try:
        found = decode(Wheelhouse, json.loads((folder / _CATALOG).read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"{folder} is no wheelhouse ({error.strerror}): {again}") from error
    except (ValueError, DecodeError) as error:
        raise ConfigurationError(f"{folder / _CATALOG} is damaged ({error}): {again}") from error
    if found.schema.partition(".")[0] != _SCHEMA.partition(".")[0]:
        raise ConfigurationError(f"{folder} is of schema {found.schema}, and this is {_SCHEMA}: {again}")
    for name, digest in found.files.items():
        path = folder / name
        if "/" in name or not path.is_file() or _sha256(path) != digest:
            raise ConfigurationError(f"{path} is missing or damaged: {again}")
    return found


def _download(board: BoardPython, requirements: tuple[str, ...], new: Path, present: Path) -> None:
    """Let pip find wheels for the board; those that are there already it takes from there."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(new), "--find-links", str(present)]
    command += ["--implementation", "cp", "--python-version", board.short_version]
    command += ["--abi", f"cp{''.join(map(str, board.python))}", "--abi", "abi3", "--abi", "none"]
    for platform in _platforms(board):
        command += ["--platform", platform]
    result = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        said = " / ".join(lines[-2:]) or result.stderr.strip()[-300:]
        raise DownloadError(f"pip found no wheels for {board.text()}: {said}. Is there a network here?")


def _platforms(board: BoardPython) -> list[str]:
    """Tags of wheels that run there, the newest first: https://peps.python.org/pep-0600/."""
    major, newest = board.glibc
    tags = [f"manylinux_{major}_{minor}_{board.machine}" for minor in range(newest, 16, -1)]
    return [*tags, f"manylinux2014_{board.machine}", f"linux_{board.machine}"]


def check_fits(found: Wheelhouse, board: BoardPython, folder: Path) -> None:
    """Raises DeployError for a wheelhouse that was made for other boards."""
    if not found.fits(board):
        raise DeployError(
            f"{folder} holds packages for {found.board.text()} ({found.target}), and the board has "
            f"{board.text()} with glibc {'.'.join(map(str, board.glibc))}: make one for it with edge-ad "
            "wheelhouse"
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
