"""What `edge-ad run` costs beside the bare interpreter, and whether its memory stays flat.

Runs the command on a long recording made from the demo's, reads its resident memory on the way, and
times the bare `invoke` of the same file before and after. Writes JSON with raw values.

Usage: bench_stream.py BUNDLE RECORDING OUTPUT [SAMPLES]
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.codec import encode
from edge_ad.runtime.benchmark import benchmark_variant

_STARTING = 4  # readings of memory, the first two seconds, in which libraries are loaded


def write_long(recording: Path, target: Path, samples: int) -> None:
    """The rows of a recording over and over, a second apart."""
    header, *rows = recording.read_text().splitlines()
    moment = datetime(2026, 1, 1)
    with target.open("w") as file:
        print(header, file=file)
        for row in itertools.islice(itertools.cycle(rows), samples):
            print(f"{moment};{row.partition(';')[2]}", file=file)
            moment += timedelta(seconds=1)


def stream(bundle: Path, recording: Path, variant: str) -> tuple[dict[str, Any], list[int]]:
    """Run the command, its decisions going nowhere; its summary and its resident bytes twice a second."""
    command = [sys.executable, "-m", "edge_ad", "run", bundle, recording]
    command += ["--variant", variant, "--summary", "json"]
    resident = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while process.poll() is None:
            time.sleep(0.5)
            pages = Path(f"/proc/{process.pid}/statm").read_text().split()
            resident.append(int(pages[1]) * os.sysconf("SC_PAGE_SIZE"))
        summary = json.loads(process.stderr.read().splitlines()[-1])
    if process.returncode:
        sys.exit(process.returncode)
    return summary, [value for value in resident if value][_STARTING:]


def main() -> None:
    """Measure every variant and print a line for each."""
    path, recording, output = (Path(argument) for argument in sys.argv[1:4])
    samples = int(sys.argv[4]) if len(sys.argv) > 4 else 1_000_000
    bundle = bundles.read(path)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "long.csv"
        write_long(recording, long, samples)
        for variant in (entry.name for entry in bundle.manifest.variants):
            invokes = benchmark_variant(bundle, variant, windows=5000, warmup=500, threads=1)[0].raw_ns
            summary, resident = stream(path, long, variant)
            invokes += benchmark_variant(bundle, variant, windows=5000, warmup=500, threads=1)[0].raw_ns
            bare_us = statistics.median(invokes) / 1000
            sample_us = 1e6 / summary["samples_per_s"]
            print(
                f"{variant}: {sample_us:.1f} us per sample, read to written; bare invoke {bare_us:.1f} us "
                f"(median); ratio {sample_us / bare_us:.2f}; resident {resident[0] / 1e6:.1f} MB at "
                f"the start, {resident[-1] / 1e6:.1f} MB at the end",
                flush=True,
            )
            results.append(
                {
                    "variant": variant,
                    "summary": summary,
                    "resident_bytes": resident,
                    "bare_invoke_ns": invokes,
                }
            )
    record = {"schema": "1.0", "machine": encode(machine_facts()), "samples": samples, "results": results}
    output.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
