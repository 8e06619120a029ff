"""Building an integer-only graph operator by operator: what those of all networks have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization
from edge_ad.toolchain.convert.flatbuffer import Graph, Operator, Options, Tensor, quantize_matrix, to_bytes

SIGMOID = Quantization(1 / 256, -128)
"""What the kernels demand of a LOGISTIC's output."""
TANH = Quantization(1 / 128, 0)
"""And of a TANH's."""

_LARGEST_BIAS = 2**30  # of int32, with room for the products that are added to it


class IntegerWriter:
    """Collects tensors and operators of one graph of int8 numbers. Tensors are known by their index."""

    def __init__(self) -> None:
        self._graph = Graph()
        self._constants: dict[Tensor, int] = {}

    def to_bytes(self, inputs: int, outputs: int) -> bytes:
        """The file, with one input and one output."""
        self._graph.inputs, self._graph.outputs = (inputs,), (outputs,)
        return to_bytes([self._graph])

    def product(
        self,
        inputs: int,
        kernel: NDArray[np.float32],
        bias: NDArray[np.float32],
        rows: Sequence[int],
        to: Quantization,
    ) -> int:
        """`(*rows, inputs) @ kernel + bias`."""
        # The bias is stored in products of both scales: the weights' own is so large that it fits.
        scale = self._scale(inputs)
        stored, weights = quantize_matrix(kernel.T)
        least = float(np.abs(bias).max()) / _LARGEST_BIAS / scale.scale
        if weights.scale < least:
            stored, weights = quantize_matrix(kernel.T, least)
        sums = Quantization(float(np.float32(scale.scale) * np.float32(weights.scale)))
        biases = np.round(bias.astype(np.float64) / sums.scale).astype(np.int32)
        tensors = [
            inputs,
            self.tensor(Tensor(stored.shape, "int8", np.ascontiguousarray(stored).tobytes(), weights)),
            self.tensor(Tensor(biases.shape, "int32", biases.tobytes(), sums)),
        ]
        options = Options("FullyConnected", (("keepNumDims", True),) if len(rows) > 1 else ())
        return self.operator("FULLY_CONNECTED", tensors, (*rows, kernel.shape[1]), to, options, version=4)

    def gather(self, inputs: int, rows: tuple[int, ...], shape: tuple[int, ...]) -> int:
        """`inputs` with the given rows of its axis 1."""
        options = Options("Gather", (("axis", 1),))
        return self.operator("GATHER", [inputs, self.indices(rows)], shape, self._scale(inputs), options)

    def reshape(self, inputs: int, shape: tuple[int, ...]) -> int:
        """The same numbers in another shape."""
        tensors = [inputs, self.indices(shape)]
        return self.operator("RESHAPE", tensors, shape, self._scale(inputs), version=1)

    def zeros_below(self, inputs: int, shape: tuple[int, ...]) -> int:
        """`(1, rows, width)` with a row of zeros at its end: a number times nothing, since constants are no
        values that could be put there.
        """
        (_, rows, width), scale = shape, self._scale(inputs)
        begin, size = self.indices((0, 0, 0)), self.indices((1, 1, 1))
        number = self.operator("SLICE", [inputs, begin, size], (1, 1, 1), scale, Options("Slice"))
        flat = self.reshape(number, (1, 1))
        zeros = self.product(flat, np.zeros((1, width), np.float32), np.zeros(width, np.float32), [1], scale)
        parts = [self.reshape(inputs, (rows, width)), zeros]
        options = Options("Concatenation", (("axis", 0),))
        joined = self.operator("CONCATENATION", parts, (rows + 1, width), scale, options)
        return self.reshape(joined, (1, rows + 1, width))

    def _scale(self, tensor: int) -> Quantization:
        """How an int8 tensor is stored."""
        return self._graph.tensors[tensor].quantization or Quantization(1.0)

    def split(self, inputs: int, parts: int, shape: tuple[int, ...]) -> list[int]:
        """Equal parts of the columns of what a LOGISTIC gave."""
        outputs = [self.tensor(Tensor(shape, "int8", None, SIGMOID)) for _ in range(parts)]
        axis = self.tensor(Tensor((), "int32", np.int32(1).tobytes()))
        options = Options("Split", (("numSplits", parts),))
        self._graph.operators.append(Operator("SPLIT", (axis, inputs), tuple(outputs), options, version=2))
        return outputs

    def indices(self, values: tuple[int, ...]) -> int:
        """A constant vector of indices or sizes."""
        data = np.array(values, np.int32).tobytes()
        return self.tensor(Tensor((len(values),), "int32", data))

    def tensor(self, tensor: Tensor) -> int:
        """A tensor; a constant that is there already is taken again."""
        # An unrolled graph asks for the same constants at every step.
        if tensor not in self._constants:
            self._graph.tensors.append(tensor)
            if tensor.data is None:
                return len(self._graph.tensors) - 1
            self._constants[tensor] = len(self._graph.tensors) - 1
        return self._constants[tensor]

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        scale: Quantization,
        options: Options | None = None,
        version: int = 2,
    ) -> int:
        """Any operator with one int8 output of the given shape."""
        output = self.tensor(Tensor(shape, "int8", None, scale))
        self._graph.operators.append(Operator(name, tuple(inputs), (output,), options, version))
        return output
