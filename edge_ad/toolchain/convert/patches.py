"""The graphs of layers on patches: per layer a gather of rows, and a dense layer on them.

Neither form keeps state. There is one with floats, which is the smallest and the fastest alike: its matrices
are unpacked when the model is loaded (see `GraphWriter.unpacked_weight`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from edge_ad.bundle.manifest import Quantization
from edge_ad.toolchain.architecture import ZERO_ROW, PatchArchitecture, PatchLayer, Weights, patch_layers
from edge_ad.toolchain.convert.flatbuffer import Tensor
from edge_ad.toolchain.convert.integer_writer import TANH, IntegerWriter
from edge_ad.toolchain.convert.operators import GraphWriter

Ranges = Mapping[str, Quantization]
"""Scale and zero point by traced quantity: see `edge_ad.toolchain.oracle`."""
_Shape = tuple[int, ...]


class _Mover(Protocol):
    """A writer of graphs, as far as it moves rows."""

    def reshape(self, inputs: int, shape: _Shape) -> int: ...
    def gather(self, inputs: int, rows: _Shape, shape: _Shape) -> int: ...
    def zeros_below(self, inputs: int, shape: _Shape) -> int: ...


def patch_model(architecture: PatchArchitecture, weights: Weights, *, int8: bool) -> bytes:
    """A `.tflite` file with float32 activations; `int8` is for the weights."""
    graph, window = GraphWriter(int8_weights=int8), _window(architecture)
    inputs = rows = graph.activation(*window)
    shape = window
    for layer, (kernel, bias) in zip(architecture.layers, patch_layers(weights), strict=True):
        patches = _patches(graph, rows, shape, layer)
        shape = (1, len(layer.patches), layer.units)
        weight = graph.unpacked_weight(np.ascontiguousarray(kernel.T))
        rows = graph.dense(patches, weight, graph.constant(bias), shape)
        if layer.activation:
            rows = graph.operator(layer.activation.upper(), [rows], shape)
    return graph.to_bytes(inputs, rows if shape == window else graph.reshape(rows, window))


def integer_patch_model(architecture: PatchArchitecture, weights: Weights, ranges: Ranges) -> bytes:
    """A `.tflite` file with int8 tensors throughout. Raises ConversionError for weights too large for it."""
    graph, window = IntegerWriter(), _window(architecture)
    inputs = rows = graph.tensor(Tensor(window, "int8", None, ranges["input"]))
    shape = window
    for index, (layer, (kernel, bias)) in enumerate(
        zip(architecture.layers, patch_layers(weights), strict=True)
    ):
        patches = _patches(graph, rows, shape, layer)
        shape = (1, len(layer.patches), layer.units)
        # The range of what relu gives begins at zero, so that the product's own limits are the relu.
        to = ranges["output" if layer is architecture.layers[-1] else f"{index}.sum"]
        rows = graph.product(patches, kernel, bias, shape[:2], to)
        if layer.activation == "tanh":
            rows = graph.operator("TANH", [rows], shape, TANH)
    return graph.to_bytes(inputs, rows if shape == window else graph.reshape(rows, window))


def _window(architecture: PatchArchitecture) -> _Shape:
    return 1, architecture.window_length, architecture.n_channels


def _patches(graph: _Mover, rows: int, shape: _Shape, layer: PatchLayer) -> int:
    """A layer's patches `(1, patches, rows of each * width)`, from what the layer before gave."""
    n_rows = shape[1] * shape[2] // layer.width
    if shape[2] != layer.width:
        rows = graph.reshape(rows, (1, n_rows, layer.width))
    if ZERO_ROW in layer.rows:
        rows = graph.zeros_below(rows, (1, n_rows, layer.width))
        n_rows += 1
    wanted = tuple(row % n_rows for row in layer.rows)
    if wanted != tuple(range(n_rows)):
        rows = graph.gather(rows, wanted, (1, len(wanted), layer.width))
    if len(layer.patches[0]) > 1:
        rows = graph.reshape(rows, (1, len(layer.patches), len(layer.patches[0]) * layer.width))
    return rows
