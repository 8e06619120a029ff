"""What int8 weights do to the numbers that they are multiplied with.

A kernel with int8 weights and float32 inputs rounds each row of its input to int8, with a scale that it makes
for that row, and multiplies integers. Here the row is rounded in the same way and multiplied as what it then
stands for: the same product, but for the rounding of float32 sums.

The two kernels differ, and for the dense one the two interpreters as well: this is that of XNNPACK as
ai-edge-litert 2.3 has it. tflite-runtime 2.14 rounds the rows of dense layers as those of LSTMs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from edge_ad.runtime.numpy_engine.values import Array, Call, filled

_LEAST_RANGE = 1e-30
"""Instead of the range of a row of zeros, which no scale fits."""


def symmetric_rows(matrix: Array, *, negative: bool = True) -> tuple[list[Call], Array]:
    """Rows as -127 … 127 times their largest amount / 127: for LSTMs. Returns calls, and what they write.

    Without `negative` no number is below zero, which saves a call.
    """
    rounded = np.empty_like(matrix, order="C")
    steps_per_unit = _number_per_row(matrix)
    calls: list[Call] = [partial(np.absolute, matrix, rounded)] if negative else []
    calls += [
        _extreme(np.maximum.reduce, rounded if negative else matrix, steps_per_unit, _LEAST_RANGE),
        partial(np.divide, filled(127, steps_per_unit), steps_per_unit, steps_per_unit),
        partial(np.multiply, matrix, steps_per_unit, rounded),
        partial(np.rint, rounded, rounded),
        partial(np.divide, rounded, steps_per_unit, rounded),
    ]
    return calls, rounded


def asymmetric_rows(matrix: Array) -> tuple[list[Call], Array]:
    """Rows as 256 steps from their smallest to their largest number, zero among them: for dense layers."""
    rounded = np.empty_like(matrix, order="C")
    low, high, steps_per_unit = (_number_per_row(matrix) for _ in range(3))
    calls: list[Call] = [
        _extreme(np.minimum.reduce, matrix, low, 0),
        _extreme(np.maximum.reduce, matrix, high, _LEAST_RANGE),
        partial(np.subtract, high, low, high),
        partial(np.divide, filled(255, high), high, steps_per_unit),
        # Zero has a step of its own, so that the last step may not be the nearest to the largest number.
        partial(np.multiply, low, steps_per_unit, low),
        partial(np.rint, low, low),
        partial(np.add, low, filled(255, low), high),
        partial(np.multiply, matrix, steps_per_unit, rounded),
        partial(np.rint, rounded, rounded),
        partial(np.minimum, rounded, high, out=rounded),
        partial(np.divide, rounded, steps_per_unit, rounded),
    ]
    return calls, rounded


def _number_per_row(matrix: Array) -> Array:
    """Room for a column of numbers, or a lone one for a lone row, which numpy is quicker with."""
    return np.empty((len(matrix), 1) if len(matrix) > 1 else (), np.float32)


def _extreme(reduce: Callable[..., Array], matrix: Array, to: Array, limit: float) -> Call:
    """The largest or smallest number of each row, or `limit` where that goes further."""
    axis = 1 if to.ndim else None
    return partial(reduce, matrix, axis, None, to, bool(to.ndim), limit)
