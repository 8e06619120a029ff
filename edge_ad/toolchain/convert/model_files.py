"""Telling model files apart by what is in them, whatever they are called."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Literal

from edge_ad.errors import ConversionError

_AGAIN = "load it where it was made and save it with model.save('NAME.keras')"


def recognize(path: Path) -> Literal["tflite", "keras"]:
    """Which kind of model a file is. Raises ConversionError with the next step for everything else."""
    if path.is_dir():
        raise ConversionError(f"{path} {_folder(path)}")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror}") from error
    if start[4:] == b"TFL3":
        return "tflite"
    if start[:4] == b"PK\x03\x04":
        _check_archive(path)
        return "keras"
    raise ConversionError(f"{path} {_unknown(path, start)}")


def keras_config(path: Path) -> tuple[dict[str, Any], str]:
    """The description of the model in a `.keras` file, and the version of Keras that wrote it.

    Raises ConversionError for a damaged file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json")) if _has(archive, "metadata.json") else {}
        if not isinstance(config, dict) or not isinstance(metadata, dict):
            raise ValueError("not a JSON object")
    # zipfile raises errors of many kinds for an archive whose bytes were altered
    except Exception as error:
        raise ConversionError(f"{path} is a damaged .keras file: copy it again, or {_AGAIN}") from error
    return config, str(metadata.get("keras_version", "an unknown version"))


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
    # zipfile raises errors of many kinds for an archive whose bytes were altered
    except Exception as error:
        raise ConversionError(
            f"{path} is a damaged zip archive, cut short or altered: copy it again, or {_AGAIN}"
        ) from error
    if "config.json" in names and "model.weights.h5" in names:
        return
    if "manifest.json" in names:
        raise ConversionError(f"{path} is a bundle: 'edge-ad inspect {path}' shows what is in it")
    if names and all(name.endswith(".npy") for name in names):
        raise ConversionError(
            f"{path} holds arrays, not a model: give a .tflite file, a .keras file or a build folder"
        )
    raise ConversionError(
        f"{path} is a zip archive without the config.json and model.weights.h5 of a .keras file: {_AGAIN}"
    )


def _has(archive: zipfile.ZipFile, name: str) -> bool:
    return name in archive.namelist()


def _folder(path: Path) -> str:
    if (path / "saved_model.pb").exists():
        return (
            "is a TensorFlow SavedModel: save the Keras model with model.save('NAME.keras'), or convert the "
            "folder to .tflite with tf.lite.TFLiteConverter.from_saved_model, and explain that file"
        )
    return "is a folder without a build.json: give the folder of an edge-ad build, a .tflite or a .keras file"


def _unknown(path: Path, start: bytes) -> str:
    if not start:
        return "is an empty file: copy or save the model again"
    if start == b"\x89HDF\r\n\x1a\n":
        if path.name.endswith(".weights.h5"):
            return f"holds weights without the model they belong to (HDF5): {_AGAIN}"
        return f"is an HDF5 file, the older format of Keras: {_AGAIN}"
    if path.suffix.lower() == ".keras":
        return f"is no .keras file, which is a zip archive, or it is damaged: {_AGAIN}"
    if path.suffix.lower() == ".tflite":
        return "is not a .tflite file: its identifier is missing; copy it again, or convert again"
    return "is neither a .tflite nor a .keras file: convert or save the model as one of these"
