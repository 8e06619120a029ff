"""What an LSTM autoencoder looks like, and its weights, without any framework."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Activation = Literal["relu", "tanh"]


@dataclass(frozen=True)
class Architecture:
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
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(int(np.prod(shape)) for shape in self.weight_shapes)


W = TypeVar("W")

Weights = list[NDArray[np.float32]]
"""Arrays of `Architecture.weight_shapes`; the four gates stand in the order input, forget, cell, output."""


def lstm_layers(weights: Sequence[W]) -> list[Sequence[W]]:
    """Kernel, recurrent kernel and bias of every LSTM layer, encoder first; the dense pair is left out."""
    return [weights[i : i + 3] for i in range(0, len(weights) - 2, 3)]


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
