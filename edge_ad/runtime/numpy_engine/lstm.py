"""A fused LSTM operator with few calls for each of its time steps: eight, with `tanh` nine.

Formulas: Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000). Of a step's sums `i`, `f`, `o`
for the gates and `c` for the candidate,

    cell = activate(c) / (1 + exp(-i)) + cell / (1 + exp(-f))
    hidden = activate(cell) / (1 + exp(-o))

- The gates' matrices are joined, so that one product makes all sums. Those of the three sigmoids come out
  negative, as `exp` wants them: their weights change sign when the model is loaded.
- A sigmoid is only ever multiplied with, which takes a division and no reciprocal. Candidate and cell stand
  side by side, as do their gates, so that one division does for both.
- The input's part of the sums is made for all steps at once, and of one row that is repeated just once.
- Every window starts from zero state: the first step has no recurrent product and no forget gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from edge_ad.bundle.tflite_schema import RELU
from edge_ad.runtime.numpy_engine.dynamic import symmetric_rows
from edge_ad.runtime.numpy_engine.values import Array, Call, Value, filled, rows


def lstm(inputs: Sequence[Value], to: Value, options: Any) -> list[Call]:
    """Calls that make hidden states `(batch, steps, units)` of an input `(batch, steps, inputs)`.

    After the input come four matrices for it, four for the hidden state and four biases.
    """
    values, hidden = inputs[0].array, to.array
    relu, hybrid = options.fused_activation_function == RELU, inputs[1].quantization is not None
    if values.strides[1] == 0:  # one row, repeated
        values = values[:, :1]
    calls, matrix = symmetric_rows(rows(values)) if hybrid else ([], rows(values))
    kernel, recurrent, bias = (_joined(inputs[first : first + 4]) for first in (1, 5, 9))
    from_input = np.empty((len(matrix), len(bias)), np.float32)
    biases = np.broadcast_to(bias, from_input.shape).copy()
    calls += [partial(matrix.dot, kernel, from_input), partial(np.add, from_input, biases, from_input)]
    from_input = from_input.reshape(*values.shape[:2], -1)

    cell = _Cell(len(values), hidden.shape[2], relu=relu)
    for step in range(hidden.shape[1]):
        sums = from_input[:, step % from_input.shape[1]]
        if step:
            before = hidden[:, step - 1]
            if hybrid:
                rounding, before = symmetric_rows(before, negative=not relu)
                calls += rounding
            calls.append(partial(before.dot, recurrent, cell.sums))
            calls.append(partial(np.add, cell.sums, sums, cell.sums))
            sums = cell.sums
        calls += cell.step(sums, hidden[:, step], first=step == 0)
    return calls


def _joined(gates: Sequence[Value]) -> Array:
    """Of the gates input, forget, cell, output, the columns (or biases) `-input, -forget, -output, cell`."""
    into, forget, candidate, out = (value.real for value in gates)
    return np.ascontiguousarray(np.concatenate([-into, -forget, -out, candidate]).T)


class _Cell:
    """The arrays that all steps of a layer work in, `(batch, …)` each."""

    def __init__(self, batch: int, units: int, *, relu: bool) -> None:
        def array(width: int) -> Array:
            return np.zeros((batch, width * units), np.float32)

        self.sums = array(4)
        """`-input, -forget, -output, candidate`"""
        self._gates = array(3)
        """`1 / sigmoid` of input, forget and output."""
        self._ones = filled(1, self._gates)
        self._sides = array(2)
        """The candidate and the cell."""
        self._shares = array(2)
        """What each of them adds to the new cell."""
        self._shown = array(1)
        self._zeros = array(1)
        self._units, self._relu = units, relu

    def step(self, sums: Array, hidden: Array, *, first: bool) -> list[Call]:
        """From a step's sums to its hidden state; the first one's cell was zero."""
        n, gates = self._units, self._gates
        candidate, cell = self._sides[:, :n], self._sides[:, n:]
        calls: list[Call] = [
            partial(np.exp, sums[:, : 3 * n], gates),
            partial(np.add, gates, self._ones, gates),
        ]
        if self._relu:
            calls.append(partial(np.maximum, sums[:, 3 * n :], self._zeros, out=candidate))
        else:
            calls.append(partial(np.tanh, sums[:, 3 * n :], candidate))
        if first:
            calls.append(partial(np.divide, candidate, gates[:, :n], cell))
        else:
            calls.append(partial(np.divide, self._sides, gates[:, : 2 * n], self._shares))
            calls.append(partial(np.add, self._shares[:, :n], self._shares[:, n:], cell))
        shown = cell  # with relu it is never negative: a sum of products of what is not
        if not self._relu:
            shown = self._shown
            calls.append(partial(np.tanh, cell, shown))
        calls.append(partial(np.divide, shown, gates[:, 2 * n :], hidden))
        return calls
