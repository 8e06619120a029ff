"""Operators on float32 numbers, one with int8 weights among them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from edge_ad.bundle.tflite_schema import RELU
from edge_ad.runtime.numpy_engine.dynamic import asymmetric_rows
from edge_ad.runtime.numpy_engine.lstm import lstm
from edge_ad.runtime.numpy_engine.moves import MOVES
from edge_ad.runtime.numpy_engine.values import Array, Call, Kernel, Value, filled, rows


def _add(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    calls: list[Call] = [partial(np.add, inputs[0].array, inputs[1].array, to.array)]
    if options.fused_activation_function == RELU:
        calls.append(_positive(to.array, to.array))
    return calls


def _multiply(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    return [partial(np.multiply, inputs[0].array, inputs[1].array, to.array)]


def _relu(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    return [_positive(inputs[0].array, to.array)]


def _positive(array: Array, to: Array) -> Call:
    return partial(np.maximum, array, filled(0, to), out=to)


def _logistic(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    """`1 / (1 + exp(-x))`; where the power is infinite the quotient is zero, as it must be."""
    return [
        partial(np.negative, inputs[0].array, to.array),
        partial(np.exp, to.array, to.array),
        partial(np.add, to.array, filled(1, to.array), to.array),
        partial(np.reciprocal, to.array, to.array),
    ]


def _tanh(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    return [partial(np.tanh, inputs[0].array, to.array)]


def _fully_connected(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    values, weight, bias = inputs
    calls: list[Call] = []
    matrix, output = rows(values.array), rows(to.array)
    if weight.quantization is not None:
        calls, matrix = asymmetric_rows(matrix)
    calls.append(partial(matrix.dot, weight.real.T, output))
    if bias.array.any():
        calls.append(partial(np.add, output, np.broadcast_to(bias.array, output.shape).copy(), output))
    return calls


KERNELS: dict[str, Kernel] = {
    **MOVES,
    "ADD": _add,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _logistic,
    "MUL": _multiply,
    "RELU": _relu,
    "TANH": _tanh,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
}
"""By operator."""
