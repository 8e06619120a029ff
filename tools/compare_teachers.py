"""The tiny autoencoder on SKAB with and without teachers: does its F1 depend less on the seed?

By the seed notebook's protocol, one network per recording, judged in its int8 form as compare_autoencoders.py
does. The network with teachers starts from the same initial weights as the one without. What is there already
is not measured again.

Usage: compare_teachers.py SKAB_FOLDER OUTPUT_FOLDER [SEEDS [TEACHERS [EVERY]]]

EVERY: 1 of so many recordings; 1, the default, is all of them.

OUTPUT_FOLDER gets a JSON file for each seed, with and without; the table goes to standard output.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from compare_autoencoders import GROUPS, judge

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle.codec import encode
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.datasets.formats import SKAB
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.distill import train_networks
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.parity import RULES
from edge_ad.toolchain.preparation import prepare
from edge_ad.toolchain.settings import BuildSettings, TrainingSettings
from edge_ad.toolchain.train import TrainedModel, trainer_for
from edge_ad.toolchain.workspace import BuildPlan


def main() -> None:
    """Measure what is missing, write it, print the table."""
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    teachers = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    every = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    output.mkdir(parents=True, exist_ok=True)
    paths = [(group, path) for group in GROUPS for path in sorted((folder / group).glob("*.csv"))][::every]
    recordings = [read_recording(path, SKAB, f"{group}-{path.stem}") for group, path in paths]
    for seed in range(seeds):
        for n in (0, teachers):
            file = output / f"{n}-{seed}.json"
            if not file.exists():
                record = measure(TrainingSettings(seed=seed, teachers=n), recordings)
                file.write_text(json.dumps(record, indent=1))
                told = {rule: round(found["f1"], 4) for rule, found in record["rules"].items()}
                print(f"{n} teachers, seed {seed}: {record['seconds']:.0f} s, F1 {told}", file=sys.stderr)
    print("| teachers | rule | F1 of the seeds | mean | standard deviation | range | mean FAR / MAR % |")
    print("|---|---|---|---|---|---|---|")
    for n in (0, teachers):
        records = [json.loads((output / f"{n}-{seed}.json").read_text()) for seed in range(seeds)]
        for rule in RULES:
            print(row(n, rule, [record["rules"][rule] for record in records]))


def measure(training: TrainingSettings, recordings: list[Recording]) -> dict[str, Any]:
    """Train a network for every recording, and judge all of them."""
    start = time.perf_counter()
    plan = BuildPlan(SKAB, BuildSettings(models=("tiny",), training=training), ())
    prepared = [prepare(recording, plan) for recording in recordings]
    architecture = plan.architecture("tiny")
    trainer = trainer_for(architecture, training.batch_size, training.kernel_l2)
    windows = [found.windows[found.fit] for found in prepared]
    digests = [recording.sha256 for recording in recordings]
    totals = {rule: Confusion() for rule in RULES}
    for found, result in zip(
        prepared, train_networks(trainer, architecture, windows, training, digests), strict=True
    ):
        if not isinstance(result, TrainedModel):
            raise result
        counts = judge(found, convert(architecture, result.weights, "int8"), plan)
        for rule in RULES:
            totals[rule] += counts[rule]
    return {
        "schema": "1.0",
        "machine": encode(machine_facts()),
        "training": encode(training),
        "seconds": time.perf_counter() - start,
        "rules": {
            rule: {name: getattr(totals[rule], name) for name in ("f1", "far", "mar")} for rule in RULES
        },
    }


def row(teachers: int, rule: str, found: list[dict[str, float]]) -> str:
    """A line of the table."""
    f1 = [entry["f1"] for entry in found]
    far, mar = (100 * statistics.mean(entry[name] for entry in found) for name in ("far", "mar"))
    each = " ".join(f"{value:.3f}".removeprefix("0") for value in f1)
    cells = [str(teachers or "none"), rule, each, f"{statistics.mean(f1):.3f}", f"{statistics.stdev(f1):.4f}"]
    return f"| {' | '.join([*cells, f'{max(f1) - min(f1):.3f}', f'{far:.1f} / {mar:.1f}'])} |"


if __name__ == "__main__":
    main()
