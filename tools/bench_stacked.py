"""What training costs: the seed notebook's Keras loop, our trainer one by one, and the stack.

On the same recordings, from the same initial weights, in processor time (the machine may be busy), and with
the F1 of the leaderboard rule that comes of each. The Keras loop builds, compiles and traces a model per
file, as the notebook does. Each way has a process of its own, so that none pays for another's start.

Usage: bench_stacked.py SKAB_FOLDER [FILES] [UNITS: tiny or full]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from edge_ad.detect.rules import leaderboard_flags
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
WAYS = ("notebook", "one-by-one", "stacked")


def assets(folder: Path, count: int) -> list[Prepared]:
    """As many recordings, evenly over all of them."""
    found = [(n, p) for n, p in find_recordings(folder).items() if not n.startswith("anomaly-free")]
    chosen = [found[round(i)] for i in np.linspace(0, len(found) - 1, count)]
    return [prepare(read_recording(path, SKAB, name), PLAN) for name, path in chosen]


def judged(prepared: Prepared, predict: Callable[[Any], Any]) -> Confusion:
    """The notebook's rule on the test rows."""
    scorer = WindowScorer(*prepared.windows.shape[1:], "sum")
    outputs = predict(prepared.windows)
    scores = np.array([scorer.score(w, o)[1] for w, o in zip(prepared.windows, outputs, strict=True)])
    ucl = PLAN.settings.limit.limit(scores[prepared.train])
    tested = prepared.recording.tested
    flags = leaderboard_flags(scores[tested[: len(scores)]] > ucl, 10, int(tested.sum()))
    assert prepared.recording.labels is not None
    return confusion(prepared.recording.labels[tested], flags)


def run(way: str, folder: Path, count: int, model: str) -> dict[str, Any]:
    """Processor seconds per asset after the imports, and the F1 over all assets."""
    everything = assets(folder, count)
    shape = PLAN.architecture(model)
    initial = [initial_weights(shape, 0, p.recording.sha256) for p in everything]
    windows = [p.windows[p.train] for p in everything]
    start, results, epochs = time.process_time(), [], []
    if way == "notebook":
        keras = load_keras()
        for prepared, weights, own in zip(everything, initial, windows, strict=True):
            net = build_keras_model(shape)
            net.set_weights(weights)
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
    seconds = time.process_time() - start
    return {"way": way, "seconds_per_asset": seconds / count, "f1": reduce(add, results).f1, "epochs": epochs}


def main() -> None:
    """Run each way in a process of its own."""
    if sys.argv[1] in WAYS:
        way, folder, count, model = sys.argv[1:]
        print(json.dumps(run(way, Path(folder), int(count), model)))
        return
    folder, count, model = sys.argv[1], (sys.argv[2:3] or ["6"])[0], (sys.argv[3:4] or ["tiny"])[0]
    rows = []
    for way in WAYS:
        command = [sys.executable, __file__, way, folder, count, model]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(result.stdout.splitlines()[-1]))
        share = rows[-1]["seconds_per_asset"] / rows[0]["seconds_per_asset"]
        print(json.dumps(rows[-1] | {"share_of_notebook": round(share, 4)}), flush=True)


if __name__ == "__main__":
    main()
