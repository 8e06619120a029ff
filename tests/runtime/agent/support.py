"""What the tests of spool, couriers and sinks share."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_ad.runtime.events import Event

DEADLINE_S = 30.0
ROOT = Path(__file__).parents[3]


def event(name, rank=0, *, change="began", asset="pump-1", size=0):
    """An event with an id that a person can read."""
    severity = None if rank < 0 else f"s{rank}"
    body = json.dumps({"id": str(name), "asset": asset, "change": change, "more": "x" * size})
    return Event(str(name), asset, change, severity, rank, body)


def ids(events):
    return [e.id for e in events]


class Log:
    """What was noted and said."""

    def __init__(self):
        self.notes = []
        self.said = []

    def note(self, kind, text, n=1):
        self.notes.append((kind, text, n))

    def say(self, text):
        self.said.append(text)

    def kinds(self):
        return [kind for kind, _, _ in self.notes]

    def text(self):
        return "\n".join([*(text for _, text, _ in self.notes), *self.said])


async def until(condition):
    """Wait for something to become true, as long as it takes within reason."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


def on_own_disk(script, disk, options):
    """Run a module's `main(disk)` while `disk` is a file system of its own, mounted with the options."""
    disk.mkdir(exist_ok=True)
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        if os.environ.get("CI"):
            pytest.fail("CI must be able to mount")
        pytest.skip("this machine allows no private mounts")
    shell = f'mount -t tmpfs -o "$0" tmpfs {disk} && exec "$@"'
    command = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        shell,
        options,
        sys.executable,
        "-W",
        "error",
        "-m",
        script,
        disk,
    ]
    result = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def fill(disk):
    """Leave no byte free on a disk; returns the file that takes the room."""
    path = Path(disk) / "filler"
    with path.open("ab", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path
