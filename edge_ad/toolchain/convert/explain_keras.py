"""The conversion doctor on a `.keras` file: its layers, what keeps it from a device, what it would become."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edge_ad.bundle.manifest import Precision
from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.explain import Explanation, explain_tflite
from edge_ad.toolchain.convert.integer import integer_model, quantize_ranges
from edge_ad.toolchain.convert.keras_chain import find_architecture
from edge_ad.toolchain.convert.keras_file import config_layers, foreign_code, load_keras_model
from edge_ad.toolchain.convert.model_files import keras_config
from edge_ad.toolchain.oracle import Trace, reconstruct
from edge_ad.toolchain.settings import Optimize

_FORMS: tuple[tuple[Precision, Optimize], ...] = (
    ("float32", "size"),
    ("int8", "size"),
    ("float32", "speed"),
    ("int8", "speed"),
)
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_LARGEST_RANGE = 1e30  # beyond it, a network gives no numbers to speak of
_MULTIPLYING = ("Attention", "Dot", "RNN", "ConvLSTM")  # in the names of layers that multiply otherwise


@dataclass(frozen=True)
class LayerEntry:
    """A layer of a Keras model; what is None could not be found out."""

    name: str
    kind: str
    output_shape: tuple[int | None, ...] | None
    """With None for an open dimension."""
    parameters: int | None
    multiply_adds: int | None
    """Per window, estimated: products with weights."""


@dataclass(frozen=True)
class FormEstimate:
    """One form that edge_ad can give a model."""

    form: str
    """`compact`, `fast`, `patches` or `integer`."""
    precision: Precision
    is_estimate: bool
    """Whether its size may change by some bytes, with the ranges of real windows."""
    explanation: Explanation


@dataclass(frozen=True)
class KerasExplanation:
    """What was found in a `.keras` file."""

    input_shape: tuple[int | None, ...] | None
    layers: tuple[LayerEntry, ...]
    multiply_adds: int
    """Per window: the sum over the layers where it is known."""
    not_counted: tuple[str, ...]
    """Layers whose multiply-adds are not known."""
    problems: tuple[str, ...]
    """What keeps edge_ad from converting it, and what to do; empty where it can be converted."""
    notes: tuple[str, ...]
    """What else is worth knowing."""
    forms: tuple[FormEstimate, ...]
    """What it becomes; empty where there are problems."""


def explain_keras(path: Path) -> KerasExplanation:
    """Take a `.keras` file apart. Raises ConversionError where it is damaged or Keras cannot load it."""
    config = keras_config(path)[0]
    problems = foreign_code(config)
    if problems:
        described = [entry for entry in config_layers(config) if entry[1] != "InputLayer"]
        layers = tuple(LayerEntry(name, kind, None, None, None) for name, kind in described)
        return KerasExplanation(
            None, layers, 0, tuple(layer.name for layer in layers), tuple(problems), (), ()
        )
    model = load_keras_model(path)
    found, problems = find_architecture(model)
    layers = tuple(_entries(model))
    shape = _input_shape(model)
    return KerasExplanation(
        input_shape=shape,
        layers=layers,
        multiply_adds=sum(layer.multiply_adds or 0 for layer in layers),
        not_counted=tuple(layer.name for layer in layers if layer.multiply_adds is None),
        problems=tuple(problems),
        notes=tuple(_notes(shape, layers, found[0] if found else None, problems)),
        forms=tuple(_forms(*found)) if found else (),
    )


def _entries(model: Any, prefix: str = "") -> Iterator[LayerEntry]:
    uses = {}
    if type(model).__name__ == "Functional":
        uses = {entry["name"]: len(entry["inbound_nodes"]) for entry in model.get_config()["layers"]}
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        if kind in ("Sequential", "Functional"):
            yield from _entries(layer, f"{prefix}{layer.name}/")
            continue
        products = _multiply_adds(layer)
        if products is not None:
            products *= uses.get(layer.name, 1)
        parameters = int(layer.count_params()) if layer.built else None
        yield LayerEntry(prefix + layer.name, kind, _shape(layer, "output"), parameters, products)


def _shape(layer: Any, which: str) -> tuple[int | None, ...] | None:
    try:
        tensor = getattr(layer, which)
    except (AttributeError, ValueError):  # of a layer that was never called
        return None
    if isinstance(tensor, list | tuple):
        tensor = tensor[0] if tensor else None
    return tuple(tensor.shape) if hasattr(tensor, "shape") else None


def _input_shape(model: Any) -> tuple[int | None, ...] | None:
    inputs = getattr(model, "inputs", None)
    return tuple(inputs[0].shape) if inputs else None


def _multiply_adds(layer: Any) -> int | None:
    """Products of one layer with its weights for one window; None where they are not known."""
    kind = type(layer).__name__
    matrices = [weight.shape for weight in layer.weights if "kernel" in weight.name]
    inputs, outputs = _shape(layer, "input"), _shape(layer, "output")
    inner = type(getattr(layer, "forward_layer", getattr(layer, "layer", None))).__name__
    if any(part in kind for part in _MULTIPLYING) and kind not in _RECURRENT:
        return None
    if not matrices or kind == "Embedding":
        return 0
    if inputs is None or outputs is None or None in (*inputs[1:], *outputs[1:]):
        return None
    places, size = _product(outputs[1:]), sum(int(prod(matrix)) for matrix in matrices)
    if kind in _RECURRENT or (kind == "Bidirectional" and inner in _RECURRENT):
        return int(inputs[1] or 1) * size
    if kind == "Dense" or (kind == "TimeDistributed" and inner == "Dense"):
        return places // int(matrices[0][-1]) * size
    if kind.startswith("Conv") and kind.endswith("Transpose"):  # kernel (…, outputs, inputs)
        return _product(inputs[1:]) // int(matrices[0][-1]) * size
    if kind in ("Conv1D", "Conv2D", "Conv3D"):  # kernel (…, inputs, outputs)
        return places // int(matrices[0][-1]) * size
    if kind in ("DepthwiseConv1D", "DepthwiseConv2D"):  # kernel (…, inputs, outputs of each)
        return places // int(prod(matrices[0][-2:])) * size
    if kind in ("SeparableConv1D", "SeparableConv2D"):
        return places // int(matrices[1][-1]) * size
    return None


def _product(shape: tuple[int | None, ...]) -> int:
    return prod(length or 1 for length in shape)


def _notes(
    shape: tuple[int | None, ...] | None,
    layers: tuple[LayerEntry, ...],
    architecture: Architecture | None,
    problems: list[str],
) -> Iterator[str]:
    if shape is None:
        return
    steps = architecture.window_length if architecture else None
    if shape[0] is None:
        wanted = ", ".join(str(n or steps) for n in shape[1:])
        ours = "edge-ad's forms fix it to 1; " if architecture else ""
        consequence = ""
        if any(layer.kind in (*_RECURRENT, "Bidirectional") for layer in layers):
            consequence = ", or recurrent layers become Flex operators or do not convert"
        yield (
            f"the batch is open (None): {ours}for TensorFlow's own converter fix it in the model, "
            f"Input(({wanted}), batch_size=1){consequence}"
        )
    elif shape[0] != 1:
        yield f"the batch is {shape[0]}: a device scores one window at a time; edge-ad's forms fix it to 1"
    if None in shape[1:]:
        taken = f"edge-ad takes the {steps} of RepeatVector" if steps else "fix it in the model's Input"
        yield f"the length of a window is open (None): {taken}"
    if any("is not supported" in problem for problem in problems):
        yield (
            "TensorFlow's own converter may take what edge-ad does not (with batch 1, and unroll=True in "
            "recurrent layers): explain the .tflite file that it makes"
        )


def _forms(architecture: Architecture, weights: Weights) -> Iterator[FormEstimate]:
    """Those that can hold the weights."""
    told = set()
    for precision, optimize in _FORMS:
        with contextlib.suppress(ConversionError):
            converted = convert(architecture, weights, precision, optimize)
            if (converted.form, precision) in told:  # there is one for both
                continue
            told.add((converted.form, precision))
            yield FormEstimate(converted.form, precision, False, explain_tflite(converted.content))
    # Its ranges come from training windows, which are not in the file; its size hardly depends on them.
    shape = (16, architecture.window_length, architecture.n_channels)
    trace = Trace()
    reconstruct(architecture, weights, np.random.default_rng(0).normal(size=shape).astype(np.float32), trace)
    if max(*trace.high.values(), *(-low for low in trace.low.values())) < _LARGEST_RANGE:
        with contextlib.suppress(ConversionError):
            content = integer_model(architecture, weights, quantize_ranges(trace, architecture.activation))
            yield FormEstimate("integer", "int8-full", True, explain_tflite(content))
