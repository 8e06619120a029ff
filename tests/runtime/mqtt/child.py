"""A process that a test kills: a source that is never done with what it reads, or a sink."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.runtime.mqtt.plant import Plant

ROOT = Path(__file__).parents[3]


async def read(port: int, protocol: str, topic: str) -> None:
    async with Plant(port, protocol) as plant:
        source = await plant.subscribed(topic)
        print("ready", flush=True)
        while True:
            for line in await source.read():
                print(line.text, flush=True)


async def sink(port: int, protocol: str) -> None:
    async with Plant(port, protocol) as plant:
        await plant.sink()
        print("ready", flush=True)
        await asyncio.Event().wait()


def start(*arguments: object) -> subprocess.Popen[str]:
    """Run this module; the process has written its first line when this returns."""
    command = [sys.executable, "-m", "tests.runtime.mqtt.child", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()


if __name__ == "__main__":
    what, port, *rest = sys.argv[1:]
    asyncio.run({"read": read, "sink": sink}[what](int(port), *rest))
