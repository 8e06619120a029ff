"""The smallest file: fused LSTM operators, one gather, one dense layer."""

from __future__ import annotations

from edge_ad.toolchain.architecture import LstmArchitecture, Weights, lstm_layers
from edge_ad.toolchain.convert.operators import GraphWriter


def compact_model(architecture: LstmArchitecture, weights: Weights, *, int8: bool) -> bytes:
    """A `.tflite` file of an autoencoder; its LSTM states must be reset before every window.

    The stock converter never fuses an LSTM with relu, yet the kernel runs one: its activation is an
    option of the operator.
    """
    steps, activation = architecture.window_length, architecture.activation
    layers = lstm_layers(weights)
    graph = GraphWriter(int8_weights=int8)
    inputs = sequence = graph.activation(1, steps, architecture.n_channels)
    for kernels in layers[: len(architecture.encoder)]:
        sequence = graph.lstm(sequence, kernels, steps, activation)
    # One gather takes the last step and repeats it.
    sequence = graph.gather(sequence, [steps - 1] * steps, (1, steps, architecture.encoder[-1]))
    for kernels in layers[len(architecture.encoder) :]:
        sequence = graph.lstm(sequence, kernels, steps, activation)
    kernel, bias = weights[-2:]
    shape = (1, steps, architecture.n_channels)
    outputs = graph.dense(sequence, graph.weight(kernel.T), graph.constant(bias), shape)
    return graph.to_bytes(inputs, outputs)
