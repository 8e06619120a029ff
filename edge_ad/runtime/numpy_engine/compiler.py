"""From a graph to the numpy calls that run it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_ad.runtime.numpy_engine import floating, integer
from edge_ad.runtime.numpy_engine.graph import Graph, Operation, Tensor
from edge_ad.runtime.numpy_engine.moves import views
from edge_ad.runtime.numpy_engine.values import Array, Call, Value


@dataclass(frozen=True)
class Program:
    """A model that is ready to run: its calls in order, from the one array to the other."""

    window: Array
    """`(1, window_length, n_channels)` float32, to be written before the calls."""
    calls: tuple[Call, ...]
    reconstruction: Array
    """`(1, window_length, n_channels)` float32, there after the calls."""


def compile_graph(graph: Graph) -> Program:
    """Make the arrays and calls of a graph that was checked."""
    return _Compiler(graph).program()


class _Compiler:
    """Goes through the operators in the order in which they run."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._values: dict[int, Value] = {}
        self._calls: list[Call] = []
        self._logistic = {op.inputs[0]: op.outputs[0] for op in graph.operations if op.name == "LOGISTIC"}
        """Where a tensor's LOGISTIC goes."""

    def program(self) -> Program:
        graph = self._graph
        first = self._output(graph.input)
        window = first.array
        if first.quantization is not None:
            window = np.zeros_like(window)
            self._calls += integer.quantize(window, first)
        for operation in graph.operations:
            self._add(operation)
        last = self._values[graph.output]
        reconstruction = last.array
        if last.quantization is not None:
            reconstruction = np.zeros(last.array.shape, np.float32)
            self._calls += integer.dequantize(last, reconstruction)
        return Program(window, tuple(self._calls), reconstruction)

    def _add(self, operation: Operation) -> None:
        if operation.outputs[0] in self._values:
            return
        inputs = [self._input(index) for index in operation.inputs if index >= 0]
        tensors = [self._graph.tensors[index] for index in operation.outputs]
        if operation.name == "DEQUANTIZE":  # of weights only, so it is done for good
            self._values[operation.outputs[0]] = Value(inputs[0].real)
            return
        found = views(operation.name, inputs, [tensor.shape for tensor in tensors])
        if found is not None:
            for index, tensor, array in zip(operation.outputs, tensors, found, strict=True):
                self._values[index] = Value(array, tensor.quantization)
            if operation.name == "SPLIT":
                self._share_logistic(operation, inputs[1])
            return
        to = self._output(operation.outputs[0])
        kernels = floating.KERNELS if to.quantization is None else integer.KERNELS
        self._calls += kernels[operation.name](inputs, to, operation.options)

    def _share_logistic(self, split: Operation, row: Value) -> None:
        """Where several parts of a row go through a LOGISTIC each, let the whole row go through one."""
        places = [self._logistic.get(part) for part in split.outputs]
        found = [place for place in places if place is not None]
        if len(found) < 2:
            return
        quantization = self._graph.tensors[found[0]].quantization
        whole = Value(np.zeros_like(row.array, order="C"), quantization)
        kernels = floating.KERNELS if quantization is None else integer.KERNELS
        self._calls += kernels["LOGISTIC"]([row], whole, None)
        for place, array in zip(places, np.split(whole.array, len(places), axis=1), strict=True):
            if place is not None:
                self._values[place] = Value(array, quantization)

    def _input(self, index: int) -> Value:
        if index not in self._values:
            self._values[index] = _constant(self._graph.tensors[index])
        return self._values[index]

    def _output(self, index: int) -> Value:
        tensor = self._graph.tensors[index]
        self._values[index] = Value(np.zeros(tensor.shape, np.float32), tensor.quantization)
        return self._values[index]


def _constant(tensor: Tensor) -> Value:
    """A constant, or zeros for an LSTM's state: every window starts from them."""
    if tensor.data is None:
        return Value(np.zeros(tensor.shape, np.float32))
    array = np.frombuffer(tensor.data, np.dtype(tensor.dtype).newbyteorder("<")).reshape(tensor.shape)
    if tensor.dtype == "int32":  # indices and biases, which float32 might not hold
        return Value(array, tensor.quantization)
    return Value(array.astype(np.float32), tensor.quantization)
