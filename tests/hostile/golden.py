"""Attacks that leave a well-formed bundle, with every digest right: only scoring the golden windows tells."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from edge_ad import errors
from edge_ad.bundle.archive import sha256
from edge_ad.bundle.bundle import npy, unpack
from tests.forge import edited, with_member
from tests.hostile.archives import FLOAT, GOLDEN, INT8
from tests.hostile.attack import Attack
from tests.hostile.manifests import contents, put, swapped


def weights(value: float, count: int, buffer: int = 1) -> Callable[[bytes], bytes]:
    """A matrix of the float model overwritten; the first one."""

    def change(content: bytes) -> bytes:
        start = content.index(_matrix(content, buffer))
        return content[:start] + struct.pack("<f", value) * count + content[start + 4 * count :]

    return contents(FLOAT, change)


def _matrix(content: bytes, buffer: int) -> bytes:
    from edge_ad.bundle.tflite_schema import Buffer, Model
    from tests.hostile.model_bytes import ModelFile

    file = ModelFile(content)
    start = file.target(Buffer, file.tables(Model, file.root, "buffers")[buffer], "data")
    return bytes(file.content[start + 4 : start + 4 + file.u32(start)])


def windows(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Other golden windows."""
    return lambda data: with_member(data, GOLDEN, npy(change(unpack(data).golden_windows())))


def same_model_twice(data: bytes) -> bytes:
    """The float variant served by the file of the int8 variant."""
    model = unpack(data).members[INT8]
    changed = with_member(data, FLOAT, model)
    assert sha256(unpack(changed).members[FLOAT]) == sha256(model)
    return changed


def scores_all(value: float) -> Callable[[bytes], bytes]:
    """Expected scores that no model has."""

    def edit(manifest: Any) -> None:
        for variant in manifest["variants"]:
            variant["golden_scores"] = [value] * len(variant["golden_scores"])

    return lambda data: edited(data, edit)


_ERROR, _WORDS = errors.BundleGoldenError, "does not score here as it did"

STRUCTURE = (
    Attack(
        "weights-not-a-number",
        weights(float("nan"), 1),
        *(errors.BundleModelStructureError, "holds NaN or infinity"),
    ),
    Attack(
        "weights-infinite",
        weights(float("inf"), 1),
        *(errors.BundleModelStructureError, "holds NaN or infinity"),
    ),
)
"""What needs no golden window to be refused."""

ATTACKS = (
    # Both take and give float32, so nothing but their scores tells which is which.
    Attack("float-and-int8-swapped", swapped(FLOAT, INT8), _ERROR, f"{_WORDS}.*tiny-float32: FAILED"),
    Attack("one-model-for-two-variants", same_model_twice, _ERROR, f"{_WORDS}.*tiny-float32: FAILED"),
    Attack("weights-of-zero", weights(0.0, 64), _ERROR, _WORDS),
    Attack("weights-huge", weights(3e38, 64), _ERROR, _WORDS),
    Attack("golden-windows-changed", windows(lambda array: array * np.float32(1.01)), _ERROR, _WORDS),
    Attack("golden-windows-huge", windows(lambda array: np.full_like(array, 3e38)), _ERROR, _WORDS),
    Attack("golden-scores-1e308", scores_all(1e308), _ERROR, _WORDS),
    Attack("golden-scores-negative", scores_all(-1.0), _ERROR, _WORDS),
    Attack("scaler-1e308", put("scaler", "scale", [1e308] * 8), _ERROR, _WORDS),
    Attack("scaler-5e-324", put("scaler", "scale", [5e-324] * 8), _ERROR, _WORDS),
    Attack("offset-1e308", put("scaler", "offset", [1e308] * 8), _ERROR, _WORDS),
    Attack("another-scaler", put("scaler", "offset", 0, 0.0), _ERROR, _WORDS),
)
