"""Operators on int8 numbers, rounded as XNNPACK's kernels round them (ai-edge-litert 2.3, x86-64).

Values are stored numbers less their zero point, in float32: whole numbers of at most 255, so that no operator
needs to know a zero point but for the range of its output, and products and most sums of them are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.tflite_schema import RELU
from edge_ad.runtime.numpy_engine.moves import MOVES
from edge_ad.runtime.numpy_engine.values import Array, Call, Kernel, Value, filled, rows

_LARGEST_PRODUCT = 255 * 127  # of a value and a weight
_EXACT_BELOW = 2**24  # float32 holds every whole number below it
_FACTOR_BITS = 20  # of the larger factor in a sum of two values


def quantize(window: Array, to: Value) -> list[Call]:
    """A float32 window as the nearest numbers of the model's input."""
    quantization = _quantization(to)
    return _rescale(window, np.float32(1 / quantization.scale), to)


def dequantize(value: Value, to: Array) -> list[Call]:
    """The model's output as float32."""
    return [partial(np.multiply, value.array, filled(_quantization(value).scale, to), to)]


def _quantization(value: Value) -> Quantization:
    """How a value is stored; no int8 tensor is without, and the structure check sees to that."""
    return value.quantization or Quantization(1.0, 0)


def _scale(value: Value) -> np.float32:
    return np.float32(_quantization(value).scale)


def _add(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    """Both values times whole factors, halves rounded up: whole numbers as in the kernel, so exact here."""
    ratios = [float(_scale(value) / _scale(to)) for value in inputs]
    shift = _FACTOR_BITS + 1 - math.frexp(max(ratios))[1]
    factors = [round(math.ldexp(ratio, shift)) for ratio in ratios]
    first, second = (np.empty(to.array.shape, np.float64) for _ in range(2))
    half = filled(0.5, first)
    calls: list[Call] = [
        partial(np.multiply, value.array, filled(math.ldexp(factor, -shift), product), product)
        for value, factor, product in zip(inputs, factors, (first, second), strict=True)
    ]
    calls += [
        partial(np.add, first, second, first),
        partial(np.add, first, half, first),
        partial(np.floor, first, to.array),
    ]
    return calls + _clip(to, relu=options.fused_activation_function == RELU)


def _multiply(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    first, second = inputs
    factor = _scale(first) * _scale(second) / _scale(to)
    product = partial(np.multiply, first.array, second.array, to.array)
    return [product, *_rescale(to.array, factor, to)]


def _relu(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    """The nearest number. Where scales differ the kernel rounds twice, and is one off at times."""
    if inputs[0].quantization == to.quantization:
        return [partial(np.fmax, inputs[0].array, filled(0, to.array), to.array)]
    return _rescale(inputs[0].array, _scale(inputs[0]) / _scale(to), to, relu=True)


def _table(function: Callable[[Array], Array]) -> Kernel:
    """A function of one value: there are only 256 of them."""

    def look_up(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
        zero_point, output = _quantization(inputs[0]).zero_point, _quantization(to)
        numbers = np.arange(-128, 128) - zero_point
        results = function((numbers * float(_scale(inputs[0]))).astype(np.float32)) / _scale(to)
        table = np.clip(np.rint(results) + output.zero_point, -128, 127) - output.zero_point
        # Rolled so that a value's place is the value itself, negative ones counted from the end.
        table = np.roll(table, -128 - zero_point).astype(np.float32)
        places = np.empty(to.array.shape, np.intp)
        return [
            partial(np.copyto, places, inputs[0].array, "unsafe"),
            partial(table.take, places, None, to.array, "wrap"),
        ]

    return look_up


def _logistic(numbers: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-numbers))
    return result


def _fully_connected(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    values, weight, bias = inputs
    calls: list[Call] = []
    matrix, weights, numbers = rows(values.array), weight.array, to.array
    largest = matrix.shape[1] * _LARGEST_PRODUCT + float(np.abs(bias.array.astype(np.float64)).max())
    if largest >= _EXACT_BELOW:
        wide = matrix.astype(np.float64)
        calls.append(partial(np.copyto, wide, matrix))
        matrix, weights, numbers = wide, weight.wide, np.empty(to.array.shape, np.float64)
    sums = rows(numbers)
    calls.append(partial(matrix.dot, weights.T, sums))
    if bias.array.any():
        biases = np.broadcast_to(bias.array, sums.shape).astype(sums.dtype)
        calls.append(partial(np.add, sums, biases, sums))
    if numbers is not to.array:
        calls.append(partial(np.copyto, to.array, numbers, "same_kind"))
    factor = _scale(values) * _scale(weight) / _scale(to)
    return calls + _rescale(to.array, factor, to)


def _clip(to: Value, *, relu: bool = False) -> list[Call]:
    """Limit an output to the numbers that int8 can hold."""
    low, high = -128 - _quantization(to).zero_point, 127 - _quantization(to).zero_point
    # fmax and fmin, since maximum and minimum take their output by name only, which costs more.
    return [
        partial(np.fmax, to.array, filled(max(low, 0) if relu else low, to.array), to.array),
        partial(np.fmin, to.array, filled(high, to.array), to.array),
    ]


def _rescale(sums: Array, factor: np.float32, to: Value, *, relu: bool = False) -> list[Call]:
    """float32 numbers times a factor, as the nearest numbers of the output."""
    calls: list[Call] = [
        partial(np.multiply, sums, filled(float(factor), to.array), to.array),
        partial(np.rint, to.array, to.array),
    ]
    return calls + _clip(to, relu=relu)


KERNELS: dict[str, Kernel] = {
    **MOVES,
    "ADD": _add,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _table(_logistic),
    "MUL": _multiply,
    "RELU": _relu,
    "TANH": _table(np.tanh),
}
"""By operator."""
