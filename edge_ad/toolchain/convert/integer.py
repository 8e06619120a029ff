"""The integer-only graph: int8 in, int8 out, for processors and coprocessors without floats.

The restructured graph of `fast`, quantized by hand. The three sigmoid gates and the candidate are
computed apart, so that the candidate's wide range does not coarsen the gates, which saturate at +-8.
The cell, where rounding adds up, has scales of its own at every step; all else shares its layer's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.operators import SCALES
from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import Architecture, Weights, lstm_layers
from edge_ad.toolchain.convert.flatbuffer import (
    Graph,
    Operator,
    Options,
    Tensor,
    quantize_matrix,
    to_bytes,
)
from edge_ad.toolchain.convert.operators import fused
from edge_ad.toolchain.oracle import Trace

Ranges = Mapping[str, Quantization]

_SIGMOID = Quantization(1 / 256, -128)  # what the kernels demand of a LOGISTIC output
_TANH = Quantization(1 / 128, 0)
_SATURATED = 8.0  # sigmoid(8) is within 1/256 of 1
_SMALLEST_SCALE = 2.0**-40  # what is smaller is zero beside a scaled signal, whose deviation is 1
_LARGEST_BIAS = 2**30  # of int32, with room for the products that are added to it


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
            ranges[name] = _TANH
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
    return _IntegerGraph(architecture, weights, ranges).to_bytes()


class _IntegerGraph:
    """Builds the graph of one autoencoder, layer by layer."""

    def __init__(self, architecture: Architecture, weights: Weights, ranges: Ranges) -> None:
        self._architecture = architecture
        self._layers = lstm_layers(weights)
        self._dense = weights[-2:]
        self._ranges = ranges
        self._graph = Graph()
        self._constants: dict[Tensor, int] = {}

    def to_bytes(self) -> bytes:
        shape = self._architecture
        steps, n_encoders = shape.window_length, len(shape.encoder)
        inputs = self._tensor(Tensor((1, steps, shape.n_channels), "int8", None, self._ranges["input"]))
        sequence, scale = inputs, self._ranges["input"]
        hidden: list[int] = []
        for index, layer in enumerate(self._layers):
            if index == n_encoders:
                hidden = self._lstm(index, layer, hidden[-1], scale, steps, repeated=True)
            else:
                hidden = self._lstm(index, layer, sequence, scale, steps, repeated=False)
            scale = self._ranges[f"{index}.hidden"]
            if index != n_encoders - 1:
                options = Options("Concatenation", (("axis", 0),))
                sequence = self._operator("CONCATENATION", hidden, (steps, len(layer[1])), scale, options)
        kernel, bias = self._dense
        flat = self._product(sequence, scale, kernel, bias, steps, self._ranges["output"])
        whole = (1, steps, shape.n_channels)
        inputs_ = [flat, self._indices(whole)]
        outputs = self._operator("RESHAPE", inputs_, whole, self._ranges["output"], version=1)
        self._graph.inputs, self._graph.outputs = (inputs,), (outputs,)
        return to_bytes([self._graph])

    def _lstm(
        self,
        index: int,
        layer: Sequence[NDArray[np.float32]],
        inputs: int,
        scale: Quantization,
        steps: int,
        *,
        repeated: bool,
    ) -> list[int]:
        """Hidden states `(1, units)` of all steps."""

        def ranges(name: str) -> Quantization:
            return self._ranges[f"{index}.{name}"]

        (kernel, kernel_c), (recurrent, recurrent_c), (bias, bias_c) = (_gates_apart(w) for w in layer)
        units = len(recurrent)
        activation = self._architecture.activation
        rows = 1 if repeated else steps
        from_input = ranges("from-input")
        projected = self._product(inputs, scale, kernel, bias, rows, from_input)
        projected_c = self._product(inputs, scale, kernel_c, bias_c, rows, from_input)
        hidden = cell = None
        states: list[int] = []
        shape = (1, units)
        for step in range(steps):
            sums = projected if repeated else self._row(projected, step, 3 * units, from_input)
            sum_c = projected_c if repeated else self._row(projected_c, step, units, from_input)
            if hidden is not None:
                h, to = ranges("hidden"), ranges("from-hidden")
                added = self._product(hidden, h, recurrent, np.zeros_like(bias), 1, to)
                sums = self._operator("ADD", [sums, added], (1, 3 * units), ranges("gates"), Options("Add"))
                added = self._product(hidden, h, recurrent_c, np.zeros_like(bias_c), 1, to)
                relu = fused("relu") if activation == "relu" else ()
                between = ranges("candidate" if activation == "relu" else "candidate-sum")
                sum_c = self._operator("ADD", [sum_c, added], shape, between, Options("Add", relu))
            elif activation == "relu":
                sum_c = self._operator("RELU", [sum_c], shape, ranges("from-input"))
            candidate = sum_c
            if activation == "tanh":
                candidate = self._operator("TANH", [sum_c], shape, ranges("candidate"))
            sigmoids = self._operator("LOGISTIC", [sums], (1, 3 * units), _SIGMOID)
            let_in, keep, let_out = self._split(sigmoids, 3, shape)
            new = self._operator("MUL", [let_in, candidate], shape, ranges("added"), Options("Mul"))
            if cell is None:
                cell = new
            else:
                kept = self._operator("MUL", [keep, cell], shape, ranges(f"kept.{step}"), Options("Mul"))
                cell = self._operator("ADD", [kept, new], shape, ranges(f"cell.{step}"), Options("Add"))
            shown = cell if activation == "relu" else self._operator("TANH", [cell], shape, ranges("shown"))
            hidden = self._operator("MUL", [let_out, shown], shape, ranges("hidden"), Options("Mul"))
            states.append(hidden)
        return states

    def _product(
        self,
        inputs: int,
        scale: Quantization,
        kernel: NDArray[np.float32],
        bias: NDArray[np.float32],
        rows: int,
        to: Quantization,
    ) -> int:
        """`(rows, inputs) @ kernel + bias`."""
        # The bias is stored in products of both scales: the weights' own is so large that it fits.
        stored, weights = quantize_matrix(kernel.T)
        least = float(np.abs(bias).max()) / _LARGEST_BIAS / scale.scale
        if weights.scale < least:
            stored, weights = quantize_matrix(kernel.T, least)
        sums = Quantization(float(np.float32(scale.scale) * np.float32(weights.scale)))
        biases = np.round(bias.astype(np.float64) / sums.scale).astype(np.int32)
        tensors = [
            inputs,
            self._tensor(Tensor(stored.shape, "int8", np.ascontiguousarray(stored).tobytes(), weights)),
            self._tensor(Tensor(biases.shape, "int32", biases.tobytes(), sums)),
        ]
        return self._operator(
            "FULLY_CONNECTED", tensors, (rows, kernel.shape[1]), to, Options("FullyConnected"), version=4
        )

    def _row(self, stacked: int, step: int, width: int, scale: Quantization) -> int:
        """One row of `(steps, width)`."""
        inputs = [stacked, self._indices((step, 0)), self._indices((1, width))]
        return self._operator("SLICE", inputs, (1, width), scale, Options("Slice"), version=2)

    def _split(self, inputs: int, parts: int, shape: tuple[int, ...]) -> list[int]:
        outputs = [self._tensor(Tensor(shape, "int8", None, _SIGMOID)) for _ in range(parts)]
        axis = self._tensor(Tensor((), "int32", np.int32(1).tobytes()))
        options = Options("Split", (("numSplits", parts),))
        self._graph.operators.append(Operator("SPLIT", (axis, inputs), tuple(outputs), options, version=2))
        return outputs

    def _indices(self, values: tuple[int, ...]) -> int:
        data = np.array(values, np.int32).tobytes()
        return self._tensor(Tensor((len(values),), "int32", data))

    def _tensor(self, tensor: Tensor) -> int:
        # An unrolled graph asks for the same constants at every step.
        if tensor not in self._constants:
            self._graph.tensors.append(tensor)
            if tensor.data is None:
                return len(self._graph.tensors) - 1
            self._constants[tensor] = len(self._graph.tensors) - 1
        return self._constants[tensor]

    def _operator(
        self,
        name: str,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        scale: Quantization,
        options: Options | None = None,
        version: int = 2,
    ) -> int:
        output = self._tensor(Tensor(shape, "int8", None, scale))
        self._graph.operators.append(Operator(name, tuple(inputs), (output,), options, version))
        return output


def _gates_apart(weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The columns of the input, forget and output gates, and those of the candidate."""
    i, f, c, o = np.split(weight, 4, axis=-1)
    return np.concatenate([i, f, o], axis=-1), c
