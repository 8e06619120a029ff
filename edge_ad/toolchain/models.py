"""The models that a build can train, by name, and the three kinds that they are of."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.bundle.manifest import ModelKind
from edge_ad.toolchain.architecture import (
    Activation,
    Architecture,
    LstmArchitecture,
    PatchArchitecture,
    PatchLayer,
)

_KERNEL, _STRIDE = 3, 2
"""Rows of a convolution's patch, and by how many the next patch of an encoder is further on."""


@dataclass(frozen=True)
class ModelShape:
    """A model before its windows are known."""

    kind: ModelKind
    encoder: tuple[int, ...]
    """Units of its layers; of a convolution, its filters."""
    decoder: tuple[int, ...]
    """Units of its layers, without the last one, which gives the channels back."""

    @property
    def shortest_window(self) -> int:
        """Samples of the shortest window it can take: each layer of a convolutional encoder halves them."""
        return _STRIDE ** len(self.encoder) if self.kind == "conv" else 1

    def architecture(self, window_length: int, n_channels: int, activation: Activation) -> Architecture:
        """The network for windows of this shape. Raises ValueError where they are too short for it."""
        if window_length < self.shortest_window:
            raise ValueError(
                f"a window of {window_length} samples is too short for it: {self.shortest_window} or more"
            )
        if self.kind == "conv":
            return _convolutional(self, window_length, n_channels, activation)
        if self.kind == "dense":
            return _dense(self, window_length, n_channels, activation)
        return LstmArchitecture(window_length, n_channels, self.encoder, self.decoder, activation)


MODELS: dict[str, ModelShape] = {
    "full": ModelShape("lstm", (100,), (100,)),
    "tiny": ModelShape("lstm", (16,), (16,)),
    "stacked": ModelShape("lstm", (16, 4), (4, 16)),
    "conv": ModelShape("conv", (16, 8), (8, 16)),
    "dense": ModelShape("dense", (16,), ()),
}
"""The two LSTM autoencoders of SKAB, that of the bearing post, and two of other kinds, as small as tiny."""


def _convolutional(
    shape: ModelShape, window_length: int, n_channels: int, activation: Activation
) -> PatchArchitecture:
    """Convolutions that halve the rows, as many that follow a doubling of them, a dense layer per time step.

    Beyond the first and the last row those rows are repeated. Where a half was rounded up, its double is cut.
    """
    if len(shape.encoder) != len(shape.decoder):
        raise ValueError("a convolutional autoencoder has as many layers behind its code as before it")
    layers, lengths, width = [], [window_length], n_channels
    for units in shape.encoder:
        layers.append(PatchLayer(width, _convolution(lengths[-1], _STRIDE), units, activation))
        lengths.append(len(layers[-1].patches))
        width = units
    for units, length in zip(shape.decoder, lengths[-2::-1], strict=True):
        # Of the doubled rows, each stands for one of those before.
        patches = tuple(tuple(row // _STRIDE for row in patch) for patch in _convolution(length, 1))
        layers.append(PatchLayer(width, patches, units, activation))
        width = units
    layers.append(PatchLayer(width, tuple((row,) for row in range(window_length)), n_channels, None))
    return PatchArchitecture(window_length, n_channels, tuple(layers))


def _dense(
    shape: ModelShape, window_length: int, n_channels: int, activation: Activation
) -> PatchArchitecture:
    """Dense layers on the window as one row of numbers."""
    layers, width = [], window_length * n_channels
    for units in (*shape.encoder, *shape.decoder):
        layers.append(PatchLayer(width, ((0,),), units, activation))
        width = units
    layers.append(PatchLayer(width, ((0,),), window_length * n_channels, None))
    return PatchArchitecture(window_length, n_channels, tuple(layers))


def _convolution(n_rows: int, stride: int) -> tuple[tuple[int, ...], ...]:
    """Patches of neighbours, placed as those of Keras's padding `same`; rows beyond the ends are the ends."""
    n_patches = -(-n_rows // stride)
    before = max((n_patches - 1) * stride + _KERNEL - n_rows, 0) // 2
    starts = range(-before, n_patches * stride - before, stride)
    return tuple(tuple(min(max(start + i, 0), n_rows - 1) for i in range(_KERNEL)) for start in starts)
