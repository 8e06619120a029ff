"""Reading a convolutional or dense autoencoder out of the layers of a Keras model.

Layers without weights only say which rows come next: what they do is put together, and done by the gather of
the next layer with weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_ad.toolchain.architecture import (
    ZERO_ROW,
    Activation,
    Architecture,
    PatchArchitecture,
    PatchLayer,
    Weights,
)
from edge_ad.toolchain.convert.keras_layers import (
    IDLE,
    activation_of,
    describe,
    fix,
    inner,
    is_dense,
    is_quantized,
)

_EXPECTED = (
    "Conv1D, Conv1DTranspose, UpSampling1D, Cropping1D, ZeroPadding1D, Flatten, Reshape and Dense layers"
)
_CONVOLUTIONS = ("Conv1D", "Conv1DTranspose")
_ACTIVATIONS: dict[str, Activation | None] = {"relu": "relu", "tanh": "tanh", "linear": None}

Patch = tuple[int, ...]


class PatchWalk:
    """What has been met on the way from the input to the output: layers with weights, and behind the last of
    them which of its rows stand where.
    """

    def __init__(self, window: tuple[int | None, ...]) -> None:
        """`window` is the shape of the model's input without the batch; empty where it is not known."""
        self.problems: list[str] = []
        self._layers: list[PatchLayer] = []
        self._weights: Weights = []
        self._last: Any = None
        self._is_lost = False
        steps = channels = 1
        if window and (len(window) != 2 or None in window):
            self.problems.append(
                f"its input {window} is no window of known length: begin with Input((steps, channels)), and "
                "with Flatten where dense layers follow"
            )
        elif window:
            steps, channels = (int(n or 0) for n in window)
        self._window = steps, channels
        self._width = channels
        """Numbers in a row of what the last layer with weights gave, or of the window."""
        self._given = self._rows = _each(steps)
        """Those rows, and for each row that there is now, the ones that it is made of, side by side."""

    def visit(self, layer: Any) -> None:
        """Take in the next layer, or the reason why it cannot be."""
        kind = type(inner(layer)).__name__
        if kind in IDLE:
            return
        reason = _refusal(layer, kind)
        if reason is not None:
            self.problems.append(f"{describe(layer)} is not supported: {reason}")
        # What comes behind a layer that is not understood is looked at for reasons of its own only.
        self._is_lost = self._is_lost or bool(self.problems)
        if self._is_lost:
            return
        if kind in ("Flatten", "Reshape"):
            self._cut(layer)
        elif kind in _MOVES:
            self._rows = _MOVES[kind](layer, self._rows)
        else:
            self._multiply(layer)

    def result(self, model: Any) -> tuple[tuple[Architecture, Weights] | None, list[str]]:
        """Shape and weights, or what keeps layers that are all supported from being an autoencoder."""
        steps, channels = self._window
        found = tuple(model.outputs[0].shape[1:])
        if found != (steps, channels):
            return None, [
                f"it gives {found}, but a window has ({steps}, {channels}): an autoencoder gives its window "
                f"back, so end it with Dense({channels}) on {steps} rows, or Reshape(({steps}, {channels}))"
            ]
        if not self._layers:
            return None, [f"it has no weights: train in this shape: {_EXPECTED}"]
        *before, last = self._layers
        if last.activation is not None:
            name, activation = describe(self._last), last.activation
            return None, [f"{name} is the last one, and must have no activation, not {activation}: train so"]
        chosen = last.patches
        if self._rows != self._given:  # moved since, which the layer can do itself
            rows = [patch[0] for patch in self._rows if len(patch) == 1]
            if self._width != last.units or len(rows) < len(self._rows) or ZERO_ROW in rows:
                return None, ["it ends in rows that no layer has made: end it with a Dense layer"]
            chosen = tuple(last.patches[row] for row in rows)
        layers = (*before, PatchLayer(last.width, chosen, last.units, None))
        return (PatchArchitecture(steps, channels, layers), self._weights), []

    def _cut(self, layer: Any) -> None:
        """The same numbers in rows of another width."""
        shape = tuple(int(n) for n in layer.output.shape[1:])
        if len(shape) > 2:
            self._refuse(layer, f"it makes {len(shape)} axes of a window that has two: train without it")
            return
        width, rows = shape[-1], tuple(row for patch in self._rows for row in patch)
        if self._rows == self._given:
            self._given = self._rows = _each(len(rows) * self._width // width)
            self._width = width
        elif width % self._width == 0:
            size = width // self._width
            self._rows = tuple(rows[at : at + size] for at in range(0, len(rows), size))
        else:
            self._refuse(layer, "it cuts rows apart that the layer before has moved: put it before that")

    def _multiply(self, layer: Any) -> None:
        """A layer with weights."""
        wrapped = inner(layer)
        kernel, *biases = (np.asarray(weight, np.float32) for weight in wrapped.get_weights())
        patches = self._rows
        if type(wrapped).__name__ == "Conv1DTranspose":  # kernel (taps, units, width)
            patches, kernel = _transposed(wrapped, patches), kernel.transpose(0, 2, 1)
        elif type(wrapped).__name__ == "Conv1D":
            patches = _convolved(wrapped, patches)
        units = kernel.shape[-1]
        activation = _ACTIVATIONS[activation_of(wrapped)]
        self._layers.append(PatchLayer(self._width, patches, units, activation))
        matrix = np.ascontiguousarray(kernel.reshape(-1, units))
        self._weights += [matrix, biases[0] if biases else np.zeros(units, np.float32)]
        self._last = layer
        self._width = units
        self._given = self._rows = _each(len(patches))

    def _refuse(self, layer: Any, what: str) -> None:
        self.problems.append(f"{describe(layer)} is not supported: {what}")
        self._is_lost = True


def _refusal(layer: Any, kind: str) -> str | None:
    """Why a layer cannot be used wherever it stands; None where it can."""
    if kind not in (*_MOVES, *_CONVOLUTIONS, "Flatten", "Reshape") and not is_dense(layer):
        if "Conv" in kind:
            return f"of the convolutions edge-ad takes {' and '.join(_CONVOLUTIONS)}: train with these"
        return fix(kind, _EXPECTED)
    wrapped = inner(layer)
    if getattr(wrapped, "data_format", None) == "channels_first":
        return "its data_format must be channels_last: a row per time step"
    if kind in _MOVES or kind in ("Flatten", "Reshape"):
        return "it must not be one per time step" if wrapped is not layer else None
    if activation_of(wrapped) not in _ACTIVATIONS:
        return f"its activation is {activation_of(wrapped)}: train with relu, tanh or none"
    if is_quantized(wrapped):
        return "its weights are quantized already: save the model before quantizing it"
    if getattr(wrapped, "groups", 1) != 1:
        return "its groups must be 1: train with it"
    if kind == "Conv1DTranspose" and (wrapped.dilation_rate != (1,) or wrapped.output_padding is not None):
        return "dilation_rate must be 1 and output_padding None: train with these"
    if wrapped is not layer and kind in _CONVOLUTIONS:
        return "it must not be one per time step"
    return None


def _each(n_rows: int) -> tuple[Patch, ...]:
    """Every row by itself."""
    return tuple((row,) for row in range(n_rows))


def _zeros(rows: tuple[Patch, ...]) -> Patch:
    """A row of zeros, as wide as the others."""
    return (ZERO_ROW,) * len(rows[0])


def _joined(rows: tuple[Patch, ...], places: list[int]) -> Patch:
    """Rows side by side; those of places that there are not are zeros."""
    parts = [rows[place] if 0 <= place < len(rows) else _zeros(rows) for place in places]
    return tuple(row for part in parts for row in part)


def _convolved(layer: Any, rows: tuple[Patch, ...]) -> tuple[Patch, ...]:
    """The patches of a Conv1D, padded as Keras does it."""
    (size,), (stride,), (dilation,) = layer.kernel_size, layer.strides, layer.dilation_rate
    span = (size - 1) * dilation + 1
    before = {"valid": 0, "causal": span - 1}.get(layer.padding, 0)
    count = (len(rows) + before - span) // stride + 1
    if layer.padding == "same":
        count = -(-len(rows) // stride)
        before = max((count - 1) * stride + span - len(rows), 0) // 2
    starts = [place * stride - before for place in range(count)]
    return tuple(_joined(rows, [start + tap * dilation for tap in range(size)]) for start in starts)


def _transposed(layer: Any, rows: tuple[Patch, ...]) -> tuple[Patch, ...]:
    """The patches of a Conv1DTranspose: zeros where a tap meets no row."""
    (size,), (stride,) = layer.kernel_size, layer.strides
    before = max(size - stride, 0) // 2 if layer.padding == "same" else 0
    count = len(rows) * stride + (max(size - stride, 0) if layer.padding == "valid" else 0)
    patches = []
    for place in range(count):
        hits = [divmod(place + before - tap, stride) for tap in range(size)]
        patches.append(_joined(rows, [ZERO_ROW if rest else row for row, rest in hits]))
    return tuple(patches)


def _upsampled(layer: Any, rows: tuple[Patch, ...]) -> tuple[Patch, ...]:
    return tuple(row for row in rows for _ in range(int(layer.size)))


def _cropped(layer: Any, rows: tuple[Patch, ...]) -> tuple[Patch, ...]:
    first, last = (int(n) for n in layer.cropping)
    return rows[first : len(rows) - last]


def _padded(layer: Any, rows: tuple[Patch, ...]) -> tuple[Patch, ...]:
    first, last = (int(n) for n in layer.padding)
    return (_zeros(rows),) * first + rows + (_zeros(rows),) * last


_MOVES: dict[str, Callable[[Any, tuple[Patch, ...]], tuple[Patch, ...]]] = {
    "UpSampling1D": _upsampled,
    "Cropping1D": _cropped,
    "ZeroPadding1D": _padded,
}
"""Layers without weights that only choose rows."""
