"""What `edge-ad verify` costs: seconds from start to end, and memory of all its processes together.

Memory is the largest sum of the proportional set sizes (Linux: pages that processes share count once),
looked at every few milliseconds.

Usage: bench_verify.py BUNDLE OUTPUT.json [RUNS]
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle.codec import encode


def tree_bytes(pid: int) -> int:
    """Proportional set size of a process and its descendants; 0 for one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, StopIteration):
        return 0
    return own + sum(tree_bytes(int(child)) for child in children)


def timed(command: list[str]) -> float:
    """Seconds of one run that nothing looks at."""
    start = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def watched(command: list[str]) -> int:
    """Largest memory of one run."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, tree_bytes(process.pid))
            sleep(0.003)
    return peak


def main() -> None:
    """Measure, write, print."""
    bundle, output = Path(sys.argv[1]), Path(sys.argv[2])
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    command = [sys.executable, "-m", "edge_ad", "verify", str(bundle)]
    timed(command)
    seconds = [timed(command) for _ in range(runs)]
    peaks = [watched(command) for _ in range(runs)]
    record = {
        "schema": "1.0",
        "machine": encode(machine_facts()),
        "bundle_bytes": bundle.stat().st_size,
        "seconds": seconds,
        "peak_bytes": peaks,
    }
    output.write_text(json.dumps(record))
    print(
        f"verify {bundle.name}: median {median(seconds):.3f} s (largest {max(seconds):.3f} s), memory of all "
        f"its processes at most {max(peaks) / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
