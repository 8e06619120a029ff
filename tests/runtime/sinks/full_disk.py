"""Files of lines on a disk without room; runs while it is mounted: full_disk.py FOLDER."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from edge_ad.runtime.sinks.kinds import load_sink
from edge_ad.runtime.sinks.sink import DeliveryError
from tests.runtime.agent.support import Log, event, fill, until
from tests.runtime.sinks.support import context, decision, service


def open_one(kind, path, log):
    options, opener = load_sink(kind, {"path": str(path), "max_mb": 0.1, "keep": 1})
    return opener(options, context(log))


async def decisions(disk):
    path, log = disk / "decisions.ndjson", Log()
    sink = open_one("decisions", path, log)
    take = sink.begin(service())
    for n in range(3):
        take(decision(), f"before {n}")
    sink.flush()
    await until(path.exists)
    await asyncio.sleep(0)
    filler = fill(disk)
    for n in range(300):  # more than the rest of a page
        take(decision(), f"lost {n}")
    sink.flush()
    await until(lambda: log.notes)
    filler.unlink()
    take(decision(), "after")
    sink.flush()
    await until(lambda: log.said)
    await sink.close()
    (kind, text, n), *others = log.notes
    assert not others
    assert (kind, n) == ("lines-lost", 300)
    assert f"cannot write {path}: No space left on device; 300 lines are lost" in text
    assert log.said == [f"{path} is written again"]
    times = [json.loads(line)["time"] for line in path.read_text().splitlines()]
    assert times == ["before 0", "before 1", "before 2", "after"], times


async def events(disk):
    path, log = disk / "events.ndjson", Log()
    sink = open_one("events", path, log)
    await sink.deliver(event(1, size=3000))
    filler = fill(disk)
    for _ in range(3):
        with pytest.raises(DeliveryError, match="No space left on device"):
            await sink.deliver(event(2, size=9000))
    filler.unlink()
    await sink.deliver(event(2, size=9000))
    await sink.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["1", "2"]


if __name__ == "__main__":
    disk = Path(sys.argv[1])
    asyncio.run({"decisions": decisions, "events": events}[disk.name](disk))
    print("done")
