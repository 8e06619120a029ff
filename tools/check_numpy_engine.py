"""The numpy engine against the TFLite interpreter on every window of a finished build's recordings.

For each converted form: the largest difference of a score between the two, relative to the score or the
control limit, whichever is larger, over the windows that score up to ten times the limit and over all of
them (a relu network amplifies rounding far from what it was trained on; docs/conversion.md); how many of
the former differ by more than 1e-5; how far both are from the network in float64; how many windows are the
same to the bit; how many exceed the limit in one engine only; and what a window takes, measured in turns.
Both engines are held against the limit that the interpreter's scores give. Windows are scored as the build
scores them, or by the network's errors where no head looks at these.

Usage: check_numpy_engine.py BUILD_FOLDER [--assets N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from network_scoring import network_scoring
from numpy.typing import NDArray

from edge_ad.bench.machine import machine_facts
from edge_ad.bench.turns import take_turns
from edge_ad.bundle.codec import encode
from edge_ad.runtime.engine import Engine
from edge_ad.runtime.interpreter import ReconstructionModel, interpreter_version
from edge_ad.runtime.numpy_engine.model import NumpyModel
from edge_ad.toolchain.architecture import Weights, load_weights
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.oracle import reconstruct, window_scores
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.records import Records
from edge_ad.toolchain.workspace import AssetSource, BuildPlan, Workspace

FORMS = {
    "compact float32": ("float32", "size"),
    "compact int8": ("int8", "size"),
    "fast float32": ("float32", "speed"),
    "fast int8": ("int8", "speed"),
    "int8-full": ("int8-full", "size"),
}
NEAR = 10.0
"""Times the control limit."""
AGREED = 1e-5
"""What float32 forms are to agree within."""
Scores = NDArray[np.float64]


@dataclass
class Form:
    """What was found for one form of one model."""

    name: str
    windows: int = 0
    near: float = 0.0
    """Largest difference of a score up to `NEAR` times the limit."""
    all: float = 0.0
    above: int = 0
    """Windows up to `NEAR` times the limit that differ by more than `AGREED`."""
    interpreter_error: float = 0.0
    """Largest difference from float64, of scores up to `NEAR` times the limit."""
    numpy_error: float = 0.0
    same: int = 0
    """Windows whose reconstruction is the same to the bit."""
    exceedances: int = 0
    """Windows that exceed the limit, in the interpreter."""
    differing: int = 0
    """Windows that exceed it in one engine only."""
    interpreter_ns: list[int] = field(default_factory=list)
    numpy_ns: list[int] = field(default_factory=list)

    def add(self, theirs: Scores, ours: Scores, exact: Scores, ucl: float) -> None:
        """Count the scores of one recording."""
        scale, near = np.maximum(theirs, ucl), theirs <= NEAR * ucl
        differences = np.abs(ours - theirs) / scale
        self.windows += len(theirs)
        self.near = max(self.near, float(differences[near].max(initial=0)))
        self.all = max(self.all, float(differences.max(initial=0)))
        self.above += int((differences[near] > AGREED).sum())
        for name, scores in (("interpreter_error", theirs), ("numpy_error", ours)):
            error = (np.abs(scores - exact) / scale)[near].max(initial=0)
            setattr(self, name, max(getattr(self, name), float(error)))
        self.exceedances += int((theirs > ucl).sum())
        self.differing += int(((theirs > ucl) != (ours > ucl)).sum())

    def row(self) -> str:
        """A line of the table."""
        interpreter, numpy_ = median(self.interpreter_ns) / 1000, median(self.numpy_ns) / 1000
        return (
            f"| {self.name} | {self.near:.1e} | {self.all:.1e} | {self.above} of {self.windows} | "
            f"{self.interpreter_error:.1e} | {self.numpy_error:.1e} | {self.same / self.windows:.1%} | "
            f"{self.differing} of {self.exceedances} | {interpreter:.0f} | {numpy_:.0f} | "
            f"{numpy_ / interpreter:.1f} |"
        )


def models(
    plan: BuildPlan, prepared: Prepared, model: str, weights: Weights
) -> Iterator[tuple[str, bytes, bool]]:
    """Name, bytes and statefulness of every form of a model that the build has a precision of."""
    train = np.ascontiguousarray(prepared.windows[prepared.train])
    for form, (precision, optimize) in FORMS.items():
        if precision in plan.settings.precisions:
            made = convert(plan.architecture(model), weights, precision, optimize, train)  # type: ignore[arg-type]
            yield f"{model}, {form}", made.content, made.stateful


def reconstructions(engine: Engine, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an engine makes of each window."""
    return np.array([engine.reconstruct(window) for window in windows])


def compare(workspace: Workspace, plan: BuildPlan, asset: AssetSource, forms: dict[str, Form]) -> None:
    """Count one recording, in all forms of its models."""
    prepared = prepare(workspace.recording(plan, asset), plan)
    windows = prepared.windows[prepared.finite]
    limit = np.isin(np.flatnonzero(prepared.finite), prepared.limit)
    records = Records(workspace, plan)
    for model in plan.settings.models:
        weights = load_weights(workspace.asset_file(asset.name, f"{model}.weights.npz"))
        scoring = network_scoring(records.scoring(asset, model))
        exact = window_scores(windows, reconstruct(plan.architecture(model), weights, windows), scoring)
        for name, content, stateful in models(plan, prepared, model, weights):
            form = forms.setdefault(name, Form(name))
            engines = ReconstructionModel(content, stateful=stateful), NumpyModel(content)
            outputs = [reconstructions(engine, windows) for engine in engines]
            theirs, ours = (window_scores(windows, output, scoring) for output in outputs)
            form.add(theirs, ours, exact, plan.settings.limit.limit(theirs[limit], plan.sampling))
            form.same += int((outputs[0] == outputs[1]).all(axis=(1, 2)).sum())
            bare = {str(number): engine.bare_invoke(windows[0]) for number, engine in enumerate(engines)}
            raw = take_turns(bare, rounds=3, each=20)
            form.interpreter_ns += raw["0"]
            form.numpy_ns += raw["1"]


def main() -> None:
    """Compare, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--assets", type=int, help="only so many")
    parser.add_argument("--json", type=Path, help="write raw values and machine facts there")
    arguments = parser.parse_args()
    workspace = Workspace(arguments.build)
    plan = workspace.load_plan()
    assets = plan.assets[: arguments.assets]
    forms: dict[str, Form] = {}
    for asset in assets:
        compare(workspace, plan, asset, forms)
        print(".", end="", flush=True)
    print(f"\n{interpreter_version()}, numpy {np.__version__}, {len(assets)} recordings")
    print(
        "| form | largest difference to 10 UCL | of all | above 1e-5 | interpreter from float64 | "
        "numpy from float64 | same bits | exceed in one only | interpreter µs | numpy µs | ratio |"
    )
    print("|" + "---|" * 11)
    for form in forms.values():
        print(form.row())
    if arguments.json:
        record = {"machine": encode(machine_facts()), "forms": [vars(form) for form in forms.values()]}
        arguments.json.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
