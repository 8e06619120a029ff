"""What training costs: the seed notebook's Keras loop, our trainer one by one, and the stack; and what of
a model is left to chance by the choice between them.

On the same recordings, from the same initial weights, in processor time (the machine may be busy), and with
the F1 of the leaderboard rule that comes of each. The Keras loop builds, compiles and traces a model per
file, as the notebook does. Each way has a process of its own, so that none pays for another's start; several
rounds take turns. Then each of two ways is held against the other: weights, limits, and decisions row by row,
under the leaderboard's rule and in the stream.

Usage: bench_stacked.py SKAB_FOLDER [FILES] [UNITS: tiny or full] [ROUNDS]
       bench_stacked.py steps UNITS     milliseconds per asset and step, by the number of assets side by side
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import add
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.rules import AlarmRule, leaderboard_flags
from edge_ad.detect.score import WindowScorer
from edge_ad.toolchain.datasets.discover import find_recordings
from edge_ad.toolchain.datasets.formats import SKAB
from edge_ad.toolchain.datasets.recording import read_recording
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.settings import BuildSettings, TrainingSettings
from edge_ad.toolchain.stacked import TrainingJob, stacked_trainer_for
from edge_ad.toolchain.tensorflow import load_keras
from edge_ad.toolchain.train import build_keras_model, initial_weights, trainer_for
from edge_ad.toolchain.workspace import BuildPlan

SETTINGS = TrainingSettings(keep="last")  # the notebook keeps the last epoch's weights
PLAN = BuildPlan(SKAB, BuildSettings(training=SETTINGS), ())
PLAN_WINDOW = (PLAN.settings.window_length, len(SKAB.channels))
WAYS = ("notebook", "one-by-one", "stacked")


def assets(folder: Path, count: int) -> list[Prepared]:
    """As many recordings, evenly over all of them."""
    found = [(n, p) for n, p in find_recordings(folder).items() if not n.startswith("anomaly-free")]
    chosen = [found[round(i)] for i in np.linspace(0, len(found) - 1, count)]
    return [prepare(read_recording(path, SKAB, name), PLAN) for name, path in chosen]


@dataclass(frozen=True)
class Judged:
    """A trained model on the test rows of its recording."""

    counts: Confusion
    """Of the notebook's rule."""
    ucl: float
    flags: NDArray[np.bool_]
    """By the notebook's rule, a test row each."""
    alarms: NDArray[np.bool_]
    """In the stream, a row each from that on which the first window ends."""


def judged(prepared: Prepared, predict: Callable[[Any], Any]) -> Judged:
    """Score all windows and decide by both rules."""
    scorer = WindowScorer(*prepared.windows.shape[1:], "sum")
    outputs = predict(prepared.windows)
    scores = np.array([scorer.score(w, o)[1] for w, o in zip(prepared.windows, outputs, strict=True)])
    ucl = PLAN.settings.limit.limit(scores[prepared.train])
    tested = prepared.recording.tested
    flags = leaderboard_flags(scores[tested[: len(scores)]] > ucl, 10, int(tested.sum()))
    rule = AlarmRule(ucl, PLAN.settings.alarm.k)
    assert prepared.recording.labels is not None
    counts = confusion(prepared.recording.labels[tested], flags)
    return Judged(counts, ucl, flags, np.array([rule.update(float(score)) for score in scores]))


def run(way: str, folder: Path, count: int, model: str, kept: Path) -> dict[str, Any]:
    """Processor seconds per asset after the imports, and the F1 over all assets; the models go to `kept`."""
    everything = assets(folder, count)
    shape = PLAN.architecture(model)
    initial = [initial_weights(shape, 0, p.recording.sha256) for p in everything]
    windows = [p.windows[p.train] for p in everything]
    start, results, epochs = time.process_time(), list[Judged](), []
    weights: list[Any] = []
    if way == "notebook":
        keras = load_keras()
        for prepared, first, own in zip(everything, initial, windows, strict=True):
            net = build_keras_model(shape)
            net.set_weights(first)
            net.compile(optimizer="adam", loss="mae", metrics=["mse"])
            stopping = keras.callbacks.EarlyStopping(patience=5)
            history = net.fit(
                own,
                own,
                validation_split=0.1,
                epochs=100,
                batch_size=32,
                shuffle=False,
                callbacks=[stopping],
                verbose=0,
            )
            epochs.append(len(history.history["loss"]))
            results.append(judged(prepared, lambda w, net=net: net.predict(w, verbose=0)))
            weights.append(net.get_weights())
            keras.backend.clear_session()
    else:
        trainer = trainer_for(shape, 32)
        if way == "stacked":
            jobs = [TrainingJob(w, i) for w, i in zip(windows, initial, strict=True)]
            trained = stacked_trainer_for(shape, 32).fit(jobs, SETTINGS)
        else:
            trained = [trainer.fit(w, SETTINGS, i) for w, i in zip(windows, initial, strict=True)]
        for prepared, result in zip(everything, trained, strict=True):
            epochs.append(len(result.losses))
            results.append(judged(prepared, lambda w, r=result: trainer.reconstruct(r.weights, w)))
            weights.append(result.weights)
    seconds = time.process_time() - start
    counts = reduce(add, (result.counts for result in results))
    np.savez(
        kept / f"{way}.npz",
        weights=np.array([np.concatenate([np.ravel(w) for w in each]) for each in weights]),
        ucl=np.array([result.ucl for result in results]),
        flags=np.concatenate([result.flags for result in results]),
        alarms=np.concatenate([result.alarms for result in results]),
        epochs=np.array(epochs),
    )
    return {"way": way, "seconds_per_asset": seconds / count, "f1": counts.f1, "epochs": epochs}


def compared(kept: Path, first: str, second: str) -> dict[str, Any]:
    """How far the models of two ways lie apart."""
    with np.load(kept / f"{first}.npz") as ours, np.load(kept / f"{second}.npz") as theirs:
        apart = np.abs(ours["weights"] - theirs["weights"]).max(axis=1)
        same = ours["epochs"] == theirs["epochs"]
        return {
            "compared": [first, second],
            "same_epochs": f"{same.sum()} of {len(same)}",
            "largest_weight_difference": float(apart.max()),
            "of_those_with_the_same_epochs": float(apart[same].max()) if same.any() else None,
            "largest_relative_limit_difference": float(np.abs(ours["ucl"] / theirs["ucl"] - 1).max()),
            "equal_rows_leaderboard": float((ours["flags"] == theirs["flags"]).mean()),
            "equal_rows_stream": float((ours["alarms"] == theirs["alarms"]).mean()),
            "rows": [len(ours["flags"]), len(ours["alarms"])],
        }


def steps(model: str) -> dict[str, Any]:
    """Milliseconds of processor time per asset and step of 32 windows, of ten epochs, everything traced."""
    settings, shape = replace(SETTINGS, epochs=10, patience=10), PLAN.architecture(model)
    windows = np.random.default_rng(0).standard_normal((391, *PLAN_WINDOW)).astype(np.float32)
    job = TrainingJob(windows, initial_weights(shape, 0, "0"))
    alone, stack = trainer_for(shape, 32), stacked_trainer_for(shape, 32)
    ways: dict[str, Callable[[TrainingSettings], object]] = {
        "one by one": lambda given: alone.fit(windows, given, job.initial),
        **{f"{n} side by side": lambda given, n=n: stack.fit([job] * n, given) for n in (2, 4, 8, 16)},
    }
    n_steps = 10 * -(-int(len(windows) * (1 - settings.validation_share)) // 32)
    found = {}
    for name, fit in ways.items():
        fit(replace(settings, epochs=1))
        start = time.process_time()
        fit(settings)
        assets = int(name.split()[0]) if name[0].isdigit() else 1
        found[name] = round(1000 * (time.process_time() - start) / n_steps / assets, 2)
    return {"model": model, "ms_per_asset_and_step": found}


def main() -> None:
    """Run each way in a process of its own."""
    if sys.argv[1] == "steps":
        print(json.dumps(steps(sys.argv[2])))
        return
    if sys.argv[1] in WAYS:
        way, folder, count, model, kept = sys.argv[1:]
        print(json.dumps(run(way, Path(folder), int(count), model, Path(kept))))
        return
    folder, count, model, rounds = (*sys.argv[1:], *("6", "tiny", "1")[len(sys.argv) - 2 :])
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as kept:
        for _ in range(int(rounds)):
            for way in WAYS:
                command = [sys.executable, __file__, way, folder, count, model, kept]
                result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(result.stdout.splitlines()[-1])
                seconds[way].append(found["seconds_per_asset"])
                print(json.dumps(found), flush=True)
        for way in WAYS:
            shares = [ours / theirs for ours, theirs in zip(seconds[way], seconds["notebook"], strict=True)]
            facts = {"way": way, "median_seconds_per_asset": round(median(seconds[way]), 3)}
            print(json.dumps(facts | {"median_share_of_notebook": round(median(shares), 4)}), flush=True)
        for first, second in combinations(WAYS, 2):
            print(json.dumps(compared(Path(kept), first, second)), flush=True)


if __name__ == "__main__":
    main()
