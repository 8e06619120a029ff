"""Whether a Keras model is an autoencoder that edge_ad can convert, and if not, why and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.keras_layers import ONE_PATH, describe, inner
from edge_ad.toolchain.convert.keras_lstm import LstmWalk
from edge_ad.toolchain.convert.keras_patches import PatchWalk
from edge_ad.toolchain.tensorflow import load_keras

_OF_LSTM = ("LSTM", "GRU", "RNN", "Bidirectional", "RepeatVector")
"""In the names of layers that make a model a recurrent one."""
_ON_PATCHES = ("Conv", "Dense", "Flatten")


def find_architecture(model: Any) -> tuple[tuple[Architecture, Weights] | None, list[str]]:
    """Shape and weights of a Keras model, or None and everything that keeps it from being converted."""
    layers, problems = _chain(model)
    walk = _walk(model, layers)
    for layer in layers:
        if not any(problem.startswith(describe(layer)) for problem in problems):
            walk.visit(layer)
    problems += walk.problems
    problems += [
        f"{describe(layer)} holds NaN or infinite weights: train again, with a lower learning rate"
        for layer in layers
        if any(not np.isfinite(np.asarray(w, np.float64)).all() for w in layer.get_weights())
    ]
    if problems:
        return None, problems
    return walk.result(model)


def _walk(model: Any, layers: list[Any]) -> LstmWalk | PatchWalk:
    """What goes through the layers of a model of its family."""
    kinds = [type(inner(layer)).__name__ for layer in layers]
    is_recurrent = any(part in kind for part in _OF_LSTM for kind in kinds)
    if not is_recurrent and any(part in kind for part in _ON_PATCHES for kind in kinds):
        inputs = getattr(model, "inputs", None)
        return PatchWalk(tuple(inputs[0].shape[1:]) if inputs else ())
    return LstmWalk("RepeatVector" in kinds)


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
                problems.append(f"{describe(layer)} joins {len(sources)} paths: {ONE_PATH}")
            elif len(sources) > 1 or any(tensor for _, tensor in sources):
                problems.append(f"{describe(layer)} starts from another layer's state: {ONE_PATH}")
    forks = [model.get_layer(name) for name, count in feeds.items() if count > 1]
    if not problems:
        problems += [f"{describe(layer)} feeds several layers: {ONE_PATH}" for layer in forks]
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
