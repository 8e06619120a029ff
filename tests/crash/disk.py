"""A model of a disk that loses what was not synced, fed from the shim's log.

A file's contents are safe once the file was synced, a name once its folder was. At a power cut every
other change may have arrived or not, each for itself.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

_SECTOR = 512
"""Bytes that are written whole or not at all."""


@dataclass
class Inode:
    """A file's contents now, and those that are safe."""

    now: bytes = b""
    safe: bytes = b""
    loose: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes since it was synced, of a file that is not only appended to: where, and what; None where it was
    cut off."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write somewhere into the file."""
        self.loose.append((offset, data))
        self.now = _written(self.now, offset, data)

    def some_of_it(self, rng: random.Random) -> bytes:
        """The safe contents with a random choice of the writes, each whole or torn between two sectors."""
        found = self.safe
        for offset, data in self.loose:
            chance = rng.random()
            if chance < 0.5:
                found = _written(found, offset, data)
            elif chance < 0.7 and data is not None:
                found = _written(found, offset, data[: rng.randrange(0, len(data) + 1, _SECTOR)])
        return found


@dataclass
class Disk:
    """Files below one folder."""

    names: dict[str, Inode | None] = field(default_factory=dict)
    """Path -> file, or None for a folder."""
    safe_names: dict[str, Inode | None] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """A disk on which everything that is there is safe."""
        disk = cls()
        for path in sorted(folder.rglob("*")):
            content = None if path.is_dir() else path.read_bytes()
            disk.names[str(path)] = None if content is None else Inode(content, content)
        disk.safe_names = dict(disk.names)
        return disk

    def apply(self, operation: str, path: str, second: str, data: bytes) -> None:
        """One call of the log."""
        if operation == "open":
            inode = self.names.setdefault(path, Inode())
            if second == "truncate" and inode is not None:
                inode.now = b""
        elif operation == "write":
            self._file(path).now += data  # the store only ever appends or writes from the start
        elif operation == "pwrite":
            self._file(path).write_at(int(second), data)
        elif operation == "truncate":
            inode = self._file(path)
            if inode.loose:
                inode.loose.append((int(second), None))
            inode.now = inode.now[: int(second)]
        elif operation == "mkdir":
            self.names[path] = None
        elif operation == "rename":
            self.names[second] = self.names.pop(path)
        elif operation == "unlink":
            del self.names[path]
        elif operation == "fsync" and path in self.names and self.names[path] is not None:
            inode = self._file(path)
            inode.safe = inode.now
            inode.loose.clear()
        elif operation == "fsync":
            for name in {*self.names, *self.safe_names}:
                if str(Path(name).parent) == path:
                    if name in self.names:
                        self.safe_names[name] = self.names[name]
                    else:
                        self.safe_names.pop(name, None)

    def after_power_cut(self, choose: random.Random | str) -> dict[str, bytes | None]:
        """What is found: `nothing` of the unsafe changes, `names` only, `all`, or a random choice of them."""
        found: dict[str, bytes | None] = {}
        for name in sorted({*self.names, *self.safe_names}):
            take_new = choose in ("names", "all") or (choose != "nothing" and self._coin(choose))
            source = self.names if take_new else self.safe_names
            if name in source:
                found[name] = self._contents(source[name], choose)
        # A file in a folder that did not arrive is lost with it.
        return {
            name: content
            for name, content in found.items()
            if all(str(parent) in found for parent in Path(name).parents if str(parent) in self.names)
        }

    def _contents(self, inode: Inode | None, choose: random.Random | str) -> bytes | None:
        if inode is None:
            return None
        if isinstance(choose, random.Random) and inode.loose:
            return inode.some_of_it(choose)
        if isinstance(choose, random.Random):
            # What was appended to safe contents may be torn, and not these themselves.
            start = len(inode.safe) if inode.now.startswith(inode.safe) else 0
            torn = inode.now[: choose.randint(start, len(inode.now))]
            return choose.choice([inode.safe, inode.now, torn]) if inode.safe != inode.now else inode.now
        return inode.now if choose == "all" else inode.safe

    @staticmethod
    def _coin(choose: random.Random | str) -> bool:
        return isinstance(choose, random.Random) and choose.random() < 0.5

    def _file(self, path: str) -> Inode:
        inode = self.names[path]
        assert inode is not None
        return inode


def _written(contents: bytes, offset: int, data: bytes | None) -> bytes:
    """Contents with data written into them, or cut off there."""
    if data is None:
        return contents[:offset]
    return contents[:offset].ljust(offset, b"\0") + data + contents[offset + len(data) :]


def read_log(log: bytes) -> list[tuple[str, str, str, bytes]]:
    """The calls the shim wrote down."""
    calls = []
    position = 0
    while position < len(log):
        end = log.index(b"\n", position)
        operation, path, second, size = log[position:end].decode().split("\t")
        position = end + 1 + int(size)
        calls.append((operation, path, second, log[end + 1 : position]))
    return calls
