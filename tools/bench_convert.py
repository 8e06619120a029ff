"""Our converted forms against the stock routes: size, latency, error, and F1 on SKAB, in one run.

Takes the trained weights of a finished build of the SKAB recordings. Windows are scored as that
build scores them, or by the network's errors where no head looks at these. Every stock conversion runs in a
process of its own, since some of them crash. Writes JSON with raw values and machine facts, and prints
the table of docs/conversion.md; `--plot` draws size against latency.

Usage: bench_convert.py BUILD_FOLDER OUTPUT.json [--assets N] [--plot FILE.png]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np
from network_scoring import network_scoring

from edge_ad.bench.machine import machine_facts
from edge_ad.bench.turns import take_turns
from edge_ad.bundle.codec import encode
from edge_ad.detect.fusion import Scoring
from edge_ad.detect.rules import leaderboard_flags
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.toolchain.architecture import Architecture, Weights, load_weights
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.oracle import reconstruct, window_scores
from edge_ad.toolchain.pool import default_jobs, run_tasks
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.records import Records
from edge_ad.toolchain.workspace import BuildPlan, Workspace

STOCK = (
    "dynamic batch",
    "WHILE",
    "unrolled",
    "unrolled, dynamic-range",
    "unrolled, int8",
    "unrolled, int16x8",
)
OURS = {
    "compact float32": ("float32", "size"),
    "compact int8": ("int8", "size"),
    "fast float32": ("float32", "speed"),
    "fast int8": ("int8", "speed"),
    "int8-full": ("int8-full", "size"),
}


@dataclass(frozen=True)
class Job:
    """One model of one asset, converted one way."""

    build: Path
    model: str
    asset: int
    route: str


@dataclass(frozen=True)
class Loaded:
    """What a job takes from the build."""

    plan: BuildPlan
    architecture: Architecture
    weights: Weights
    prepared: Prepared
    scoring: Scoring


def load(job: Job) -> Loaded:
    """Raises ConfigurationError, DataError."""
    workspace = Workspace(job.build)
    plan = workspace.load_plan()
    asset = plan.assets[job.asset]
    weights = load_weights(workspace.asset_file(asset.name, f"{job.model}.weights.npz"))
    prepared = prepare(workspace.recording(plan, asset), plan)
    scoring = network_scoring(Records(workspace, plan).scoring(asset, job.model))
    return Loaded(plan, plan.architecture(job.model), weights, prepared, scoring)


def convert_one(job: Job) -> bytes:
    """The `.tflite` bytes of a job."""
    loaded = load(job)
    architecture, weights, prepared = loaded.architecture, loaded.weights, loaded.prepared
    train = np.ascontiguousarray(prepared.windows[prepared.train])
    if job.route in OURS:
        precision, optimize = OURS[job.route]
        return convert(architecture, weights, precision, optimize, train).content  # type: ignore[arg-type]
    return stock(architecture, weights, train, job.route)


def stock(architecture: Any, weights: Any, train: Any, route: str) -> bytes:
    """What the documentation of TensorFlow has one write."""
    from edge_ad.toolchain.tensorflow import load_keras, load_tensorflow

    tf, layers = load_tensorflow(), load_keras().layers
    steps, channels, units = architecture.window_length, architecture.n_channels, architecture.encoder[0]
    unroll = route.startswith("unrolled")
    batch = None if route == "dynamic batch" else 1
    inputs = layers.Input((steps, channels), batch_size=batch)
    activation = architecture.activation
    x = layers.LSTM(units, activation=activation, unroll=unroll)(inputs)
    x = layers.RepeatVector(steps)(x)
    x = layers.LSTM(units, activation=activation, return_sequences=True, unroll=unroll)(x)
    model = load_keras().Model(inputs, layers.TimeDistributed(layers.Dense(channels))(x))
    model.set_weights(weights)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if route != "unrolled" and unroll:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if route.endswith(("int8", "int16x8")):
        converter.representative_dataset = lambda: ([window[None]] for window in train)
    if route.endswith(", int8"):
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if route.endswith("int16x8"):
        kind = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [kind]
    content: bytes = converter.convert()
    return content


def work(job: Job) -> tuple[bytes, float, Confusion]:
    """The file, its largest score error on training windows, and its alarms counted against the labels."""
    content = convert_one(job)
    loaded = load(job)
    architecture, weights, prepared = loaded.architecture, loaded.weights, loaded.prepared
    model = ReconstructionModel(content, stateful=job.route.startswith("compact"))
    windows = prepared.windows
    outputs = np.array([model.reconstruct(window) for window in windows])
    scores = window_scores(windows, outputs, loaded.scoring)
    train = windows[prepared.train]
    exact = window_scores(train, reconstruct(architecture, weights, train), loaded.scoring)
    error = float((np.abs(scores[prepared.train] - exact) / exact).max())
    n_train = prepared.recording.train_rows
    ucl = loaded.plan.settings.limit.limit(scores[prepared.limit], loaded.plan.sampling)
    labels = prepared.recording.labels[n_train:]
    flags = leaderboard_flags(scores[n_train:] > ucl, architecture.window_length, len(labels))
    return content, error, confusion(labels, flags)


def latencies(models: dict[str, bytes], rounds: int = 5, invokes: int = 400) -> dict[str, list[int]]:
    """Raw nanoseconds of the bare invoke; the models take turns."""
    ready = {
        name: ReconstructionModel(content, stateful=name.startswith("compact"))
        for name, content in models.items()
    }
    bare = {name: model.bare_invoke(np.zeros(model.shape, np.float32)) for name, model in ready.items()}
    return take_turns(bare, rounds=rounds, each=invokes)


def keras_latency(architecture: Any, weights: Any, windows: int = 40) -> list[int]:
    """Raw nanoseconds of Keras `predict` on one window."""
    from edge_ad.toolchain.train import build_keras_model

    model = build_keras_model(architecture)
    model.set_weights(weights)
    window = np.zeros((1, architecture.window_length, architecture.n_channels), np.float32)
    raw = []
    for _ in range(windows + 3):
        start = perf_counter_ns()
        model.predict(window, verbose=0)
        raw.append(perf_counter_ns() - start)
    return raw[3:]


def measure(build: Path, model: str, n_assets: int) -> list[dict[str, Any]]:
    """One row per route for one model."""
    routes = [*STOCK, *OURS]
    # A route that fails on the first asset fails on all of them: only one try for those.
    first = [Job(build, model, 0, route) for route in routes]
    found: dict[str, list[Any]] = {route: [] for route in routes}
    problems: dict[str, str] = {}

    def run(jobs: list[Job]) -> None:
        for outcome in run_tasks(work, jobs, jobs=default_jobs(), time_limit_s=600, describe=str):
            if outcome.error is not None or outcome.result is None:
                problems[outcome.task.route] = str(outcome.error).rpartition(": ")[2]
            else:
                found[outcome.task.route].append((outcome.task.asset, *outcome.result))
            print(".", end="", flush=True)

    run_safely(run, first, problems)
    rest = [Job(build, model, i, r) for i in range(1, n_assets) for r in routes if r not in problems]
    run(rest)
    print()
    files = {route: next(row[1] for row in rows if row[0] == 0) for route, rows in found.items() if rows}
    raw = latencies(files)
    loaded = load(Job(build, model, 0, ""))
    architecture, weights = loaded.architecture, loaded.weights
    raw["Keras predict"] = keras_latency(architecture, weights)
    table = []
    for route in ["Keras predict", *routes]:
        rows = found.get(route, [])
        counts = sum((row[3] for row in rows), Confusion())
        table.append(
            {
                "model": model,
                "route": route,
                "ours": route in OURS,
                "problem": problems.get(route),
                "size_bytes": len(files[route]) if route in files else None,
                "max_score_error": max((row[2] for row in rows), default=None),
                "f1": counts.f1,
                "raw_ns": raw.get(route, []),
            }
        )
    return table


def run_safely(run: Any, jobs: list[Job], problems: dict[str, str]) -> None:
    """The first try of each route on its own: what the stock converter raises is a finding, not an end."""
    for job in jobs:
        try:
            run([job])
        except Exception as error:  # noqa: BLE001  whatever it raises is what is reported
            problems[job.route] = f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:200]}"


def readable(problem: str) -> str:
    """A converter's error in a few words, for a cell of the table; the record holds it as it was."""
    known = {"tensor list": "lowering of tensor lists", "flex": "needs Flex operators"}
    return "fails: " + next((why for part, why in known.items() if part in problem.lower()), problem)


def show(table: list[dict[str, Any]]) -> None:
    """The table of docs/conversion.md."""
    for model in dict.fromkeys(row["model"] for row in table):
        rows = {row["route"]: row for row in table if row["model"] == model}
        reference = median(rows["unrolled"]["raw_ns"])
        print(f"| {model} | KB | p50 µs | p99 µs | against unrolled | max score error, training | F1 |")
        print("|---|---|---|---|---|---|---|")
        for route, row in rows.items():
            name = f"**{route}**" if row["ours"] else f"stock, {route}" if route in STOCK else route
            if row["problem"]:
                print(f"| {name} | – | – | – | – | – | {readable(row['problem'])} |")
                continue
            raw = row["raw_ns"]
            size = f"{row['size_bytes'] / 1000:.1f}" if row["size_bytes"] else "–"
            error = "–" if row["max_score_error"] is None else f"{row['max_score_error']:.1e}"
            f1 = "–" if row["f1"] is None else f"{row['f1']:.4f}"
            p50, p99 = median(raw) / 1000, np.percentile(raw, 99) / 1000
            ratio = median(raw) / reference
            print(f"| {name} | {size} | {p50:.1f} | {p99:.1f} | {ratio:.2f} | {error} | {f1} |")
        print()


def plot(table: list[dict[str, Any]], path: Path) -> None:
    """Size against latency."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    models = list(dict.fromkeys(row["model"] for row in table))
    figure, axes = plt.subplots(
        1, len(models), figsize=(6.5 * len(models), 6), layout="constrained", squeeze=False
    )
    for axis, model in zip(axes[0], models, strict=True):
        drawn = [row for row in table if row["model"] == model and row["size_bytes"]]
        drawn.sort(key=lambda row: row["size_bytes"])
        for index, row in enumerate(drawn):
            x, y = median(row["raw_ns"]) / 1000, row["size_bytes"] / 1000
            marker, colour = ("o", "tab:green") if row["ours"] else ("x", "tab:gray")
            axis.plot(x, y, marker, color=colour, markersize=8)
            name = row["route"] if row["ours"] else f"stock: {row['route']}"
            # Neighbours in size are labelled on different sides, so that their names do not meet.
            side, at = (("left", (9, -4)), ("right", (-9, -4)))[index % 2]
            axis.annotate(name, (x, y), at, textcoords="offset points", fontsize=9, ha=side)
        axis.set(xscale="log", yscale="log", title=model, xlabel="µs per window (median)", ylabel="KB")
        axis.margins(0.35)
        axis.grid(alpha=0.3, which="both")
        for side_axis in (axis.xaxis, axis.yaxis):
            side_axis.set_major_formatter("{x:g}")
            side_axis.set_minor_formatter("")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--assets", type=int, default=34)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    plan = Workspace(arguments.build).load_plan()
    n_assets = min(arguments.assets, len(plan.assets))
    models = sorted(plan.settings.models, reverse=True)  # tiny before full
    table = [row for model in models for row in measure(arguments.build, model, n_assets)]
    record = {"schema": "1.0", "machine": encode(machine_facts()), "assets": n_assets, "rows": table}
    arguments.output.write_text(json.dumps(record))
    show(table)
    if arguments.plot:
        plot(table, arguments.plot)


if __name__ == "__main__":
    main()
