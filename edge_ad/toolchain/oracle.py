"""The autoencoder in float64 numpy, written to be read: what every converted form is compared with.

Independent of Keras, of TensorFlow and of the graphs that are written for devices. Formulas: Hochreiter and
Schmidhuber 1997 with forget gates (Gers et al. 2000), in Keras's gate order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.fusion import Scoring
from edge_ad.detect.heads import Heads
from edge_ad.toolchain.architecture import (
    Architecture,
    LstmArchitecture,
    PatchArchitecture,
    Weights,
    lstm_layers,
    patch_layers,
)
from edge_ad.toolchain.head_oracle import fused_scores

Array = NDArray[np.floating]
Function = Callable[[Array], Array]
_ACTIVATIONS: dict[str, Function] = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}


def logistic(x: Array) -> Array:
    """The logistic function, in the form that does not overflow."""
    result: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return result


class Trace:
    """Largest and smallest value that every quantity inside the network took."""

    def __init__(self) -> None:
        self.low: dict[str, float] = defaultdict(float)
        self.high: dict[str, float] = defaultdict(float)

    def note(self, name: str, values: Array) -> None:
        """Widen the range of `name`; every range contains zero."""
        self.low[name] = min(self.low[name], float(values.min()))
        self.high[name] = max(self.high[name], float(values.max()))


def reconstruct(
    architecture: Architecture,
    weights: Weights,
    windows: NDArray[np.floating],
    trace: Trace | None = None,
    dtype: type[np.floating] = np.float64,
    sigmoid: Function = logistic,
) -> Array:
    """Reconstructions `(n, window_length, n_channels)` of scaled windows of that shape, computed in `dtype`.

    What grows beyond the largest number of `dtype` becomes infinite, and NaN from there on.

    With `trace`, the ranges of `input`, `output` and, for every LSTM layer `i`, of `i.from-input`,
    `i.from-hidden`, `i.gates` (the sums that go into the three sigmoids), `i.candidate-sum`, `i.candidate`
    (after its activation), `i.added`, `i.shown`, `i.hidden` and, for every step `t`, of `i.kept.t` and
    `i.cell.t` are noted; for every layer on patches but the last, of `i.sum`: what relu makes of its sums, or
    what goes into tanh.
    """
    trace = trace or Trace()
    arrays = [np.asarray(weight, dtype) for weight in weights]
    inputs = np.asarray(windows, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        trace.note("input", inputs)
        if isinstance(architecture, PatchArchitecture):
            outputs = _layers_on_patches(architecture, arrays, inputs, trace)
        else:
            outputs = _lstm_autoencoder(architecture, arrays, inputs, sigmoid, trace)
        trace.note("output", outputs)
    return outputs


def _lstm_autoencoder(
    architecture: LstmArchitecture,
    arrays: Sequence[Array],
    inputs: Array,
    sigmoid: Function,
    trace: Trace,
) -> Array:
    layers = lstm_layers(arrays)
    n_encoders = len(architecture.encoder)
    sequence = [inputs[:, step] for step in range(architecture.window_length)]
    for index, layer in enumerate(layers):
        if index == n_encoders:
            sequence = [sequence[-1]] * architecture.window_length
        sequence = _lstm(sequence, layer, _ACTIVATIONS[architecture.activation], sigmoid, index, trace)
    kernel, bias = arrays[-2:]
    return np.stack([hidden @ kernel + bias for hidden in sequence], axis=1)


def _layers_on_patches(
    architecture: PatchArchitecture, arrays: Sequence[Array], inputs: Array, trace: Trace
) -> Array:
    rows = inputs
    for index, (layer, (kernel, bias)) in enumerate(
        zip(architecture.layers, patch_layers(arrays), strict=True)
    ):
        rows = rows.reshape(len(inputs), -1, layer.width)
        rows = np.pad(rows, ((0, 0), (0, 1), (0, 0)))  # so that ZERO_ROW is the last one
        patches = [np.concatenate([rows[:, row] for row in patch], axis=1) for patch in layer.patches]
        sums = np.stack([patch @ kernel + bias for patch in patches], axis=1)
        rows = _ACTIVATIONS[layer.activation](sums) if layer.activation else sums
        if layer is not architecture.layers[-1]:
            trace.note(f"{index}.sum", sums if layer.activation == "tanh" else rows)
    return rows.reshape(inputs.shape)


def window_scores(
    windows: NDArray[np.floating], reconstructions: NDArray[np.floating], scoring: Scoring = "sum"
) -> NDArray[np.float64]:
    """The score's definition in float64: `(n, window_length, n_channels)` twice -> `(n,)`."""
    if isinstance(scoring, Heads):
        return fused_scores(scoring, windows, reconstructions)
    with np.errstate(over="ignore"):
        errors = np.abs(windows.astype(np.float64) - reconstructions)
        shares = errors.mean(axis=1)
        scores: NDArray[np.float64] = shares.sum(axis=1) if scoring == "sum" else shares.mean(axis=1)
    return scores


def _lstm(
    sequence: Sequence[Array],
    layer: Sequence[Array],
    activate: Function,
    sigmoid: Function,
    index: int,
    trace: Trace,
) -> list[Array]:
    """Hidden states of all steps, `(n, units)` each."""
    kernel, recurrent, bias = layer
    hidden = cell = np.zeros((len(sequence[0]), len(recurrent)), recurrent.dtype)
    states: list[Array] = []
    for step, inputs in enumerate(sequence):
        from_input, from_hidden = inputs @ kernel + bias, hidden @ recurrent
        i, f, c, o = np.split(from_input + from_hidden, 4, axis=1)
        candidate = activate(c)
        added, kept = sigmoid(i) * candidate, sigmoid(f) * cell
        cell = kept + added
        shown = activate(cell)
        hidden = sigmoid(o) * shown
        states.append(hidden)
        for name, values in (
            ("from-input", from_input),
            ("from-hidden", from_hidden),
            ("gates", np.concatenate([i, f, o])),
            ("candidate", candidate),
            ("candidate-sum", c),
            ("added", added),
            (f"kept.{step}", kept),
            (f"cell.{step}", cell),
            ("shown", shown),
            ("hidden", hidden),
        ):
            trace.note(f"{index}.{name}", values)
    return states
