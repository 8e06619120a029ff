"""What an autoencoder looks like, and its weights, without any framework.

Two families: LSTM layers around a code, and dense layers on patches of rows, which convolutional and dense
autoencoders are. What the rest of the toolchain must know of one it asks the architecture for.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Activation = Literal["relu", "tanh"]

Draw = Literal["kernel", "recurrent", "zeros", "forget"]
"""How an array of weights begins, as Keras draws it: Glorot-uniform, orthogonal, zeros, or the biases of an
LSTM's gates, zeros but for the forget gate's ones."""

W = TypeVar("W")

Weights = list[NDArray[np.float32]]
"""Arrays of `weight_shapes`; an LSTM's four gates stand in the order input, forget, cell, output."""


@dataclass(frozen=True)
class LstmArchitecture:
    """LSTM layers that encode a window into one code, LSTM layers that decode it, a dense layer.

    `encoder` and `decoder` hold the units of each layer in order: `(16,)` and `(16,)` for the tiny
    SKAB model, `(16, 4)` and `(4, 16)` for the bearing model. The code is repeated for every time step.
    """

    window_length: int
    n_channels: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        sizes = (self.window_length, self.n_channels, *self.encoder, *self.decoder)
        if not self.encoder or not self.decoder or min(sizes) < 1:
            raise ValueError(f"every layer, the window and the channels need a size of at least 1: {self}")

    @property
    def layer_inputs(self) -> list[tuple[int, int]]:
        """`(inputs, units)` of every LSTM layer, encoder first."""
        units = [*self.encoder, *self.decoder]
        return list(zip([self.n_channels, *units[:-1]], units, strict=True))

    @property
    def weight_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all weights in order: per LSTM kernel, recurrent kernel, bias; then the dense pair."""
        shapes: list[tuple[int, ...]] = []
        for inputs, units in self.layer_inputs:
            shapes += [(inputs, 4 * units), (units, 4 * units), (4 * units,)]
        return [*shapes, (self.decoder[-1], self.n_channels), (self.n_channels,)]

    @property
    def draws(self) -> list[Draw]:
        """How each of them begins."""
        lstm: list[Draw] = ["kernel", "recurrent", "forget"]
        return [*(lstm * len(self.layer_inputs)), "kernel", "zeros"]

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(map(prod, self.weight_shapes))

    def reordered(self, weights: Weights, rng: np.random.Generator) -> Weights:
        """The same network with the units of every LSTM layer in another order."""
        arrays: Weights = []
        before = np.arange(self.n_channels)
        for kernel, recurrent, bias in lstm_layers(weights):
            order = rng.permutation(len(recurrent))
            gates = np.concatenate([order + gate * len(order) for gate in range(4)])
            arrays += [kernel[before][:, gates], recurrent[order][:, gates], bias[gates]]
            before = order
        return [*arrays, weights[-2][before], weights[-1]]


ZERO_ROW = -1
"""Stands in a patch for a row of zeros."""


@dataclass(frozen=True)
class PatchLayer:
    """A dense layer that makes each of its rows from a patch: some rows of its input, side by side.

    With patches of three neighbours it is a convolution; with patches of one row, a dense layer per time
    step; with a single row as wide as the window, a dense layer on all of it.
    """

    width: int
    """Numbers in a row of its input, whatever rows they were in before."""
    patches: tuple[tuple[int, ...], ...]
    """For each row that comes out, the rows that go in, or ZERO_ROW. A row may stand in many, and twice in
    one."""
    units: int
    activation: Activation | None
    """None: linear."""

    def __post_init__(self) -> None:
        if not self.patches or not self.patches[0] or len({len(patch) for patch in self.patches}) > 1:
            raise ValueError("a layer needs patches, of one length")
        if self.width < 1 or self.units < 1:
            raise ValueError(f"a layer needs rows and units, not {self.width} and {self.units}")

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of all patches, one patch after the other."""
        return tuple(row for patch in self.patches for row in patch)


@dataclass(frozen=True)
class PatchArchitecture:
    """Layers on patches of rows, the first one on those of the window; the last one's numbers, in order, are
    the reconstruction.
    """

    window_length: int
    n_channels: int
    layers: tuple[PatchLayer, ...]

    def __post_init__(self) -> None:
        if min(self.window_length, self.n_channels, len(self.layers)) < 1:
            raise ValueError("the window, the channels and the layers need a size of at least 1")
        numbers = self.window_length * self.n_channels
        for layer in self.layers:
            n_rows, rest = divmod(numbers, layer.width)
            if rest:
                raise ValueError(f"{numbers} numbers are no rows of {layer.width}")
            if not ZERO_ROW <= min(layer.rows) <= max(layer.rows) < n_rows:
                raise ValueError(f"a patch lies outside of its {n_rows} rows")
            numbers = len(layer.patches) * layer.units
        if numbers != self.window_length * self.n_channels:
            raise ValueError("the last layer's numbers are not as many as a window's")

    @property
    def activation(self) -> Activation:
        """Of the first layer that has one."""
        return next((layer.activation for layer in self.layers if layer.activation), "relu")

    @property
    def weight_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all weights in order: per layer kernel `(rows of a patch * width, units)` and bias."""
        shapes: list[tuple[int, ...]] = []
        for layer in self.layers:
            shapes += [(len(layer.patches[0]) * layer.width, layer.units), (layer.units,)]
        return shapes

    @property
    def draws(self) -> list[Draw]:
        """How each of them begins."""
        return ["kernel", "zeros"] * len(self.layers)

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(map(prod, self.weight_shapes))

    def reordered(self, weights: Weights, rng: np.random.Generator) -> Weights:
        """The same network with the units of every layer in another order, but of the last and of those whose
        rows are cut anew.
        """
        arrays: Weights = []
        before = np.arange(self.layers[0].width)
        following = [layer.width for layer in self.layers[1:]]
        for layer, width, (kernel, bias) in zip(
            self.layers, [*following, 0], patch_layers(weights), strict=True
        ):
            order = rng.permutation(layer.units) if layer.units == width else np.arange(layer.units)
            inputs = np.arange(len(kernel)).reshape(-1, layer.width)[:, before].ravel()
            arrays += [kernel[inputs][:, order], bias[order]]
            before = order if layer.units == width else np.arange(width)
        return arrays


Architecture = LstmArchitecture | PatchArchitecture


def lstm_layers(weights: Sequence[W]) -> list[Sequence[W]]:
    """Kernel, recurrent kernel and bias of every LSTM layer, encoder first; the dense pair is left out."""
    return [weights[i : i + 3] for i in range(0, len(weights) - 2, 3)]


def patch_layers(weights: Sequence[W]) -> list[Sequence[W]]:
    """Kernel and bias of every layer on patches."""
    return [weights[i : i + 2] for i in range(0, len(weights), 2)]


def weights_npz(weights: Weights) -> bytes:
    """The `.npz` form of weights."""
    stream = io.BytesIO()
    np.savez(stream, *weights)
    return stream.getvalue()


def load_weights(path: Path) -> Weights:
    """Read weights that `weights_npz` made.

    Raises ValueError, OSError, KeyError or BadZipFile for a damaged file.
    """
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
