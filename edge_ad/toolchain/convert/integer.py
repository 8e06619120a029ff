"""The integer-only graph: int8 in, int8 out, for processors and coprocessors without floats.

Of an LSTM autoencoder it is the restructured graph of `fast`, quantized by hand. The three sigmoid gates and
the candidate are computed apart, so that the candidate's wide range does not coarsen the gates, which
saturate at +-8. The cell, where rounding adds up, has scales of its own at every step; all else shares its
layer's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.operators import SCALES
from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import (
    Architecture,
    LstmArchitecture,
    PatchArchitecture,
    Weights,
    lstm_layers,
)
from edge_ad.toolchain.convert.flatbuffer import Options, Tensor
from edge_ad.toolchain.convert.integer_writer import SIGMOID, TANH, IntegerWriter
from edge_ad.toolchain.convert.operators import fused
from edge_ad.toolchain.convert.patches import Ranges, integer_patch_model
from edge_ad.toolchain.oracle import Trace

_SATURATED = 8.0  # sigmoid(8) is within 1/256 of 1
_SMALLEST_SCALE = 2.0**-40  # what is smaller is zero beside a scaled signal, whose deviation is 1


def quantize_ranges(trace: Trace, activation: str) -> dict[str, Quantization]:
    """Scale and zero point for every traced quantity, so that its range fits int8.

    A range beyond any scale becomes an infinite one, which `integer_model` refuses.
    """
    ranges = {}
    for name in trace.low:
        low, high = trace.low[name], trace.high[name]
        if name.endswith(".gates"):
            low, high = max(low, -_SATURATED), min(high, _SATURATED)
        ranges[name] = _fit(low, high)
        if activation == "tanh" and name.endswith((".candidate", ".shown")):
            ranges[name] = TANH
    return ranges


def _fit(low: float, high: float) -> Quantization:
    """The range as 256 stored numbers, zero being one of them."""
    width = (high - low) / 255
    if not width <= SCALES[1]:
        return Quantization(math.inf)
    scale = float(np.float32(max(width, _SMALLEST_SCALE))) if width else 1.0
    return Quantization(scale, int(np.clip(np.round(-128 - low / scale), -128, 127)))


def integer_model(architecture: Architecture, weights: Weights, ranges: Ranges) -> bytes:
    """A `.tflite` file of an autoencoder with int8 tensors throughout.

    Raises ConversionError for ranges or weights that no scale of a tensor stands for.
    """
    for name, quantization in ranges.items():
        if not math.isfinite(quantization.scale):
            raise ConversionError(f"the values of {name} are too large for int8")
    if isinstance(architecture, PatchArchitecture):
        return integer_patch_model(architecture, weights, ranges)
    return _IntegerGraph(architecture, weights, ranges).to_bytes()


class _IntegerGraph:
    """Builds the graph of one LSTM autoencoder, layer by layer."""

    def __init__(self, architecture: LstmArchitecture, weights: Weights, ranges: Ranges) -> None:
        self._architecture = architecture
        self._layers = lstm_layers(weights)
        self._dense = weights[-2:]
        self._ranges = ranges
        self._graph = IntegerWriter()

    def to_bytes(self) -> bytes:
        shape, graph = self._architecture, self._graph
        steps, n_encoders = shape.window_length, len(shape.encoder)
        inputs = graph.tensor(Tensor((1, steps, shape.n_channels), "int8", None, self._ranges["input"]))
        sequence = inputs
        hidden: list[int] = []
        for index, layer in enumerate(self._layers):
            if index == n_encoders:
                hidden = self._lstm(index, layer, hidden[-1], steps, repeated=True)
            else:
                hidden = self._lstm(index, layer, sequence, steps, repeated=False)
            if index != n_encoders - 1:
                options = Options("Concatenation", (("axis", 0),))
                scale = self._ranges[f"{index}.hidden"]
                sequence = graph.operator("CONCATENATION", hidden, (steps, len(layer[1])), scale, options)
        kernel, bias = self._dense
        flat = graph.product(sequence, kernel, bias, [steps], self._ranges["output"])
        outputs = graph.reshape(flat, (1, steps, shape.n_channels))
        return graph.to_bytes(inputs, outputs)

    def _lstm(
        self,
        index: int,
        layer: Sequence[NDArray[np.float32]],
        inputs: int,
        steps: int,
        *,
        repeated: bool,
    ) -> list[int]:
        """Hidden states `(1, units)` of all steps."""

        def ranges(name: str) -> Quantization:
            return self._ranges[f"{index}.{name}"]

        (kernel, kernel_c), (recurrent, recurrent_c), (bias, bias_c) = (_gates_apart(w) for w in layer)
        graph, units = self._graph, len(recurrent)
        activation = self._architecture.activation
        rows = 1 if repeated else steps
        from_input = ranges("from-input")
        projected = graph.product(inputs, kernel, bias, [rows], from_input)
        projected_c = graph.product(inputs, kernel_c, bias_c, [rows], from_input)
        hidden = cell = None
        states: list[int] = []
        shape = (1, units)
        for step in range(steps):
            sums = projected if repeated else self._row(projected, step, 3 * units, from_input)
            sum_c = projected_c if repeated else self._row(projected_c, step, units, from_input)
            if hidden is not None:
                to = ranges("from-hidden")
                added = graph.product(hidden, recurrent, np.zeros_like(bias), [1], to)
                sums = graph.operator("ADD", [sums, added], (1, 3 * units), ranges("gates"), Options("Add"))
                added = graph.product(hidden, recurrent_c, np.zeros_like(bias_c), [1], to)
                relu = fused("relu") if activation == "relu" else ()
                between = ranges("candidate" if activation == "relu" else "candidate-sum")
                sum_c = graph.operator("ADD", [sum_c, added], shape, between, Options("Add", relu))
            elif activation == "relu":
                sum_c = graph.operator("RELU", [sum_c], shape, ranges("from-input"))
            candidate = sum_c
            if activation == "tanh":
                candidate = graph.operator("TANH", [sum_c], shape, ranges("candidate"))
            sigmoids = graph.operator("LOGISTIC", [sums], (1, 3 * units), SIGMOID)
            let_in, keep, let_out = graph.split(sigmoids, 3, shape)
            new = graph.operator("MUL", [let_in, candidate], shape, ranges("added"), Options("Mul"))
            if cell is None:
                cell = new
            else:
                kept = graph.operator("MUL", [keep, cell], shape, ranges(f"kept.{step}"), Options("Mul"))
                cell = graph.operator("ADD", [kept, new], shape, ranges(f"cell.{step}"), Options("Add"))
            shown = cell if activation == "relu" else graph.operator("TANH", [cell], shape, ranges("shown"))
            hidden = graph.operator("MUL", [let_out, shown], shape, ranges("hidden"), Options("Mul"))
            states.append(hidden)
        return states

    def _row(self, stacked: int, step: int, width: int, scale: Quantization) -> int:
        """One row of `(steps, width)`."""
        inputs = [stacked, self._graph.indices((step, 0)), self._graph.indices((1, width))]
        return self._graph.operator("SLICE", inputs, (1, width), scale, Options("Slice"), version=2)


def _gates_apart(weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The columns of the input, forget and output gates, and those of the candidate."""
    i, f, c, o = np.split(weight, 4, axis=-1)
    return np.concatenate([i, f, o], axis=-1), c
