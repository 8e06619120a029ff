"""What the calls of a model work on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization

Array = NDArray[Any]
Call = Callable[[], object]
"""A numpy function with the arrays that it reads and writes, ready to be called."""


@dataclass(frozen=True)
class Value:
    """A tensor while its model runs, or a constant."""

    array: Array
    """float32 numbers. Of int8: the stored numbers less their zero point, which float32 holds exactly and
    for which numpy has fast products."""
    quantization: Quantization | None = None
    """How the file stores it; None for float32."""

    @cached_property
    def real(self) -> Array:
        """The float32 numbers that it stands for; made once, since an unrolled graph asks at every step."""
        if self.quantization is None:
            return self.array
        return (self.array * np.float32(self.quantization.scale)).astype(np.float32)

    @cached_property
    def wide(self) -> Array:
        """The array in float64."""
        return self.array.astype(np.float64)


Kernel = Callable[[Sequence[Value], Value, Any], list[Call]]
"""From an operator's inputs, the output to be written and its options to the calls that do it."""


def rows(array: Array) -> Array:
    """`(..., n)` as `(rows, n)`, always a view: the values here are contiguous."""
    return array.reshape(-1, array.shape[-1])


def filled(number: float, like: Array) -> Array:
    """A constant beside an array: numpy is quicker with equal shapes and types than with a plain number."""
    return np.full_like(like, number)
