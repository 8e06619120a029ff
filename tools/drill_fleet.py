"""Kill workers and the build itself at random, start it again, and compare the bundles with a calm build's.

Usage: drill_fleet.py ASSETS KILLS FOLDER [ENGINE: ray or local] [SEED]

Half of the kills hit a worker, the others the process that builds. FOLDER gets two fleets, `calm` and
`drilled`.
Exits with 1 where a bundle is missing or differs.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from bench_fleet import tree

_WORKERS = (b"ray::build_assets", b"spawn_main")


def command(assets: int, folder: Path, engine: str) -> list[str]:
    """A build in small tasks, so that there is something to lose and something to keep."""
    start = [sys.executable, "-m", "edge_ad", "fleet", "build", f"pump://{assets}", "-o", str(folder)]
    return [*start, "--engine", engine, "--workers", "2", "--assets-per-task", "2", "--epochs", "20"]


def workers(root: int) -> list[int]:
    """Processes below the build that may be training."""
    found = []
    for pid in tree(root)[1:]:
        try:
            text = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if any(mark in text for mark in _WORKERS):
            found.append(pid)
    return found


def bundles(folder: Path) -> dict[str, bytes]:
    """Every bundle of a fleet."""
    return {path.name: path.read_bytes() for path in (folder / "bundles").rglob("*.edgead")}


def main() -> int:
    """Drill, then compare."""
    assets, kills, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    engine = sys.argv[4] if len(sys.argv) > 4 else "ray"
    dice = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 0)
    left = [("worker", "build")[i % 2] for i in range(kills)]
    process = subprocess.Popen(command(assets, folder / "drilled", engine))
    while left:
        time.sleep(dice.uniform(5, 40))
        if process.poll() is not None:
            print(f"done before {len(left)} of the kills", file=sys.stderr)
            break
        victims = [process.pid] if left[0] == "build" else workers(process.pid)
        if not victims:
            continue
        print(f"kill a {left.pop(0)}", file=sys.stderr)
        subprocess.run(["kill", "-KILL", str(dice.choice(victims))], check=False)
        if victims == [process.pid]:
            process.wait()
            process = subprocess.Popen(command(assets, folder / "drilled", engine))
    process.wait()
    subprocess.run(command(assets, folder / "calm", "local"), check=False)
    ours, theirs = bundles(folder / "drilled"), bundles(folder / "calm")
    differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    print(f"{kills - len(left)} kills, {len(theirs)} bundles, {len(differing)} differ: {differing}")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
