"""The `.tflite` file format: tensors and operators in, bytes out, nothing written twice.

Uses the schema classes that ai-edge-litert ships. No names, no metadata, no signatures: an interpreter
needs none of them, and in a model of a few thousand weights they are most of the file. What several
tensors or operators have in common (shapes, quantization, options, constants) is stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.operators import SCALES
from edge_ad.errors import ConversionError

_SMALLEST_WEIGHT_SCALE = 2.0**-50
"""Weights below it are zeros beside any number that a network works with."""

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "bool": schema.TensorType.BOOL,
}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph; `data` is None for what operators compute."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    data: bytes | None = None
    quantization: Quantization | None = None
    variable: bool = False
    """Whether it keeps its value from one invoke to the next."""


@dataclass(frozen=True)
class Options:
    """Options of an operator: which of the schema's option tables, and its fields."""

    table: str
    """`FullyConnected` for the schema's `FullyConnectedOptions`."""
    fields: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Operator:
    """One step of the computation; tensors are known by their index."""

    name: str
    """Name of the built-in operator: `FULLY_CONNECTED`."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options | None = None
    version: int = 1


@dataclass
class Graph:
    """Tensors and operators, in the order in which they run."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()


def to_bytes(graphs: Sequence[Graph]) -> bytes:
    """The file. The first graph is the one that an interpreter runs."""
    return _Writer().write(graphs)


class _Writer:
    """Writes one file; remembers by content what has been written."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1 << 16)
        self._written: dict[Hashable, int] = {}
        self._buffers: dict[bytes | None, int] = {None: 0}  # number 0 is that of tensors without data
        self._codes: dict[tuple[str, int], int] = {}

    def write(self, graphs: Sequence[Graph]) -> bytes:
        builder = self._builder
        offsets = [self._graph(graph) for graph in graphs]
        subgraphs = self._offsets(offsets)
        codes = self._offsets([self._code(name, version) for name, version in self._codes])
        buffers = self._offsets([self._buffer(data) for data in self._buffers])
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, 3)
        schema.ModelAddOperatorCodes(builder, codes)
        schema.ModelAddSubgraphs(builder, subgraphs)
        schema.ModelAddBuffers(builder, buffers)
        builder.Finish(schema.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    def _once(self, key: Hashable, write: Callable[[], int]) -> int:
        if key not in self._written:
            self._written[key] = write()
        return self._written[key]

    def _vector(self, values: Sequence[float], dtype: type[np.generic]) -> int:
        array = np.array(values, dtype)
        return self._once((array.dtype.str, array.tobytes()), lambda: self._builder.CreateNumpyVector(array))

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        end: int = self._builder.EndVector()
        return end

    def _graph(self, graph: Graph) -> int:
        tensors = self._offsets([self._tensor(tensor) for tensor in graph.tensors])
        operators = self._offsets([self._operator(operator) for operator in graph.operators])
        inputs, outputs = self._vector(graph.inputs, np.int32), self._vector(graph.outputs, np.int32)
        builder = self._builder
        schema.SubGraphStart(builder)
        schema.SubGraphAddTensors(builder, tensors)
        schema.SubGraphAddInputs(builder, inputs)
        schema.SubGraphAddOutputs(builder, outputs)
        schema.SubGraphAddOperators(builder, operators)
        end: int = schema.SubGraphEnd(builder)
        return end

    def _tensor(self, tensor: Tensor) -> int:
        shape = self._vector(tensor.shape, np.int32)
        quantization = None if tensor.quantization is None else self._quantization(tensor.quantization)
        builder = self._builder
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddType(builder, _TYPES[tensor.dtype])
        schema.TensorAddBuffer(builder, self._buffers.setdefault(tensor.data, len(self._buffers)))
        if quantization is not None:
            schema.TensorAddQuantization(builder, quantization)
        schema.TensorAddIsVariable(builder, tensor.variable)
        end: int = schema.TensorEnd(builder)
        return end

    def _quantization(self, quantization: Quantization) -> int:
        def write() -> int:
            builder = self._builder
            scale = self._vector([quantization.scale], np.float32)
            zero_point = self._vector([quantization.zero_point], np.int64)
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, scale)
            schema.QuantizationParametersAddZeroPoint(builder, zero_point)
            end: int = schema.QuantizationParametersEnd(builder)
            return end

        return self._once(quantization, write)

    def _operator(self, operator: Operator) -> int:
        index = self._codes.setdefault((operator.name, operator.version), len(self._codes))
        inputs, outputs = self._vector(operator.inputs, np.int32), self._vector(operator.outputs, np.int32)
        options = None if operator.options is None else self._options(operator.options)
        builder = self._builder
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, index)
        schema.OperatorAddInputs(builder, inputs)
        schema.OperatorAddOutputs(builder, outputs)
        if operator.options is not None and options is not None:
            kind = getattr(schema.BuiltinOptions, f"{operator.options.table}Options")
            schema.OperatorAddBuiltinOptionsType(builder, kind)
            schema.OperatorAddBuiltinOptions(builder, options)
        end: int = schema.OperatorEnd(builder)
        return end

    def _options(self, options: Options) -> int:
        def write() -> int:
            table = getattr(schema, f"{options.table}OptionsT")()
            for name, value in options.fields:
                setattr(table, name, value)
            end: int = table.Pack(self._builder)
            return end

        return self._once(options, write)

    def _code(self, name: str, version: int) -> int:
        code = getattr(schema.BuiltinOperator, name)
        builder = self._builder
        schema.OperatorCodeStart(builder)
        schema.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
        schema.OperatorCodeAddVersion(builder, version)
        schema.OperatorCodeAddBuiltinCode(builder, code)
        end: int = schema.OperatorCodeEnd(builder)
        return end

    def _buffer(self, data: bytes | None) -> int:
        builder = self._builder
        offset = None
        if data is not None:
            # The schema demands that weights start at a multiple of 16; the generated class forgets it.
            builder.StartVector(1, len(data), 16)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            offset = builder.EndVector()
        schema.BufferStart(builder)
        if offset is not None:
            schema.BufferAddData(builder, offset)
        end: int = schema.BufferEnd(builder)
        return end


def quantize_matrix(
    values: NDArray[np.float32], smallest_scale: float = _SMALLEST_WEIGHT_SCALE
) -> tuple[NDArray[np.int8], Quantization]:
    """A weight matrix as int8, symmetric with one scale; -128 is not used, as the kernels demand.

    Raises ConversionError for weights that are too large for any scale.
    """
    largest = float(np.abs(values).max())
    scale = max(largest / 127 or 1.0, smallest_scale)
    if scale > SCALES[1]:
        raise ConversionError(f"weights of up to {largest:.2g} are too large for int8: train again")
    quantization = Quantization(float(np.float32(scale)))
    return np.maximum(quantize(values, quantization), -127), quantization


def quantize(values: NDArray[np.floating], quantization: Quantization, dtype: str = "int8") -> NDArray[Any]:
    """Nearest stored numbers, ties to even, clipped to the type's range."""
    limits = np.iinfo(dtype)
    stored = np.round(np.asarray(values, np.float64) / quantization.scale) + quantization.zero_point
    return np.clip(stored, limits.min, limits.max).astype(dtype)
