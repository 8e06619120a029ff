"""Small autoencoders of three kinds beside each other, by the seed notebook's protocol on SKAB.

For every model, activation and seed: one network per recording, trained on its first 400 rows, as a build
does it; judged in its int8 form on the rows after them. The UCL is the protocol's. Rows of all recordings are
counted together, so that a seed gives one F1 per rule. What is there already is not measured again.

Usage: compare_autoencoders.py SKAB_FOLDER OUTPUT_FOLDER [SEEDS]

OUTPUT_FOLDER gets a JSON file for each seed of each network, and `table.md` with medians and spreads.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle.codec import encode
from edge_ad.detect.rules import AlarmRule
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.runtime.numpy_engine.model import NumpyModel
from edge_ad.runtime.window_model import WindowModel
from edge_ad.toolchain.convert.converter import ConvertedModel, convert
from edge_ad.toolchain.convert.explain import explain_tflite
from edge_ad.toolchain.datasets.formats import SKAB
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.parity import RULES, decide
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.settings import BuildSettings, TrainingSettings
from edge_ad.toolchain.stacked import TrainingJob, train_jobs
from edge_ad.toolchain.train import TrainedModel, initial_weights
from edge_ad.toolchain.workspace import BuildPlan

GROUPS = ("valve1", "valve2", "other")
MODELS = ("tiny", "conv", "dense")
ACTIVATIONS = ("relu", "tanh")
_ROUNDS, _WINDOWS = 9, 300


@dataclass(frozen=True)
class Network:
    """What is trained with every seed."""

    model: str
    activation: str

    @property
    def name(self) -> str:
        """For people, and for files."""
        return f"{self.model}-{self.activation}"

    def plan(self, seed: int) -> BuildPlan:
        """A build of it by the seed notebook's protocol."""
        training = TrainingSettings(seed=seed)
        return BuildPlan(
            SKAB,
            BuildSettings(models=(self.model,), activation=self.activation, training=training),  # type: ignore[arg-type]  # a literal
            (),
        )


def main() -> None:
    """Measure what is missing, write it, print the table."""
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    output.mkdir(parents=True, exist_ok=True)
    paths = [(group, path) for group in GROUPS for path in sorted((folder / group).glob("*.csv"))]
    recordings = [read_recording(path, SKAB, f"{group}-{path.stem}") for group, path in paths]
    networks = [Network(model, activation) for activation in ACTIVATIONS for model in MODELS]
    for seed in range(seeds):
        for network in networks:
            file = output / f"{network.name}-{seed}.json"
            if not file.exists():
                record = measure(network, seed, recordings, output)
                file.write_text(json.dumps(record, indent=1))
                print(f"{network.name} seed {seed}: {record['seconds']:.0f} s, {record['rules']}", flush=True)
    speed = replay_times(networks, recordings[0], output)
    (output / "replay.json").write_text(json.dumps({"machine": encode(machine_facts()), "us": speed}))
    table = "\n".join(rows_of_table(networks, seeds, speed, output))
    (output / "table.md").write_text(table + "\n")
    print(table)


def measure(network: Network, seed: int, recordings: list[Recording], output: Path) -> dict[str, Any]:
    """Train a network for every recording, and judge all of them."""
    start = time.perf_counter()
    plan = network.plan(seed)
    prepared = [prepare(recording, plan) for recording in recordings]
    architecture, settings = plan.architecture(network.model), plan.settings.training
    jobs = [
        TrainingJob(p.windows[p.fit], initial_weights(architecture, seed, p.recording.sha256))
        for p in prepared
    ]
    trained = train_jobs(architecture, jobs, settings)
    totals = {rule: Confusion() for rule in RULES}
    assets = []
    for place, (found, result) in enumerate(zip(prepared, trained, strict=True)):
        if not isinstance(result, TrainedModel):
            raise result
        converted = convert(architecture, result.weights, "int8")
        if seed == place == 0:
            (output / f"{network.name}.tflite").write_bytes(converted.content)
        counts = judge(found, converted, plan)
        for rule in RULES:
            totals[rule] += counts[rule]
        assets.append(
            {
                "asset": found.recording.name,
                "epochs": len(result.losses),
                "validation_loss": min(result.validation_losses),
                "rules": {rule: encode(counts[rule]) for rule in RULES},
            }
        )
    explained = explain_tflite(converted.content)
    return {
        "schema": "1.0",
        "machine": encode(machine_facts()),
        "network": encode(network),
        "seed": seed,
        "parameters": architecture.n_parameters,
        "size_bytes": len(converted.content),
        "multiply_adds": explained.multiply_adds,
        "seconds": time.perf_counter() - start,
        "rules": {
            rule: {name: getattr(total, name) for name in ("f1", "far", "mar")}
            for rule, total in totals.items()
        },
        "assets": assets,
    }


def judge(prepared: Prepared, converted: ConvertedModel, plan: BuildPlan) -> dict[str, Confusion]:
    """Alarms of a converted network on its recording's test rows, by both rules."""
    settings, recording = plan.settings, prepared.recording
    model = WindowModel(converted.content, prepared.scaler, settings.score, stateful=converted.stateful)
    scores = np.full(len(prepared.windows), np.nan)
    finite = np.flatnonzero(prepared.finite)
    scores[finite] = model.scores_scaled(np.ascontiguousarray(prepared.windows[finite]))
    rule = AlarmRule(settings.limit.limit(scores[prepared.limit], plan.sampling), settings.alarm.k)
    alarms = decide(
        scores,
        prepared.whole,
        rule,
        window_length=settings.window_length,
        tested=recording.tested,
    )
    labels = recording.labels[recording.tested]  # type: ignore[index]  # SKAB has labels
    return {name: confusion(labels, alarms[name]) for name in RULES}


def replay_times(networks: list[Network], recording: Recording, output: Path) -> dict[str, dict[str, float]]:
    """Microseconds per window of a replay, by engine and network: they take turns, the best round counts."""
    windows = np.ascontiguousarray(prepare(recording, networks[0].plan(0)).windows[:_WINDOWS])
    engines: dict[str, dict[str, Any]] = {"ai-edge-litert": {}, "numpy": {}}
    for network in networks:
        content = (output / f"{network.name}.tflite").read_bytes()
        engines["ai-edge-litert"][network.name] = ReconstructionModel(
            content, stateful=network.model == "tiny"
        )
        engines["numpy"][network.name] = NumpyModel(content)
    best: dict[str, dict[str, float]] = {engine: defaultdict(lambda: float("inf")) for engine in engines}
    for _ in range(_ROUNDS):
        for engine, models in engines.items():
            for name, model in models.items():
                start = time.perf_counter_ns()
                for window in windows:
                    model.reconstruct(window)
                took = (time.perf_counter_ns() - start) / 1000 / len(windows)
                best[engine][name] = min(best[engine][name], took)
    return best


def rows_of_table(
    networks: list[Network], seeds: int, speed: dict[str, dict[str, float]], output: Path
) -> Iterator[str]:
    """The table of docs/autoencoders.md."""
    yield (
        "| model | leaderboard F1 | FAR / MAR % | streaming F1 | FAR / MAR % | parameters | int8 bytes "
        "| multiply-adds | replay / tiny, ai-edge-litert | numpy |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for network in networks:
        records = [json.loads((output / f"{network.name}-{seed}.json").read_text()) for seed in range(seeds)]
        cells = [f"{network.model}, {network.activation}"]
        for rule in ("leaderboard", "streaming"):
            found = [record["rules"][rule] for record in records]
            f1 = [entry["f1"] for entry in found]
            cells.append(f"{statistics.median(f1):.3f} ({min(f1):.3f}–{max(f1):.3f})")
            far, mar = (100 * statistics.median(entry[name] for entry in found) for name in ("far", "mar"))
            cells.append(f"{far:.1f} / {mar:.1f}")
        last = records[-1]
        cells += [f"{last[key]:,}" for key in ("parameters", "size_bytes", "multiply_adds")]
        for times in speed.values():
            cells.append(f"{times[network.name] / times[f'tiny-{network.activation}']:.2f}")
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
