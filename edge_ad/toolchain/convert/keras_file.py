"""Reading an LSTM autoencoder from a `.keras` file that somebody else trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.tensorflow import load_keras

_EXPECTED = "LSTM layers, RepeatVector, LSTM layers that return sequences, and a Dense layer per time step"


def read_keras(path: Path) -> tuple[Architecture, Weights]:
    """Shape and weights. Raises ConversionError naming the first layer that does not fit, and what to do."""
    keras = load_keras()
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConversionError(f"{path} cannot be loaded as a Keras model: {reason}") from error
    kinds = keras.layers
    encoder: list[int] = []
    decoder: list[int] = []
    weights: Weights = []
    activation, repeated, dense, steps = None, False, None, 0
    for layer in model.layers:
        if isinstance(layer, kinds.InputLayer | kinds.Dropout):
            continue
        if isinstance(layer, kinds.RepeatVector) and not repeated:
            repeated, steps = True, int(layer.n)
        elif isinstance(layer, kinds.LSTM) and dense is None:
            _check_lstm(path, layer)
            name = layer.activation.__name__
            if activation not in (None, name):
                raise _refuse(path, layer, "all LSTM layers must have the same activation")
            activation = name
            (decoder if repeated else encoder).append(int(layer.units))
            weights += layer.get_weights()
        elif isinstance(layer, kinds.TimeDistributed | kinds.Dense) and repeated and dense is None:
            dense = layer.layer if isinstance(layer, kinds.TimeDistributed) else layer
            if not isinstance(dense, kinds.Dense) or dense.activation.__name__ != "linear":
                raise _refuse(path, layer, "the last layer must be Dense without an activation")
            weights += dense.get_weights()
        else:
            raise _refuse(path, layer, f"an autoencoder here is {_EXPECTED}; train it in that shape")
    if not encoder or not decoder or dense is None or activation not in ("relu", "tanh"):
        raise ConversionError(f"{path} is no LSTM autoencoder with relu or tanh: expected {_EXPECTED}")
    shape = Architecture(steps, int(weights[0].shape[0]), tuple(encoder), tuple(decoder), activation)
    if [weight.shape for weight in weights] != shape.weight_shapes:
        raise ConversionError(f"{path}: layers do not fit together as {_EXPECTED}")
    return shape, weights


def _check_lstm(path: Path, layer: Any) -> None:
    if layer.recurrent_activation.__name__ != "sigmoid":
        raise _refuse(path, layer, "the recurrent activation must be sigmoid")
    if not layer.use_bias:
        raise _refuse(path, layer, "use_bias must be True")
    if layer.stateful or layer.go_backwards:
        raise _refuse(path, layer, "stateful and go_backwards are not supported: every window stands alone")


def _refuse(path: Path, layer: Any, what: str) -> ConversionError:
    return ConversionError(f"{path}: layer {layer.name!r} ({type(layer).__name__}) is not supported: {what}")
