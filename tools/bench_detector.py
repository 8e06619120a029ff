"""What the detector costs beside the bare interpreter, and where the time of one `push` goes.

For every variant of a bundle, in turns and on the same windows: the bare `invoke` of its file, `push` sample
by sample, `replay` in blocks. Then `edge-ad run` as a process: memory and the time to its
first decision. Where TensorFlow is installed, Keras `predict` on one window as well. Writes JSON with raw
values and prints a table.

Usage: bench_detector.py BUNDLE RECORDING OUTPUT [ROUNDS]
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.codec import encode
from edge_ad.detect.window import sliding_windows
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.interpreter import interpreter_version
from edge_ad.runtime.latency import STAGES
from edge_ad.runtime.sources.csv_lines import CsvLines

_BLOCK = 500
"""Samples of a turn."""
_LOOP = 5
_RUNS = 5


def readings(bundle: Bundle, recording: Path) -> NDArray[np.float64]:
    """The samples of a recording, `(n, n_channels)`."""
    columns = [channel.name for channel in bundle.manifest.channels]
    with recording.open(encoding="utf-8") as file:
        lines = CsvLines(file, bundle.manifest.input, columns, name=str(recording), strict=True)
        return np.array([sample.values for sample in lines], np.float64)


class Stream:
    """The recording over and over, a period apart, through one detector."""

    def __init__(self, bundle: Bundle, variant: str, samples: NDArray[np.float64]) -> None:
        self.detector = Detector.load(bundle, variant)
        self._samples = samples
        self._tick = 0
        self._period = bundle.manifest.sample_period_s

    def next_block(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The next `_BLOCK` samples and their times."""
        ticks = np.arange(self._tick, self._tick + _BLOCK)
        self._tick += _BLOCK
        return self._samples[ticks % len(self._samples)], ticks * self._period


def push_each(stream: Stream) -> list[int]:
    """Nanoseconds of every `push` of a block."""
    samples, times = stream.next_block()
    push, raw = stream.detector.push, []
    for sample, time in zip(samples.tolist(), times.tolist(), strict=True):
        start = perf_counter_ns()
        push(sample, time)
        raw.append(perf_counter_ns() - start)
    return raw


def replay_once(stream: Stream) -> int:
    """Nanoseconds of a block at once."""
    samples, times = stream.next_block()
    start = perf_counter_ns()
    stream.detector.replay(samples, times)
    return perf_counter_ns() - start


def invoke_each(detector: Detector, windows: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """Nanoseconds of the bare invoke on every one of `(n, window_length, n_channels)` windows.

    Of the first one after the window was handed in, as in a stream, and of each in a loop that does nothing
    but invoke, over and over on the same window: a processor that has seen it all before is faster.
    """
    fresh, looped = [], []
    for window in windows:
        invoke = detector.bare_invoke(window)  # hands the window in, and is not timed
        start = perf_counter_ns()
        invoke()
        fresh.append(perf_counter_ns() - start)
        start = perf_counter_ns()
        for _ in range(_LOOP):
            invoke()
        looped.append((perf_counter_ns() - start) // _LOOP)
    return fresh, looped


def measure(bundle: Bundle, variant: str, samples: NDArray[np.float64], rounds: int) -> dict[str, Any]:
    """Raw values of one variant: nanoseconds, each kind in turns with the others."""
    pushed, replayed = Stream(bundle, variant, samples), Stream(bundle, variant, samples)
    bare = Stream(bundle, variant, samples)
    length = bundle.manifest.window_length

    def next_windows() -> NDArray[np.float64]:
        block, _ = bare.next_block()
        return sliding_windows(np.concatenate([block[-length + 1 :], block]), length)

    for _ in range(2):
        push_each(pushed)
        replay_once(replayed)
        invoke_each(bare.detector, next_windows())
    marks: list[NDArray[np.int64]] = []
    pushed.detector.latency.journal.subscribe(lambda batch: marks.append(batch.marks_ns.copy()))
    raw: dict[str, Any] = {"invoke": [], "looped": [], "push": [], "replay": []}
    for _ in range(rounds):
        fresh, looped = invoke_each(bare.detector, next_windows())
        raw["invoke"] += fresh
        raw["looped"] += looped
        raw["push"] += push_each(pushed)
        raw["replay"].append(replay_once(replayed))
    pushed.detector.latency.flush()
    stages = np.diff(np.concatenate(marks), axis=1)
    raw["stages"] = {stage: stages[:, i].tolist() for i, stage in enumerate(STAGES)}
    return raw


def run_process(bundle: Path, recording: Path, variant: str) -> dict[str, Any]:
    """The summary of one `edge-ad run`."""
    command = [sys.executable, "-m", "edge_ad", "run", str(bundle), str(recording)]
    command += ["--variant", variant, "--summary", "json"]
    result = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    summary: dict[str, Any] = json.loads(result.stderr.splitlines()[-1])
    return {key: summary[key] for key in ("rss_bytes", "peak_rss_bytes", "cold_start_s", "cpu_share")}


def report(variant: str, raw: dict[str, Any], keras_us: float | None) -> None:
    """The figures of one variant."""
    invoke, looped, push = (median(raw[name]) / 1000 for name in ("invoke", "looped", "push"))
    print(
        f"{variant}: invoke {invoke:.1f} us ({looped:.1f} in a loop on one window), push {push:.1f} us: "
        f"{push / invoke:.2f} ({push / looped:.2f}) times the invoke"
    )
    stages = {stage: median(values) / 1000 for stage, values in raw["stages"].items()}
    stages["record"] = push - sum(stages.values())
    print("  stages of push in us: " + ", ".join(f"{stage} {value:.1f}" for stage, value in stages.items()))
    # Turn by turn, each on the same windows, since an invoke takes longer on some windows than on others.
    rates = {}
    for name in ("invoke", "looped"):
        invokes = np.reshape(raw[name], (-1, _BLOCK)).sum(axis=1)
        rates[name] = float(np.median(invokes / np.array(raw["replay"])))
    line = (
        f"  replay: {rates['invoke']:.2f} ({rates['looped']:.2f}) of the windows per second of bare invokes"
    )
    if keras_us is not None:
        windows_us = median(raw["replay"]) / 1000 / _BLOCK
        line += f"; Keras predict takes {keras_us / push:.0f} times as long as push and "
        line += f"{keras_us / windows_us:.0f} times as long as replay"
    print(line)
    runs = raw["runs"]
    resident = max(run["peak_rss_bytes"] for run in runs) / 1e6
    cold = median(run["cold_start_s"] for run in runs)
    print(f"  edge-ad run: RSS {resident:.1f} MB at most, first decision after {cold:.2f} s", flush=True)


def main() -> None:
    """Measure, print, write."""
    path, recording, output = (Path(argument) for argument in sys.argv[1:4])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    bundle = bundles.read(path)
    samples = readings(bundle, recording)
    keras: dict[str, float] = {}
    if find_spec("tensorflow") is not None:
        from edge_ad.toolchain.keras_baseline import benchmark_keras

        found = benchmark_keras(bundle.manifest, windows=30, warmup=5)
        keras = {measurement.name.split()[0]: measurement.percentile_us(50) for measurement in found}
    results = {}
    for variant in bundle.manifest.variants:
        raw = measure(bundle, variant.name, samples, rounds)
        raw["runs"] = [run_process(path, recording, variant.name) for _ in range(_RUNS)]
        report(variant.name, raw, keras.get(variant.model))
        results[variant.name] = raw
    record = {
        "schema": "1.0",
        "machine": encode(machine_facts()),
        "interpreter": interpreter_version(),
        "keras_predict_us": keras,
        "results": results,
    }
    output.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
