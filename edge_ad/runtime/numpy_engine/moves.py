"""Operators that compute nothing. Mostly their output is another look at their input's memory: no call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from edge_ad.runtime.numpy_engine.values import Array, Call, Kernel, Value, rows

Shapes = Sequence[tuple[int, ...]]


def views(name: str, inputs: Sequence[Value], shapes: Shapes) -> list[Array] | None:
    """Outputs of these shapes as views of the inputs; None where the operator must be run.

    A value's rows can be looked at as a matrix, which those of some cuts of three axes cannot.
    """
    look = _VIEWS.get(name)
    found = look(inputs, shapes) if look else None
    if found is None or not all(np.may_share_memory(rows(array), array) for array in found):
        return None
    return found


def _reshaped(inputs: Sequence[Value], shapes: Shapes) -> list[Array] | None:
    array = inputs[0].array
    reshaped = array.reshape(shapes[0])
    return [reshaped] if np.may_share_memory(array, reshaped) else None  # else it is a copy


def _cut(inputs: Sequence[Value], shapes: Shapes) -> list[Array]:
    values, begin, size = (value.array for value in inputs)
    place = zip(begin.tolist(), size.tolist(), strict=True)
    return [values[tuple(slice(start, start + length) for start, length in place)]]


def _parts(inputs: Sequence[Value], shapes: Shapes) -> list[Array]:
    return np.split(inputs[1].array, len(shapes), axis=1)


def _repeated(inputs: Sequence[Value], shapes: Shapes) -> list[Array] | None:
    """One row over and over, such as the code of an autoencoder: it stands in memory once."""
    values, indices = (value.array for value in inputs)
    row = int(indices[0])
    if (indices != row).any():
        return None
    return [np.broadcast_to(values[:, row : row + 1], shapes[0])]


_VIEWS: dict[str, Callable[[Sequence[Value], Shapes], list[Array] | None]] = {
    "GATHER": _repeated,
    "RESHAPE": _reshaped,
    "SLICE": _cut,
    "SPLIT": _parts,
}


def _concatenation(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    return [partial(np.concatenate, [value.array for value in inputs], 0, to.array)]


def _gather(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    values, indices = inputs
    return [partial(values.array.take, indices.array, 1, to.array, "clip")]


def _reshape(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    values = inputs[0].array
    return [partial(np.copyto, to.array.reshape(values.shape), values)]


def _slice(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    (cut,) = _cut(inputs, [to.array.shape])
    return [partial(np.copyto, to.array, cut)]


MOVES: dict[str, Kernel] = {
    "CONCATENATION": _concatenation,
    "GATHER": _gather,
    "RESHAPE": _reshape,
    "SLICE": _slice,
}
"""By operator: what moves numbers where a view would not do."""
