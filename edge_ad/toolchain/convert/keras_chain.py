"""Whether a Keras model is an LSTM autoencoder that edge_ad can convert, and if not, why and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_ad.toolchain.architecture import Architecture, LstmArchitecture, Weights
from edge_ad.toolchain.tensorflow import load_keras

_EXPECTED = "LSTM layers, RepeatVector, LSTM layers that return sequences, and a Dense layer per time step"
_IDLE = (
    "InputLayer",
    "Dropout",
    "SpatialDropout1D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
)  # layers that do nothing once a model is trained
_LSTM_ONLY = "edge-ad has operators for LSTM layers only: train an LSTM of as many units in its place"
_SCALED = "scale the windows before the model instead, as edge-ad's scaler does, and train without it"
_ONE_PATH = "every layer takes what the one before gives: train without side paths"
_FIXES = {
    "GRU": _LSTM_ONLY,
    "SimpleRNN": _LSTM_ONLY,
    "RNN": _LSTM_ONLY,
    "Bidirectional": "it reads the window backwards too, which no form here does: train a plain LSTM, with "
    "twice the units if it needs them",
    "BatchNormalization": _SCALED,
    "LayerNormalization": _SCALED,
    "Normalization": _SCALED,
    "Rescaling": _SCALED,
    "Masking": "a device scores whole windows only, so that nothing needs masking: train without it",
    "Sequential": "a model inside the model: add its layers to the outer model one by one",
    "Functional": "a model inside the model: add its layers to the outer model one by one",
    "Flatten": "edge-ad's autoencoders keep the time steps: train LSTM layers in its place, or convert with "
    "TensorFlow's own converter, the batch fixed to 1",
    "Add": _ONE_PATH,
    "Concatenate": _ONE_PATH,
    "Activation": "give the LSTM layer itself the activation relu or tanh",
    "ReLU": "give the LSTM layer itself the activation relu",
}


def describe(layer: Any) -> str:
    """A layer as error messages name it."""
    return f"layer '{layer.name}' ({type(layer).__name__})"


def find_architecture(model: Any) -> tuple[tuple[Architecture, Weights] | None, list[str]]:
    """Shape and weights of a Keras model, or None and everything that keeps it from being converted."""
    layers, problems = _chain(model)
    walk = _Walk(any(type(layer).__name__ == "RepeatVector" for layer in layers))
    for layer in layers:
        if not any(problem.startswith(describe(layer)) for problem in problems):
            walk.visit(layer)
    problems += walk.problems
    problems += [
        f"{describe(layer)} holds NaN or infinite weights: train again, with a lower learning rate"
        for layer in layers
        if any(not np.isfinite(np.asarray(w, np.float64)).all() for w in layer.get_weights())
    ]
    if not problems:
        problems = _misfits(model, walk)
    if problems:
        return None, problems
    channels = int(walk.weights[0].shape[0])
    activation = walk.activations[0]
    shape = LstmArchitecture(walk.steps, channels, tuple(walk.encoder), tuple(walk.decoder), activation)
    if [weight.shape for weight in walk.weights] != shape.weight_shapes:
        return None, [f"its layers do not fit together as {_EXPECTED}"]
    return (shape, walk.weights), []


def _chain(model: Any) -> tuple[list[Any], list[str]]:
    """The layers in the order in which data passes them, and what is no chain about them."""
    kinds = load_keras()
    if isinstance(model, kinds.Sequential):
        return list(model.layers), [] if model.built else [_unbuilt()]
    if not isinstance(model, kinds.Model) or "layers" not in (config := model.get_config()):
        return [], [
            "it is a class of its author's own: build it with keras.Sequential or keras.Model(in, out)"
        ]
    problems = []
    if len(model.inputs) != 1:
        problems.append(
            f"it has {len(model.inputs)} inputs: train an autoencoder that takes its window alone"
        )
    if len(model.outputs) != 1:
        problems.append(
            f"it has {len(model.outputs)} outputs: save the one that gives the window back, "
            "keras.Model(model.input, model.outputs[0])"
        )
    feeds: Counter[str] = Counter()
    for entry in config["layers"]:
        layer = model.get_layer(entry["config"]["name"])
        uses = entry.get("inbound_nodes", [])
        if len(uses) > 1:
            problems.append(f"{describe(layer)} is used {len(uses)} times: give each use a layer of its own")
        for use in uses:
            sources = list(_sources(use))
            feeds.update(name for name, _ in sources)
            if len(sources) > 1 and not _is_state(layer):
                problems.append(f"{describe(layer)} joins {len(sources)} paths: {_ONE_PATH}")
            elif len(sources) > 1 or any(tensor for _, tensor in sources):
                problems.append(f"{describe(layer)} starts from another layer's state: {_ONE_PATH}")
    forks = [model.get_layer(name) for name, count in feeds.items() if count > 1]
    if not problems:
        problems += [f"{describe(layer)} feeds several layers: {_ONE_PATH}" for layer in forks]
    return list(model.layers), problems


def _is_state(layer: Any) -> bool:
    return type(layer).__name__ in ("LSTM", "GRU", "SimpleRNN", "Bidirectional")


def _unbuilt() -> str:
    return "the shape of its windows is not known: begin it with Input((steps, channels))"


def _sources(part: Any) -> Iterator[tuple[str, int]]:
    """Layer and output number of every tensor that a call of a layer was given."""
    if isinstance(part, dict):
        history = part.get("config", {}).get("keras_history") if "class_name" in part else None
        if history is not None:
            yield str(history[0]), int(history[2])
            return
        part = list(part.values())
    if isinstance(part, list | tuple):
        for inner in part:
            yield from _sources(inner)


@dataclass
class _Walk:
    """What has been met on the way from the input to the output."""

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
        kind = type(layer).__name__
        if kind in _IDLE:
            return
        if kind == "LSTM" and self.dense is None:
            self._lstm(layer)
        elif kind == "RepeatVector" and self.repeat is None:
            self.repeat, self.steps = layer, int(layer.n)
        elif _is_dense(layer) and self.dense is None:
            self._dense(layer)
        else:
            self._refuse(layer, _fix(kind))

    def _lstm(self, layer: Any) -> None:
        activation = _activation(layer)
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
        inner = layer.layer if type(layer).__name__ == "TimeDistributed" else layer
        activation = _activation(inner)
        if activation != "linear":
            self._refuse(layer, f"the last layer must be Dense without an activation, not with {activation}")
        if not inner.use_bias:
            self._refuse(layer, "use_bias must be True: train with it")
        self._keep(inner, 2)

    def _keep(self, layer: Any, count: int) -> None:
        weights = layer.get_weights()
        if getattr(layer, "quantization_mode", None) is not None:
            self._refuse(layer, "its weights are quantized already: save the model before quantizing it")
        elif layer.use_bias and len(weights) != count:
            self._refuse(layer, f"it has {len(weights)} arrays of weights instead of {count}: save it again")
        self.weights += [np.asarray(weight, np.float32) for weight in weights]

    def _refuse(self, layer: Any, what: str) -> None:
        self.problems.append(f"{describe(layer)} is not supported: {what}")


def _fix(kind: str) -> str:
    if any(part in kind for part in ("Conv", "Pooling", "UpSampling")):
        return (
            "edge-ad has no convolutions: train LSTM layers in its place, or convert with TensorFlow's own "
            "converter, the batch fixed to 1"
        )
    return _FIXES.get(kind, f"expected are {_EXPECTED}: train in that shape, without this layer")


def _is_dense(layer: Any) -> bool:
    if type(layer).__name__ == "TimeDistributed":
        layer = layer.layer
    return type(layer).__name__ == "Dense"


def _activation(layer: Any) -> str:
    return str(getattr(layer.activation, "__name__", type(layer.activation).__name__))


def _misfits(model: Any, walk: _Walk) -> list[str]:
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
