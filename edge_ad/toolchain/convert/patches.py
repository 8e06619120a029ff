"""The graphs of layers on patches: per layer a gather of rows, and a dense layer on them.

Neither form keeps state. There is one with floats, which is the smallest and the fastest alike: its matrices
are unpacked when the model is loaded (see `GraphWriter.unpacked_weight`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_ad.bundle.manifest import Quantization
from edge_ad.toolchain.architecture import PatchArchitecture, PatchLayer, Weights, patch_layers
from edge_ad.toolchain.convert.flatbuffer import Tensor
from edge_ad.toolchain.convert.integer_writer import TANH, IntegerWriter
from edge_ad.toolchain.convert.operators import GraphWriter

Ranges = Mapping[str, Quantization]
"""Scale and zero point by traced quantity: see `edge_ad.toolchain.oracle`."""


def patch_model(architecture: PatchArchitecture, weights: Weights, *, int8: bool) -> bytes:
    """A `.tflite` file with float32 activations; `int8` is for the weights."""
    graph = GraphWriter(int8_weights=int8)
    n_rows, width = architecture.window_length, architecture.n_channels
    inputs = rows = graph.activation(1, n_rows, width)
    for layer, (kernel, bias) in zip(architecture.layers, patch_layers(weights), strict=True):
        if not _in_order(layer, n_rows):
            rows = graph.gather(rows, layer.rows, (1, len(layer.rows), width))
        if len(layer.patches[0]) > 1:
            rows = graph.reshape(rows, (1, len(layer.patches), len(kernel)))
        n_rows, width = len(layer.patches), layer.units
        shape = (1, n_rows, width)
        weight = graph.unpacked_weight(np.ascontiguousarray(kernel.T))
        rows = graph.dense(rows, weight, graph.constant(bias), shape)
        if layer.activation:
            rows = graph.operator(layer.activation.upper(), [rows], shape)
    if (n_rows, width) != (architecture.window_length, architecture.n_channels):
        rows = graph.reshape(rows, (1, architecture.window_length, architecture.n_channels))
    return graph.to_bytes(inputs, rows)


def integer_patch_model(architecture: PatchArchitecture, weights: Weights, ranges: Ranges) -> bytes:
    """A `.tflite` file with int8 tensors throughout. Raises ConversionError for weights too large for it."""
    graph = IntegerWriter()
    n_rows, width = architecture.window_length, architecture.n_channels
    scale = ranges["input"]
    inputs = rows = graph.tensor(Tensor((1, n_rows, width), "int8", None, scale))
    for index, (layer, (kernel, bias)) in enumerate(
        zip(architecture.layers, patch_layers(weights), strict=True)
    ):
        if not _in_order(layer, n_rows):
            rows = graph.gather(rows, layer.rows, (1, len(layer.rows), width), scale)
        if len(layer.patches[0]) > 1:
            rows = graph.reshape(rows, (1, len(layer.patches), len(kernel)), scale)
        n_rows, width = len(layer.patches), layer.units
        is_last = layer is architecture.layers[-1]
        # The range of what relu gives begins at zero, so that the product's own limits are the relu.
        to = ranges["output" if is_last else f"{index}.sum"]
        rows, scale = graph.product(rows, scale, kernel, bias, (1, n_rows), to), to
        if layer.activation == "tanh":
            rows, scale = graph.operator("TANH", [rows], (1, n_rows, width), TANH), TANH
    if (n_rows, width) != (architecture.window_length, architecture.n_channels):
        rows = graph.reshape(rows, (1, architecture.window_length, architecture.n_channels), scale)
    return graph.to_bytes(inputs, rows)


def _in_order(layer: PatchLayer, n_rows: int) -> bool:
    """Whether its patches are the rows as they stand in memory."""
    return layer.rows == tuple(range(n_rows))
