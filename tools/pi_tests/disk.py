"""What lies on a disk, as `du` counts it; and which of a Debian system's packages numpy alone needs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path


def used(paths: Iterable[Path]) -> int:
    """Bytes of the blocks that files and folders occupy, those of hard links once."""
    seen = {}
    for path in paths:
        facts = path.lstat()
        seen[facts.st_dev, facts.st_ino] = facts.st_blocks * 512  # whatever the block size: stat(2)
    return sum(seen.values())


def tree(folder: Path) -> Iterator[Path]:
    """A folder and all that is below it."""
    yield folder
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(top, name)


class DebianSystem:
    """The package database of a root file system (dpkg(1))."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._depends: dict[str, list[list[str]]] = {}
        self._providers: dict[str, list[str]] = {}
        self._basic = []
        for stanza in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
            fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
            if not fields:
                continue
            name = fields["Package"]
            needed = ", ".join(fields[key] for key in ("Pre-Depends", "Depends") if key in fields)
            self._depends[name] = [
                _names(choice.split("|")) for choice in needed.split(",") if choice.strip()
            ]
            for provided in (name, *_names(fields.get("Provides", "").split(","))):
                self._providers.setdefault(provided, []).append(name)
            if fields.get("Priority") == "required" or fields.get("Essential") == "yes":
                self._basic.append(name)

    def added_by(self, package: str, beside: Iterable[str]) -> list[str]:
        """The package, and what it needs that neither every system has nor those of `beside` need."""
        there = self._closure([*self._basic, *beside])
        return sorted(self._closure([package]) - there)

    def _closure(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                for choices in self._depends[name]:
                    waiting += next((self._providers[c] for c in choices if c in self._providers), [])
        return found

    def files(self, package: str) -> Iterator[Path]:
        """Its files that are there, with the bytecode that its installation made of them."""
        info = self._root / "var/lib/dpkg/info"
        (listed,) = [*info.glob(f"{package}.list"), *info.glob(f"{package}:*.list")]
        for line in listed.read_text().splitlines():
            path = self._root / line.lstrip("/")
            if path.is_dir() and not path.is_symlink():
                continue  # shared with other packages
            if path.is_symlink() or path.exists():
                yield path
            if path.suffix == ".py":
                yield from (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")


def _names(entries: Iterable[str]) -> list[str]:
    """Without versions and architectures: `libc6:armhf (>= 2.35)` is `libc6`."""
    return [name for entry in entries if (name := re.sub(r"[:(\[].*", "", entry).strip())]
