"""Building a graph operator by operator: what the float graphs of all networks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_ad.toolchain.convert.flatbuffer import (
    Graph,
    Operator,
    Options,
    Tensor,
    quantize_matrix,
    to_bytes,
)

_LARGEST_UNPACKED = 12_000  # elements; docs/conversion.md shows where it turns
_ABSENT = -1  # index of an optional input that is not given
_ACTIVATIONS = {
    "relu": schema.ActivationFunctionType.RELU,
    "tanh": schema.ActivationFunctionType.TANH,
}


def fused(activation: str) -> tuple[tuple[str, int], ...]:
    """The option of an operator that applies an activation to its own output."""
    return (("fusedActivationFunction", _ACTIVATIONS[activation]),)


class GraphWriter:
    """Collects tensors and operators of one float graph. Tensors are known by their index.

    With `int8_weights`, matrices are stored as int8, symmetric with one scale each; activations
    stay float32.
    """

    def __init__(self, *, int8_weights: bool) -> None:
        self._graph = Graph()
        self._int8_weights = int8_weights

    def to_bytes(self, inputs: int, outputs: int) -> bytes:
        """The file, with one input and one output."""
        self._graph.inputs, self._graph.outputs = (inputs,), (outputs,)
        return to_bytes([self._graph])

    def activation(self, *shape: int) -> int:
        """A float32 tensor that an operator computes, or the graph's input."""
        return self._tensor(Tensor(shape))

    def constant(self, values: NDArray[Any]) -> int:
        """A constant of its array's type."""
        return self._tensor(Tensor(values.shape, values.dtype.name, np.ascontiguousarray(values).tobytes()))

    def weight(self, values: NDArray[np.float32]) -> int:
        """A weight matrix `(outputs, inputs)`."""
        if not self._int8_weights:
            return self.constant(values)
        stored, quantization = quantize_matrix(values)
        return self._tensor(Tensor(values.shape, "int8", stored.tobytes(), quantization))

    def unpacked_weight(self, values: NDArray[np.float32]) -> int:
        """A weight matrix that the interpreter turns into float32 once, when the model is loaded.

        A product with int8 weights quantizes its input first, which for small matrices takes longer
        than the product; and float weights that fit the processor's first cache are as fast to read.
        """
        if not self._int8_weights or values.size >= _LARGEST_UNPACKED:
            return self.weight(values)
        return self.operator("DEQUANTIZE", [self.weight(values)], values.shape, None, version=2)

    def lstm(self, inputs: int, kernels: Sequence[NDArray[np.float32]], steps: int, activation: str) -> int:
        """A fused LSTM over `(1, steps, inputs)` -> `(1, steps, units)`.

        `kernels` are kernel `(inputs, 4 * units)`, recurrent kernel and bias in Keras's gate order, which
        is this operator's order too. State lives in variable tensors between invokes.
        """
        kernel, recurrent, bias = kernels
        units = recurrent.shape[0]
        to_gates = [self.weight(part.T) for part in np.split(kernel, 4, axis=1)]
        from_hidden = [self.weight(part.T) for part in np.split(recurrent, 4, axis=1)]
        biases = [self.constant(part) for part in np.split(bias, 4)]
        states = [self._tensor(Tensor((1, units), variable=True)) for _ in range(2)]
        peephole, projection = [_ABSENT] * 3, [_ABSENT] * 2
        return self.operator(
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            [inputs, *to_gates, *from_hidden, *peephole, *biases, *projection, *states],
            (1, steps, units),
            Options("UnidirectionalSequenceLSTM", fused(activation)),
            version=2 if self._int8_weights else 1,
        )

    def gather(self, inputs: int, rows: Sequence[int], shape: tuple[int, ...]) -> int:
        """`inputs` with the given rows of its axis 1."""
        indices = self.constant(np.array(rows, np.int32))
        return self.operator("GATHER", [inputs, indices], shape, Options("Gather", (("axis", 1),)))

    def reshape(self, inputs: int, shape: tuple[int, ...]) -> int:
        """The same numbers in another shape."""
        return self.operator("RESHAPE", [inputs, self.constant(np.array(shape, np.int32))], shape)

    def zeros_below(self, inputs: int, shape: tuple[int, ...]) -> int:
        """`(1, rows, width)` with a row of zeros at its end: a number times nothing, since constants are no
        values that could be put there.
        """
        _, rows, width = shape
        begin, size = (self.constant(np.array(at, np.int32)) for at in ([0, 0, 0], [1, 1, 1]))
        number = self.operator("SLICE", [inputs, begin, size], (1, 1, 1), Options("Slice"))
        nothing = self.constant(np.zeros((width, 1), np.float32)), self.constant(np.zeros(width, np.float32))
        parts = [self.reshape(inputs, (rows, width)), self.dense(number, *nothing, (1, width))]
        options = Options("Concatenation", (("axis", 0),))
        return self.reshape(
            self.operator("CONCATENATION", parts, (rows + 1, width), options), (1, rows + 1, width)
        )

    def dense(self, inputs: int, weight: int, bias: int, shape: tuple[int, ...]) -> int:
        """A dense layer on the last axis; `shape` is that of the output, of two or three axes."""
        return self.operator(
            "FULLY_CONNECTED",
            [inputs, weight, bias],
            shape,
            Options("FullyConnected", (("keepNumDims", len(shape) > 2),)),
            version=5,  # the first that keeps the number of dimensions
        )

    def split(self, inputs: int, axis: int, parts: int, shape: tuple[int, ...]) -> list[int]:
        """Cut a tensor into equal parts of the given shape."""
        outputs = [self.activation(*shape) for _ in range(parts)]
        at = self.constant(np.array(axis, np.int32))
        options = Options("Split", (("numSplits", parts),))
        self._graph.operators.append(Operator("SPLIT", (at, inputs), tuple(outputs), options))
        return outputs

    def _tensor(self, tensor: Tensor) -> int:
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        options: Options | None = None,
        version: int = 1,
    ) -> int:
        """Any operator with one float32 output of the given shape."""
        output = self.activation(*shape)
        self._graph.operators.append(Operator(name, tuple(inputs), (output,), options, version))
        return output
