"""Estimating the multiply-adds of one invoke of a `.tflite` model.

Counted are products with weights and of matrices. Elementwise arithmetic is small beside them; it is named,
not counted, and so is every operator that is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_CALLS = ("WHILE", "IF", "CALL", "CALL_ONCE")
_MOVES_DATA = """
ARG_MAX ARG_MIN BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CAST CONCATENATION DENSIFY DEPTH_TO_SPACE
DEQUANTIZE DYNAMIC_UPDATE_SLICE EMBEDDING_LOOKUP EQUAL EXPAND_DIMS FAKE_QUANT FILL GATHER GATHER_ND
GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_NOT LOGICAL_OR MIRROR_PAD NOT_EQUAL ONE_HOT
PACK PAD PADV2 QUANTIZE RANGE RANK RESHAPE RESIZE_NEAREST_NEIGHBOR REVERSE_SEQUENCE REVERSE_V2
SCATTER_ND SELECT SELECT_V2 SHAPE SLICE SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQUEEZE
STRIDED_SLICE TILE TOPK_V2 TRANSPOSE UNIQUE UNPACK VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE WHERE
ZEROS_LIKE
"""
# Recurrent operators: positions of their weight matrices among the inputs.
_ONE_WAY = (*range(1, 9), 16)
_RECURRENT = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _ONE_WAY,
    "BIDIRECTIONAL_SEQUENCE_LSTM": (*range(1, 9), 16, *range(18, 26), 33),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (1, 2),
    "BIDIRECTIONAL_SEQUENCE_RNN": (1, 2, 5, 6),
}
_ONE_STEP = {"LSTM": _ONE_WAY, "RNN": (1, 2), "SVDF": (1, 2)}


@dataclass(frozen=True)
class Arithmetic:
    """What one invoke of a model, or of a part of it, computes."""

    multiply_adds: int
    not_counted: tuple[str, ...]
    """Operators that do arithmetic of another kind, and loops whose steps are not known."""


def operator_name(code: Any) -> str:
    """The name of an operator; of a custom one its own."""
    if code.customCode:
        custom = code.customCode
        return custom.decode() if isinstance(custom, bytes) else str(custom)
    name: str = _NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "unknown")
    return name


def is_builtin(name: str) -> bool:
    """Whether an operator of this name is in every stock interpreter."""
    return name in _NAMES.values()


def count_arithmetic(model: Any) -> Arithmetic:
    """The arithmetic of the first graph and of those that it calls.

    Raises ValueError for graphs that call each other in a circle.
    """
    counter = _Counter(model)
    total = counter.graph(0)
    return Arithmetic(total, tuple(counter.not_counted))


class _Counter:
    def __init__(self, model: Any) -> None:
        self._model = model
        self._names = [operator_name(code) for code in model.operatorCodes]
        self._totals: dict[int, int] = {}
        self._open: set[int] = set()
        self.not_counted: dict[str, None] = {}  # a set that keeps its order

    def graph(self, index: int) -> int:
        """The multiply-adds of one run of a graph."""
        if index in self._open:
            raise ValueError("graphs that call each other in a circle")
        if index not in self._totals:
            self._open.add(index)
            graph = self._model.subgraphs[index]
            self._totals[index] = sum(self._operator(graph, operator) for operator in graph.operators or [])
            self._open.discard(index)
        return self._totals[index]

    def _operator(self, graph: Any, operator: Any) -> int:
        name = self._names[operator.opcodeIndex]
        if name in _CALLS:
            return self._call(name, graph, operator)
        products = _products(name, graph, operator)
        if products is None:
            if name not in _MOVES_DATA.split():
                self.not_counted[name] = None
            return 0
        return products

    def _call(self, name: str, graph: Any, operator: Any) -> int:
        options = operator.builtinOptions
        if name == "WHILE":
            steps = self._steps(graph, operator)
            if steps is None:
                self.not_counted["the steps of a WHILE after its first"] = None
                steps = 1
            return steps * self.graph(options.bodySubgraphIndex) + self.graph(options.condSubgraphIndex)
        if name == "IF":
            return max(self.graph(options.thenSubgraphIndex), self.graph(options.elseSubgraphIndex))
        if name == "CALL":
            return self.graph(options.subgraph)
        return 0  # CALL_ONCE: not part of an invoke but the first

    def _steps(self, graph: Any, loop: Any) -> int | None:
        """How often a loop runs, where it counts from a constant in constant steps to a constant."""
        condition = self._model.subgraphs[loop.builtinOptions.condSubgraphIndex]
        body = self._model.subgraphs[loop.builtinOptions.bodySubgraphIndex]
        found = []
        for operator in condition.operators or []:
            if self._names[operator.opcodeIndex] != "LESS":
                continue
            places = [list(condition.inputs).index(i) for i in operator.inputs if i in condition.inputs]
            if len(places) not in (1, 2) or operator.inputs[0] not in condition.inputs:
                continue
            start = self._constant(graph, loop.inputs[places[0]])
            step = self._increment(body, places[0])
            if len(places) == 2:  # the end is handed to the loop and never changes
                same = body.outputs[places[1]] == body.inputs[places[1]]
                end = self._constant(graph, loop.inputs[places[1]]) if same else None
            else:
                end = self._constant(condition, operator.inputs[1])
            if start is not None and end is not None and step:
                found.append(max(0, -(-(end - start) // step)))
        return min(found, default=None)

    def _increment(self, body: Any, place: int) -> int | None:
        """What a loop's body adds to one of its variables, where that is a positive constant."""
        for operator in body.operators or []:
            if self._names[operator.opcodeIndex] == "ADD" and operator.outputs[0] == body.outputs[place]:
                for one, other in (operator.inputs, operator.inputs[::-1]):
                    added = self._constant(body, other)
                    if one == body.inputs[place] and added is not None and added > 0:
                        return added
        return None

    def _constant(self, graph: Any, index: int) -> int | None:
        """The value of a constant whole number."""
        tensor = graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        dtype = {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}.get(tensor.type)
        if data is None or dtype is None or len(data) != np.dtype(dtype).itemsize:
            return None
        return int(np.frombuffer(bytes(data), dtype)[0])


def _shape(graph: Any, index: int) -> list[int]:
    """A tensor's shape; an open dimension counts as 1."""
    shape = graph.tensors[index].shape
    return [] if shape is None else [max(1, int(n)) for n in shape]


def _products(name: str, graph: Any, operator: Any) -> int | None:
    """Products of one operator; None where it is none that is counted."""
    inputs: Sequence[int] = operator.inputs
    if name in _RECURRENT or name in _ONE_STEP:
        matrices = _RECURRENT.get(name) or _ONE_STEP[name]
        # all but the last axis: the batch, and the steps where there are any
        repeats = prod(_shape(graph, inputs[0])[:-1])
        if name == "LSTM" and len(inputs) == 5:  # the basic kernel: one matrix for everything
            matrices = (2,)
        present = [inputs[i] for i in matrices if i < len(inputs) and inputs[i] >= 0]
        return repeats * sum(prod(_shape(graph, i)) for i in present)
    if name == "FULLY_CONNECTED":
        weight = _shape(graph, inputs[1])
        return prod(_shape(graph, inputs[0])) // weight[-1] * prod(weight)
    if name == "BATCH_MATMUL":
        first, transposed = _shape(graph, inputs[0]), bool(operator.builtinOptions.adjX)
        return prod(_shape(graph, operator.outputs[0])) * first[-2 if transposed else -1]
    if name == "CONV_2D":  # weights (outputs, height, width, inputs of a group)
        return prod(_shape(graph, operator.outputs[0])) * prod(_shape(graph, inputs[1])[1:])
    if name == "DEPTHWISE_CONV_2D":  # weights (1, height, width, outputs)
        return prod(_shape(graph, operator.outputs[0])) * prod(_shape(graph, inputs[1])[1:3])
    if name == "CONV_3D":  # weights (depth, height, width, inputs, outputs)
        return prod(_shape(graph, operator.outputs[0])) * prod(_shape(graph, inputs[1])[:4])
    if name == "TRANSPOSE_CONV":  # weights (outputs, height, width, inputs)
        return prod(_shape(graph, inputs[2])) * prod(_shape(graph, inputs[1])[:3])
    return None
