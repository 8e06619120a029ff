"""The autoencoder as a flat TensorFlow graph, restructured for inference.

Equal to the Keras model, with less work per window: the first encoder layer's input is projected for
all time steps in one product, the repeated code is projected once, the first step has no recurrent
product (the state is zero), and the three sigmoid gates stand together so that one operator serves
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.tensorflow import load_tensorflow


def inference_function(architecture: Architecture, weights: Weights) -> Any:
    """A `tf.function` from one `(1, window_length, n_channels)` float32 window to its reconstruction."""
    tf = load_tensorflow()
    steps = architecture.window_length
    layers = [weights[i : i + 3] for i in range(0, len(weights) - 2, 3)]
    dense_kernel, dense_bias = weights[-2:]

    def lstm(index: int, inputs: list[Any]) -> list[Any]:
        """Hidden states `(1, units)` of all steps. A single input stands for the same at every step."""
        kernel, recurrent, bias = (tf.constant(_sigmoids_first(w)) for w in layers[index])
        together = inputs[0] if len(inputs) == 1 else tf.concat(inputs, 0)
        projected = tf.split(tf.matmul(together, kernel) + bias, len(inputs), 0)
        hidden = cell = None
        states = []
        for step in range(steps):
            gates = projected[step if len(projected) > 1 else 0]
            if hidden is not None:
                gates = gates + tf.matmul(hidden, recurrent)
            hidden, cell = _cell(tf, gates, cell, architecture.activation)
            states.append(hidden)
        return states

    def reconstruct(window: Any) -> Any:
        sequence = tf.split(window[0], steps, 0) if steps > 1 else [window[0]]
        n_encoders = len(architecture.encoder)
        for index in range(n_encoders):
            sequence = lstm(index, sequence)
        sequence = sequence[-1:]
        for index in range(n_encoders, n_encoders + len(architecture.decoder)):
            sequence = lstm(index, sequence)
        return (tf.matmul(tf.concat(sequence, 0), tf.constant(dense_kernel)) + dense_bias)[None]

    signature = tf.TensorSpec((1, steps, architecture.n_channels), tf.float32)
    return tf.function(reconstruct, autograph=False, input_signature=[signature])


def _cell(tf: Any, gates: Any, cell: Any, activation: str) -> tuple[Any, Any]:
    """One LSTM step from `(1, 4 * units)` gate sums; `cell` is None for the zero state."""
    activate = {"relu": tf.nn.relu, "tanh": tf.tanh}[activation]
    units = gates.shape[-1] // 4
    sigmoids = tf.sigmoid(gates[:, : 3 * units])
    candidate = sigmoids[:, :units] * activate(gates[:, 3 * units :])
    cell = candidate if cell is None else sigmoids[:, units : 2 * units] * cell + candidate
    return sigmoids[:, 2 * units :] * activate(cell), cell


def _sigmoids_first(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder gates from Keras's input, forget, cell, output to input, forget, output, cell."""
    i, f, c, o = np.split(weight, 4, axis=-1)
    return np.concatenate([i, f, o, c], axis=-1)
