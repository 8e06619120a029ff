"""The fastest graph: unrolled and restructured for XNNPACK, no state between invokes.

Equal to the Keras model with less work per window:

- a layer's input is projected for all steps in one product, the repeated code just once;
- the first step has no recurrent product and no forget gate, since its state is zero;
- with relu the output needs no activation: the cell is a sum of products of what is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.architecture import LstmArchitecture, Weights, lstm_layers
from edge_ad.toolchain.convert.flatbuffer import Options
from edge_ad.toolchain.convert.operators import GraphWriter


def fast_model(architecture: LstmArchitecture, weights: Weights, *, int8: bool) -> bytes:
    """A `.tflite` file of an autoencoder; every operator of it has a float kernel in XNNPACK."""
    return _FastGraph(architecture, weights, int8=int8).to_bytes()


class _FastGraph:
    """Builds the graph of one autoencoder, layer by layer."""

    def __init__(self, architecture: LstmArchitecture, weights: Weights, *, int8: bool) -> None:
        self._architecture = architecture
        self._layers = lstm_layers(weights)
        self._dense = weights[-2:]
        self._graph = GraphWriter(int8_weights=int8)

    def to_bytes(self) -> bytes:
        graph, shape = self._graph, self._architecture
        steps, n_encoders = shape.window_length, len(shape.encoder)
        inputs = graph.activation(1, steps, shape.n_channels)
        sequence, hidden = inputs, []
        for layer in self._layers[:n_encoders]:
            hidden = self._lstm(self._rows(self._project(sequence, layer, steps), layer), layer)
            sequence = self._stack(hidden, layer)
        # The code is the same at every step, so is its projection.
        code = self._project(hidden[-1], self._layers[n_encoders], 1)
        hidden = self._lstm([code] * steps, self._layers[n_encoders])
        for before, layer in zip(self._layers[n_encoders:], self._layers[n_encoders + 1 :], strict=False):
            sequence = self._stack(hidden, before)
            hidden = self._lstm(self._rows(self._project(sequence, layer, steps), layer), layer)
        sequence = self._stack(hidden, self._layers[-1])
        kernel, bias = self._dense
        flat = graph.dense(
            sequence,
            graph.unpacked_weight(np.ascontiguousarray(kernel.T)),
            graph.constant(bias),
            (steps, shape.n_channels),
        )
        outputs = graph.reshape(flat, (1, steps, shape.n_channels))
        return graph.to_bytes(inputs, outputs)

    def _project(self, inputs: int, layer: Sequence[NDArray[np.float32]], rows: int) -> int:
        """Gate sums `(rows, 4 * units)` from the input alone, bias included."""
        kernel, _, bias = layer
        weight = self._graph.unpacked_weight(np.ascontiguousarray(kernel.T))
        return self._graph.dense(inputs, weight, self._graph.constant(bias), (rows, len(bias)))

    def _rows(self, stacked: int, layer: Sequence[NDArray[np.float32]]) -> list[int]:
        """The rows `(1, 4 * units)` of a projection, one per step."""
        graph, width = self._graph, len(layer[2])
        size = graph.constant(np.array([1, width], np.int32))
        begins = [graph.constant(np.array([t, 0], np.int32)) for t in range(self._architecture.window_length)]
        return [graph.operator("SLICE", [stacked, b, size], (1, width), Options("Slice")) for b in begins]

    def _stack(self, hidden: list[int], layer: Sequence[NDArray[np.float32]]) -> int:
        """Rows `(1, units)` as one `(steps, units)`."""
        shape = (len(hidden), layer[1].shape[0])
        return self._graph.operator("CONCATENATION", hidden, shape, Options("Concatenation", (("axis", 0),)))

    def _lstm(self, projections: list[int], layer: Sequence[NDArray[np.float32]]) -> list[int]:
        """Hidden states `(1, units)` of all steps, from the input's part of the gate sums."""
        graph = self._graph
        _, recurrent, bias = layer
        units = recurrent.shape[0]
        shape = (1, units)
        weight = graph.unpacked_weight(np.ascontiguousarray(recurrent.T))
        no_bias = graph.constant(np.zeros_like(bias))
        activation = self._architecture.activation
        hidden = cell = None
        states: list[int] = []
        for gates in projections:
            total = gates
            if hidden is not None:
                from_hidden = graph.dense(hidden, weight, no_bias, (1, 4 * units))
                total = graph.operator("ADD", [from_hidden, gates], (1, 4 * units), Options("Add"))
            into, forget, candidate, out = graph.split(total, 1, 4, shape)
            let_in = graph.operator("LOGISTIC", [into], shape)
            activated = graph.operator(activation.upper(), [candidate], shape)
            added = graph.operator("MUL", [let_in, activated], shape, Options("Mul"))
            if cell is None:
                cell = added
            else:
                keep = graph.operator("LOGISTIC", [forget], shape)
                kept = graph.operator("MUL", [keep, cell], shape, Options("Mul"))
                cell = graph.operator("ADD", [kept, added], shape, Options("Add"))
            shown = cell if activation == "relu" else graph.operator("TANH", [cell], shape)
            let_out = graph.operator("LOGISTIC", [out], shape)
            hidden = graph.operator("MUL", [let_out, shown], shape, Options("Mul"))
            states.append(hidden)
        return states
