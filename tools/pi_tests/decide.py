"""Decisions on many recordings in one process, with nothing but what a device has installed.

Starting Python takes seconds where a processor is emulated, so this is one process for all bundles rather
than an `edge-ad verify` and an `edge-ad run` each. What reads, decides and replays golden windows is what
these run.

Usage: decide.py FOLDER OUTPUT.npz [VARIANT[/N]]...

FOLDER holds pairs NAME.edgead and NAME.csv. Each variant (all for none) decides on all recordings, with /N on
every Nth. OUTPUT gets the arrays "NAME/VARIANT/scores" and "NAME/VARIANT/states", and "facts": JSON with the
engine and what it made of the golden windows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from edge_ad.bundle.bundle import Bundle, read
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.interpreter import engine_in_use, interpreter_version
from edge_ad.runtime.selftest import replay_on_interpreters
from edge_ad.runtime.sources.csv_lines import CsvLines


def main() -> None:
    """Decide on everything in the folder."""
    folder, output, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    started = perf_counter()
    arrays: dict[str, np.ndarray] = {}
    golden: list[dict[str, object]] = []
    paths = sorted(folder.glob("*.edgead"))
    for number, path in enumerate(paths):
        bundle = read(path)
        golden += replayed(bundle, path.stem)
        samples, times = samples_of(bundle, path.with_suffix(".csv"))
        for word in wanted or [entry.name for entry in bundle.manifest.variants]:
            variant, _, every = word.partition("/")
            if number % int(every or 1):
                continue
            replay = Detector.load(bundle, variant).replay(samples, times)
            arrays[f"{path.stem}/{variant}/scores"] = replay.scores
            arrays[f"{path.stem}/{variant}/states"] = replay.states
        seconds = perf_counter() - started
        print(f"{number + 1}/{len(paths)} {path.stem}: {len(samples)} samples ({seconds:.0f} s)", flush=True)
    facts = {"engine": interpreter_version(), "python": sys.version.split()[0], "golden": golden}
    np.savez(output, facts=np.array(json.dumps(facts)), **arrays)


def samples_of(bundle: Bundle, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """`(n, n_channels)` samples and `(n,)` times of a recording, as `edge-ad run` reads them."""
    manifest = bundle.manifest
    columns = [channel.name for channel in manifest.channels]
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        rows = list(CsvLines(file, manifest.input, columns, name=path.name, strict=True))
    return np.array([row.values for row in rows]), np.array([row.time for row in rows])


def replayed(bundle: Bundle, name: str) -> list[dict[str, object]]:
    """What `edge-ad verify` finds for the engine in use: a record for every variant."""
    records: list[dict[str, object]] = []
    for test in replay_on_interpreters(bundle, [engine_in_use()]):
        passed = {result.variant: result for result in test.results}
        for entry in bundle.manifest.variants:
            result = passed.get(entry.name)
            records.append(
                {
                    "bundle": name,
                    "engine": test.interpreter.split()[0],
                    "variant": entry.name,
                    "passed": result is not None and result.passed,
                    "text": result.text() if result else test.problem,
                }
            )
    return records


if __name__ == "__main__":
    main()
