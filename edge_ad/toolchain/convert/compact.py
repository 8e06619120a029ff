"""The smallest file: fused LSTM operators, one gather, one dense layer."""

from __future__ import annotations

from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.flatbuffer import GraphWriter


def compact_model(architecture: Architecture, weights: Weights, *, int8: bool) -> bytes:
    """A `.tflite` file of an autoencoder; its LSTM states must be reset before every window.

    The stock converter never fuses an LSTM with relu, yet the kernel runs one: its activation is an
    option of the operator.
    """
    steps, activation = architecture.window_length, architecture.activation
    layers = [weights[i : i + 3] for i in range(0, len(weights) - 2, 3)]
    graph = GraphWriter()
    inputs = sequence = graph.activation(1, steps, architecture.n_channels)
    for kernels in layers[: len(architecture.encoder)]:
        sequence = graph.lstm(sequence, kernels, steps, activation, int8=int8)
    sequence = graph.repeat_last_step(sequence, steps, architecture.encoder[-1])
    for kernels in layers[len(architecture.encoder) :]:
        sequence = graph.lstm(sequence, kernels, steps, activation, int8=int8)
    kernel, bias = weights[-2:]
    return graph.to_bytes(inputs, graph.dense(sequence, kernel, bias, steps, int8=int8))
