"""Reading an LSTM autoencoder out of the layers of a Keras model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_ad.toolchain.architecture import Architecture, LstmArchitecture, Weights
from edge_ad.toolchain.convert.keras_layers import (
    IDLE,
    activation_of,
    describe,
    fix,
    inner,
    is_dense,
    is_quantized,
)

_EXPECTED = "LSTM layers, RepeatVector, LSTM layers that return sequences, and a Dense layer per time step"
_OTHER_KIND = (
    "edge-ad takes LSTM autoencoders, and those of convolutions and dense layers, but not both in one: train "
    "it of one kind"
)
_ON_PATCHES = ("Conv", "UpSampling", "Cropping", "ZeroPadding", "Flatten", "Reshape")
"""In the names of layers of which convolutional and dense autoencoders are made."""


@dataclass
class LstmWalk:
    """What has been met on the way from the input to the output of an LSTM autoencoder."""

    will_repeat: bool
    """Whether a RepeatVector comes, or has come."""
    encoder: list[int] = field(default_factory=list)
    decoder: list[int] = field(default_factory=list)
    weights: Weights = field(default_factory=list)
    activations: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    steps: int = 0
    """Of RepeatVector, once it has been met."""
    repeat: Any = None
    dense: Any = None

    def visit(self, layer: Any) -> None:
        """Take in the next layer, or the reason why it cannot be."""
        kind = type(layer).__name__
        if kind in IDLE:
            return
        if kind == "LSTM" and self.dense is None:
            self._lstm(layer)
        elif kind == "RepeatVector" and self.repeat is None:
            self.repeat, self.steps = layer, int(layer.n)
        elif is_dense(layer) and self.dense is None:
            self._dense(layer)
        else:
            is_other = any(part in kind for part in _ON_PATCHES)
            self._refuse(layer, _OTHER_KIND if is_other else fix(kind, _EXPECTED))

    def _lstm(self, layer: Any) -> None:
        activation = activation_of(layer)
        if activation not in ("relu", "tanh"):
            self._refuse(layer, f"its activation is {activation}: train with relu or tanh")
        elif self.activations and activation != self.activations[0]:
            self._refuse(
                layer,
                f"its activation is {activation}, before it {self.activations[0]}: all LSTM layers must have "
                "the same activation",
            )
        self.activations.append(activation)
        recurrent = getattr(layer.recurrent_activation, "__name__", "unknown")
        if recurrent != "sigmoid":
            self._refuse(layer, f"the recurrent activation must be sigmoid, not {recurrent}: train with it")
        if not layer.use_bias:
            self._refuse(layer, "use_bias must be True: train with it")
        if layer.stateful or layer.go_backwards:
            self._refuse(
                layer, "stateful and go_backwards must be False: every window stands alone, and runs forwards"
            )
        if self.repeat is not None and not layer.return_sequences:
            self._refuse(layer, "after RepeatVector return_sequences must be True: a row per time step")
        (self.encoder if self.repeat is None else self.decoder).append(int(layer.units))
        self._keep(layer, 3)

    def _dense(self, layer: Any) -> None:
        if self.repeat is None and (self.will_repeat or not self.encoder):
            self._refuse(
                layer,
                "before RepeatVector stand LSTM layers only: make the code with one of that many units",
            )
            return
        self.dense = layer
        dense = inner(layer)
        activation = activation_of(dense)
        if activation != "linear":
            self._refuse(layer, f"the last layer must be Dense without an activation, not with {activation}")
        if not dense.use_bias:
            self._refuse(layer, "use_bias must be True: train with it")
        self._keep(dense, 2)

    def _keep(self, layer: Any, count: int) -> None:
        weights = layer.get_weights()
        if is_quantized(layer):
            self._refuse(layer, "its weights are quantized already: save the model before quantizing it")
        elif layer.use_bias and len(weights) != count:
            self._refuse(layer, f"it has {len(weights)} arrays of weights instead of {count}: save it again")
        self.weights += [np.asarray(weight, np.float32) for weight in weights]

    def result(self, model: Any) -> tuple[tuple[Architecture, Weights] | None, list[str]]:
        """Shape and weights, or what keeps layers that are all supported from being an autoencoder."""
        problems = _misfits(model, self)
        if problems:
            return None, problems
        channels, activation = int(self.weights[0].shape[0]), self.activations[0]
        shape = LstmArchitecture(self.steps, channels, tuple(self.encoder), tuple(self.decoder), activation)
        if [weight.shape for weight in self.weights] != shape.weight_shapes:
            return None, [f"its layers do not fit together as {_EXPECTED}"]
        return (shape, self.weights), []

    def _refuse(self, layer: Any, what: str) -> None:
        self.problems.append(f"{describe(layer)} is not supported: {what}")


def _misfits(model: Any, walk: LstmWalk) -> list[str]:
    """What is missing, or has the wrong size, in a chain of layers that are all supported."""
    parts = {
        "no LSTM layer before RepeatVector": walk.encoder,
        "no RepeatVector": walk.repeat is not None,
        "no LSTM layer after RepeatVector": walk.decoder,
        "no Dense layer at its end": walk.dense is not None,
    }
    missing = [name for name, there in parts.items() if not there]
    if missing:
        return [f"it is no LSTM autoencoder: it has {', '.join(missing)}; train in this shape: {_EXPECTED}"]
    problems = []
    _, steps, channels = model.inputs[0].shape
    if steps not in (None, walk.steps):
        problems.append(
            f"{describe(walk.repeat)} repeats the code {walk.steps} times, but a window has {steps} steps: "
            f"an autoencoder gives its window back, so train with RepeatVector({steps})"
        )
    outputs = int(walk.weights[-1].shape[0])
    if outputs != channels:
        problems.append(
            f"{describe(walk.dense)} gives {outputs} channels, but a window has {channels}: "
            f"an autoencoder gives its window back, so train with Dense({channels})"
        )
    return problems
