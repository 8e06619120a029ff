"""Choosing a form by measuring: which one is faster on this machine, and is it worth its size?"""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns

import numpy as np

from edge_ad.bundle.manifest import FormEntry
from edge_ad.runtime.interpreter import ReconstructionModel

WORTH_ITS_SIZE = 0.9
"""The larger form is taken where it needs at most this share of the smaller one's time."""
_ROUNDS, _INVOKES = 5, 200


def measure_forms(models: dict[str, tuple[bytes, bool]]) -> tuple[FormEntry, ...]:
    """Time the bare invoke of models by form; each is its bytes and whether it is stateful.

    The forms take turns, so that a busy moment of the machine meets them all; the best round counts.
    """
    loaded = {name: ReconstructionModel(c, stateful=stateful) for name, (c, stateful) in models.items()}
    invokes = {name: m.bare_invoke(np.zeros(m.shape, np.float32)) for name, m in loaded.items()}
    rounds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(_ROUNDS):
        for name, invoke in invokes.items():
            times = []
            for _ in range(_INVOKES):
                start = perf_counter_ns()
                invoke()
                times.append(perf_counter_ns() - start)
            rounds[name].append(median(times) / 1000)
    return tuple(FormEntry(name, len(models[name][0]), min(rounds[name])) for name in models)


def choose_form(measured: tuple[FormEntry, ...]) -> str:
    """The fastest form that is worth its size: from the smallest on, a larger one must be much faster."""
    chosen, *others = sorted(measured, key=lambda entry: entry.size_bytes)
    for other in others:
        if other.invoke_p50_us <= WORTH_ITS_SIZE * chosen.invoke_p50_us:
            chosen = other
    return chosen.form
