"""What a fleet costs: rate, memory of all processes and its growth, and how long the index takes to answer.

    bench_fleet.py build N FOLDER [ENGINE] [WORKERS]   `edge-ad fleet build pump://N`; 1000 is the bar
    bench_fleet.py memory TASKS ASSETS                 one worker's memory after each task, none recycled
    bench_fleet.py index N                             questions to an index of N assets

Writes one line of JSON. Processor time counts where the machine is busy with other work.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(path.read_text().rsplit(")", 1)[1].split()[1]), []).append(
                int(path.parent.name)
            )
        except OSError:
            continue
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def rss(pids: list[int]) -> float:
    """Resident memory in MB; what processes share counts for each."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * _PAGE / 1e6


def build(count: int, folder: str, engine: str = "local", workers: str = "2") -> dict[str, Any]:
    """A whole fleet of simulated machines, each of its own."""
    command = [sys.executable, "-m", "edge_ad", "fleet", "build", f"pump://{count}", "-o", folder, "--json"]
    start = time.monotonic()
    process = subprocess.Popen(
        [*command, "--engine", engine, "--workers", workers],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    samples: list[tuple[int, float]] = []  # assets done, MB
    done = 0

    def watch() -> None:
        while process.poll() is None:
            samples.append((done, rss(tree(process.pid))))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stdout
    assert process.stderr
    for line in process.stderr:
        done = int(line.partition("/")[0]) if line.partition("/")[0].isdigit() else done
    facts = json.loads(process.stdout.read())
    process.wait()
    watcher.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    halves = [
        [mb for n, mb in samples if low * count <= n < high * count]
        for low, high in ((0.5, 0.75), (0.75, 1.01))
    ]
    return {
        "assets": count,
        "engine": engine,
        "workers": int(workers),
        "built": facts["built"],
        "without_bundle": len(facts["failed"]),
        "seconds": round(time.monotonic() - start, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_rss_mb": round(max(mb for _, mb in samples)),
        "growth_third_to_last_quarter_mb": round(max(halves[1]) - max(halves[0])) if all(halves) else None,
    }


def memory(tasks: int, assets: int) -> dict[str, Any]:
    """Memory of one process that does task after task."""
    from edge_ad.toolchain.datasets.formats import PUMP
    from edge_ad.toolchain.fleet.plan import FleetPlan
    from edge_ad.toolchain.fleet.sources import find_sources
    from edge_ad.toolchain.fleet.work import FleetTask, build_assets
    from edge_ad.toolchain.settings import BuildSettings

    plan = FleetPlan("pump", PUMP, BuildSettings(models=("tiny",)), "pump")
    sources, after, seconds = find_sources(f"pump://{tasks * assets}"), [], []
    for i in range(tasks):
        start = time.process_time()
        build_assets(FleetTask(plan, tuple(sources[i * assets : (i + 1) * assets])))
        seconds.append(round((time.process_time() - start) / assets, 2))
        after.append(round(rss([os.getpid()]), 1))
    return {
        "assets_per_task": assets,
        "rss_mb_after_each_task": after,
        "processor_seconds_per_asset": seconds,
    }


def index(count: int) -> dict[str, Any]:
    """Median of nine, in milliseconds of processor time, of what the commands ask.

    Every asset has two builds, a host (ten to each), and a report.
    """
    from datetime import datetime, timezone

    from edge_ad.toolchain.collect.observation import Observation, iso
    from edge_ad.toolchain.collect.status import fleet_status
    from edge_ad.toolchain.collect.table import keep
    from edge_ad.toolchain.fleet.conditions import parse_condition
    from edge_ad.toolchain.fleet.record import AssetRecord
    from edge_ad.toolchain.fleet.store import FleetStore
    from edge_ad.toolchain.rollout.hosts import Host, save_hosts

    base = AssetRecord("", "data.csv", "built", build_number=1, bundle_id="b" * 64, sha256="c" * 64, ucl=7.5)
    records = [
        dataclasses.replace(base, asset=f"pump-{i:06}", f1=i % 997 / 997, parity_headroom=i % 991 / 991)
        for i in range(count)
    ]
    report = Observation(
        "", "", iso(datetime.now(timezone.utc)), "normal", bundle_id="b" * 64, decisions=86400
    )
    hosts = [
        Host(f"pi-{first:06}", tuple(record.asset for record in records[first : first + 10]))
        for first in range(0, count, 10)
    ]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with FleetStore.open(Path(folder) / "a", create=True) as store:
            store.record(*(dataclasses.replace(record, sha256="a" * 64) for record in records))
            store.record(*records)
            save_hosts(store, hosts)
            keep(store, (dataclasses.replace(report, asset=record.asset) for record in records))
            written = time.perf_counter() - start
            with FleetStore.open(Path(folder) / "b", create=True) as other:
                other.record(*records[:-1])
                questions = {
                    "all": store.assets,
                    "worst 20": lambda: store.assets(sort="worst-parity", limit=20),
                    "f1<0.1": lambda: store.assets([parse_condition("f1<0.1")]),
                    "unbuilt": lambda: store.assets([parse_condition("state!=built")]),
                    "diff": lambda: store.diff(other),
                    "status": lambda: fleet_status(store, late_after_s=3600),
                }
                times = {name: _milliseconds(ask) for name, ask in questions.items()}
    return {"assets": count, "written_s": round(written, 2), "ms": times}


def _milliseconds(ask: Any) -> float:
    times = []
    for _ in range(9):
        start = time.process_time()
        ask()
        times.append(1000 * (time.process_time() - start))
    return round(median(times), 2)


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "build":
        print(json.dumps(build(int(rest[0]), *rest[1:])))
    elif kind == "memory":
        print(json.dumps(memory(int(rest[0]), int(rest[1]))))
    else:
        print(json.dumps(index(int(rest[0]))))
