"""From the bytes of a `.tflite` file to its operators, once the file has passed the check of bundles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_ad.bundle.flatbuffer_reader import Reader
from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.operators import ALLOWED
from edge_ad.bundle.tflite import check_model
from edge_ad.bundle.tflite_schema import (
    DTYPES,
    IDENTIFIER,
    OPTIONS,
    Buffer,
    Model,
    OperatorCode,
    OperatorEntry,
    QuantizationParameters,
    SubGraph,
    TensorEntry,
)
from edge_ad.errors import BundleModelStructureError


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file."""

    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    data: memoryview | None
    """Contents of a constant."""


@dataclass(frozen=True)
class Operation:
    """One operator; its tensors are known by their index, -1 stands for one that is not given."""

    name: str
    """Of `edge_ad.bundle.operators`: `FULLY_CONNECTED`."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True)
class Graph:
    """Tensors, and operators in the order in which they run."""

    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    input: int
    output: int


def read_graph(content: bytes) -> Graph:
    """The graph of a model. Raises a BundleError for what no bundle may hold.

    A bundle's models are checked when it is read. They are checked here again because all that follows
    takes shapes, types and constants for granted, and not every file comes out of a bundle.
    """
    reader = Reader(content)
    model = reader.root(Model, IDENTIFIER)
    _check(content, reader, model)
    graph = reader.table(SubGraph, model.subgraphs[0])
    buffers = [reader.table(Buffer, at).data for at in model.buffers]
    tensors = []
    for at in graph.tensors:
        entry = reader.table(TensorEntry, at)
        quantization = _quantization(reader, entry)
        tensors.append(Tensor(entry.shape, DTYPES[entry.type], quantization, buffers[entry.buffer]))
    names = [ALLOWED[reader.table(OperatorCode, at).builtin_code].name for at in model.operator_codes]
    operations = tuple(_operation(reader, names, at) for at in graph.operators)
    return Graph(tuple(tensors), operations, graph.inputs[0], graph.outputs[0])


def _check(content: bytes, reader: Reader, model: Model) -> None:
    """Check the file as a bundle's reader does; what it says of itself stands in for the manifest."""
    try:
        (at,) = model.subgraphs
        graph = reader.table(SubGraph, at)
        tensors = [reader.table(TensorEntry, at) for at in graph.tensors]
        (start,), (end,) = graph.inputs, graph.outputs
        first, last = tensors[start], tensors[end]
        _, window_length, n_channels = first.shape
        ends = _quantization(reader, first), _quantization(reader, last)
    except (ValueError, IndexError) as error:
        raise BundleModelStructureError(
            "an autoencoder has one graph, with one input and one output of (1, window, channels)"
        ) from error
    check_model(
        content,
        shape=(window_length, n_channels),
        input_dtype=DTYPES.get(first.type, "unknown"),
        output_dtype=DTYPES.get(last.type, "unknown"),
        stateful=any(tensor.is_variable for tensor in tensors),
        input_quantization=ends[0],
        output_quantization=ends[1],
    )


def _quantization(reader: Reader, entry: TensorEntry) -> Quantization | None:
    if entry.quantization is None:
        return None
    table = reader.table(QuantizationParameters, entry.quantization)
    return Quantization(table.scale[0], table.zero_point[0])


def _operation(reader: Reader, names: list[str], at: int) -> Operation:
    entry = reader.table(OperatorEntry, at)
    options = None
    if entry.builtin_options is not None:
        options = reader.table(OPTIONS[entry.builtin_options_type], entry.builtin_options)
    return Operation(names[entry.opcode_index], entry.inputs, entry.outputs, options)
