"""Where roots are kept, and how two builders stay out of each other's way."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pi_rootfs.errors import RootError
from pi_rootfs.recipes import ROOTS, Recipe


def folder() -> Path:
    """Of every root: $EDGE_AD_PI_ROOTS, or ~/.cache/edge_ad/pi-roots."""
    given = os.environ.get("EDGE_AD_PI_ROOTS")
    return Path(given).expanduser().absolute() if given else Path.home() / ".cache/edge_ad/pi-roots"


def place(recipe: Recipe) -> Path:
    """Where this root is, if it is built."""
    return folder() / f"{recipe.name}-{recipe.digest}"


def partial(recipe: Recipe) -> Path:
    """Where it is while it is being built."""
    return folder() / f"{recipe.name}-{recipe.digest}.partial"


def log(recipe: Recipe) -> Path:
    """What debootstrap said."""
    return folder() / f"{recipe.name}-{recipe.digest}.log"


def tools(recipe: Recipe) -> Path:
    """Programs that help while it is being built."""
    return folder() / f"{recipe.name}-{recipe.digest}-tools.partial"


@contextmanager
def locked(recipe: Recipe, waiting: str) -> Iterator[None]:
    """Only one process at a time builds or removes a root; `waiting` is said where that takes patience."""
    from pi_rootfs.progress import say

    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f"{recipe.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(recipe.name, waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Entry:
    """A root in the cache."""

    path: Path
    recipe: Recipe | None
    """None for one that no recipe makes any more."""
    whole: bool
    """False for the remains of an interrupted build."""


def entries() -> list[Entry]:
    """Everything the cache holds."""
    if not folder().is_dir():
        return []
    places = {place(recipe): recipe for recipe in ROOTS.values()}
    return [
        Entry(path, places.get(path.with_suffix("")), path.suffix != ".partial")
        for path in sorted(folder().iterdir())
        if path.is_dir()
    ]


@contextmanager
def used(path: Path) -> Iterator[None]:
    """While a root is being built, or a machine stands on it, nobody may remove it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a root. First out of its place, so that an interruption leaves no half root there.

    Raises:
        RootError: it is being built, or a machine stands on it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RootError(f"{path} is in use; end the machines that stand on it, or its build") from error
    finally:
        os.close(descriptor)
    doomed = path.with_suffix(".partial")
    if path != doomed:
        path.rename(doomed)
    shutil.rmtree(doomed)
