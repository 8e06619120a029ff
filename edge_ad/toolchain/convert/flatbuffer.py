"""Writing a `.tflite` file operator by operator, with the schema classes that ai-edge-litert ships.

No names, no metadata, no signatures: an interpreter needs none of them, and in a model of a few
thousand weights they are most of the file.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_ABSENT = -1  # index of an optional input that is not given


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # the schema module has no types
    """A buffer whose bytes start at a multiple of 16, as the schema demands of weights.

    The generated class forgets that and aligns bytes to bytes.
    """

    def Pack(self, builder: Any) -> Any:  # noqa: N802  the generated code calls it so
        """Write the buffer; returns its offset."""
        offset = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), 16)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
            offset = builder.EndVector()
        schema.BufferStart(builder)
        if offset is not None:
            schema.BufferAddData(builder, offset)
        return schema.BufferEnd(builder)


class GraphWriter:
    """Collects tensors and operators of one graph. Tensors are known by their index."""

    def __init__(self) -> None:
        self._buffers = [_AlignedBuffer()]  # number 0 is the empty one of tensors without data
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[tuple[int, int]] = []

    def activation(self, *shape: int) -> int:
        """A float32 tensor that an operator computes, or the graph's input."""
        return self._tensor(shape, schema.TensorType.FLOAT32)

    def constant(self, values: NDArray[Any]) -> int:
        """A float32 or int32 constant."""
        kinds = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}
        return self._tensor(values.shape, kinds[values.dtype.name], data=values)

    def weight(self, values: NDArray[np.float32], *, int8: bool) -> int:
        """A weight matrix `(outputs, inputs)`; with `int8`, symmetric with one scale per matrix."""
        if not int8:
            return self.constant(values)
        scale = np.float32(np.abs(values).max() / 127) or np.float32(1.0)
        quantized = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        index = self._tensor(values.shape, schema.TensorType.INT8, data=quantized)
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.array([scale], np.float32)
        quantization.zeroPoint = np.array([0], np.int64)
        self._tensors[index].quantization = quantization
        return index

    def lstm(
        self,
        inputs: int,
        kernels: list[NDArray[np.float32]],
        steps: int,
        activation: str,
        *,
        int8: bool,
    ) -> int:
        """A fused LSTM over `(1, steps, inputs)` -> `(1, steps, units)`.

        `kernels` are kernel `(inputs, 4 * units)`, recurrent kernel and bias in Keras's gate order, which
        is this operator's order too. State lives in variable tensors between invokes.
        """
        kernel, recurrent, bias = kernels
        units = recurrent.shape[0]
        to_gates = [self.weight(np.ascontiguousarray(w.T), int8=int8) for w in np.split(kernel, 4, axis=1)]
        from_hidden = [
            self.weight(np.ascontiguousarray(w.T), int8=int8) for w in np.split(recurrent, 4, axis=1)
        ]
        biases = [self.constant(part) for part in np.split(bias, 4)]
        states = [self._tensor((1, units), schema.TensorType.FLOAT32, variable=True) for _ in range(2)]
        outputs = self.activation(1, steps, units)
        options = schema.UnidirectionalSequenceLSTMOptionsT()
        options.fusedActivationFunction = _ACTIVATIONS[activation]
        peephole, projection = [_ABSENT] * 3, [_ABSENT] * 2
        self._operator(
            schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM,
            [inputs, *to_gates, *from_hidden, *peephole, *biases, *projection, *states],
            outputs,
            (schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions, options),
            version=2 if int8 else 1,
        )
        return outputs

    def repeat_last_step(self, sequence: int, steps: int, units: int) -> int:
        """`(1, steps, units)` whose every step is the last one of `sequence`: one gather does both."""
        outputs = self.activation(1, steps, units)
        options = schema.GatherOptionsT()
        options.axis = 1
        self._operator(
            schema.BuiltinOperator.GATHER,
            [sequence, self.constant(np.full(steps, steps - 1, np.int32))],
            outputs,
            (schema.BuiltinOptions.GatherOptions, options),
            version=1,
        )
        return outputs

    def dense(
        self,
        inputs: int,
        kernel: NDArray[np.float32],
        bias: NDArray[np.float32],
        steps: int,
        *,
        int8: bool,
    ) -> int:
        """A dense layer at every step: `(1, steps, inputs)` -> `(1, steps, outputs)`."""
        outputs = self.activation(1, steps, kernel.shape[1])
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        weight = self.weight(np.ascontiguousarray(kernel.T), int8=int8)
        self._operator(
            schema.BuiltinOperator.FULLY_CONNECTED,
            [inputs, weight, self.constant(bias)],
            outputs,
            (schema.BuiltinOptions.FullyConnectedOptions, options),
            version=5,  # the first that keeps the number of dimensions
        )
        return outputs

    def to_bytes(self, inputs: int, outputs: int) -> bytes:
        """The file, with one input and one output."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = np.array([inputs], np.int32), np.array([outputs], np.int32)
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.buffers = [graph], self._buffers
        model.operatorCodes = []
        for code, version in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.version = code, version
            entry.deprecatedBuiltinCode = min(code, 127)
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(
        self,
        shape: tuple[int, ...],
        kind: int,
        data: NDArray[Any] | None = None,
        *,
        variable: bool = False,
    ) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.isVariable = np.array(shape, np.int32), kind, variable
        tensor.buffer = 0
        if data is not None:
            buffer = _AlignedBuffer()
            buffer.data = np.ascontiguousarray(data).tobytes()
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _operator(
        self, code: int, inputs: list[int], output: int, options: tuple[int, Any], version: int
    ) -> None:
        if (code, version) not in self._codes:
            self._codes.append((code, version))
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index((code, version))
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        operator.builtinOptionsType, operator.builtinOptions = options
        self._operators.append(operator)


_ACTIVATIONS = {
    "relu": schema.ActivationFunctionType.RELU,
    "tanh": schema.ActivationFunctionType.TANH,
}
