"""What edge_ad makes of single layers of a Keras model, and what it says of those that it cannot use."""

from __future__ import annotations

from typing import Any

IDLE = (
    "InputLayer",
    "Dropout",
    "SpatialDropout1D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
)
"""Layers that do nothing once a model is trained."""
ONE_PATH = "every layer takes what the one before gives: train without side paths"
_RECURRENT = "edge-ad has operators for LSTM layers only: train an LSTM of as many units in its place"
_SCALED = "scale the windows before the model instead, as edge-ad's scaler does, and train without it"
_FIXES = {
    "GRU": _RECURRENT,
    "SimpleRNN": _RECURRENT,
    "RNN": _RECURRENT,
    "Bidirectional": "it reads the window backwards too, which no form here does: train a plain LSTM, with "
    "twice the units if it needs them",
    "BatchNormalization": _SCALED,
    "LayerNormalization": _SCALED,
    "Normalization": _SCALED,
    "Rescaling": _SCALED,
    "Masking": "a device scores whole windows only, so that nothing needs masking: train without it",
    "Sequential": "a model inside the model: add its layers to the outer model one by one",
    "Functional": "a model inside the model: add its layers to the outer model one by one",
    "Add": ONE_PATH,
    "Concatenate": ONE_PATH,
    "Activation": "give the layer before it the activation relu or tanh",
    "ReLU": "give the layer before it the activation relu",
}


def describe(layer: Any) -> str:
    """A layer as error messages name it."""
    return f"layer '{layer.name}' ({type(layer).__name__})"


def fix(kind: str, expected: str) -> str:
    """What to do about a layer of a kind that cannot be used; `expected` are those that can."""
    if "Pooling" in kind:
        return "edge-ad has no pooling: train a Conv1D with strides in its place"
    return _FIXES.get(kind, f"expected are {expected}: train in that shape, without this layer")


def activation_of(layer: Any) -> str:
    """The name of a layer's activation function."""
    return str(getattr(layer.activation, "__name__", type(layer.activation).__name__))


def is_dense(layer: Any) -> bool:
    """Whether it is a dense layer, or one for every time step."""
    return type(inner(layer)).__name__ == "Dense"


def inner(layer: Any) -> Any:
    """The layer that works on every time step, or the layer itself."""
    return layer.layer if type(layer).__name__ == "TimeDistributed" else layer


def is_quantized(layer: Any) -> bool:
    """Whether its weights are no numbers of their own any more."""
    return getattr(layer, "quantization_mode", None) is not None
