"""Reading a `.keras` file that somebody else wrote, without running anything that is in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_ad.errors import ConversionError
from edge_ad.toolchain.convert.model_files import keras_config
from edge_ad.toolchain.tensorflow import load_keras


def load_keras_model(path: Path) -> Any:
    """The model in a `.keras` file, whatever the file is called; no code in it is run.

    Raises ConversionError.
    """
    keras = load_keras()
    version = keras_config(path)[1]
    try:
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its optimizer, and the like
            link = Path(folder) / "model.keras"  # Keras goes by the name
            link.symlink_to(path.resolve())
            return keras.models.load_model(link, compile=False, safe_mode=True)
    # Whatever a layer's own constructor and Keras's readers of zip and HDF5 files raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ConversionError(
            f"{path}, saved with Keras {version}, cannot be loaded with Keras {keras.__version__}: {reason}; "
            "if the file is whole, save it again with this version of Keras"
        ) from error


def config_layers(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and class of the layers that a `.keras` file describes, without making any of them."""
    inner = config.get("config")
    layers = inner.get("layers", []) if isinstance(inner, dict) else []
    return [(_name(layer), str(layer.get("class_name"))) for layer in layers if isinstance(layer, dict)]


def foreign_code(config: dict[str, Any]) -> list[str]:
    """Layers that only code of the model's author can make: what they are, and what to do."""
    problems = []
    for layer, kind in dict.fromkeys(_foreign(config, "the model")):
        if kind == "Lambda":
            what = "holds Python code, which is not run here"
        else:
            what = f"needs {kind}, a class or function of its author's own, which is not in the file"
        problems.append(f"{layer} {what}: build the model from Keras's own layers and train again")
    return problems


def _foreign(entry: Any, layer: str) -> Iterator[tuple[str, str]]:
    if isinstance(entry, list):
        for part in entry:
            yield from _foreign(part, layer)
    if not isinstance(entry, dict):
        return
    kind, module = str(entry.get("class_name", "")), entry.get("module", "keras")
    if "class_name" in entry and isinstance(entry.get("config"), dict) and "name" in entry["config"]:
        layer = f"layer '{_name(entry)}' ({kind})"
    if kind in ("Lambda", "__lambda__"):
        yield layer, "Lambda"
    elif kind == "function":
        yield layer, str(entry.get("config"))
    elif "class_name" in entry and not kind.startswith("__") and not str(module).startswith("keras"):
        yield layer, kind
    else:
        for part in entry.values():
            yield from _foreign(part, layer)


def _name(layer: dict[str, Any]) -> str:
    config = layer.get("config")
    return str(config.get("name", "?")) if isinstance(config, dict) else "?"
