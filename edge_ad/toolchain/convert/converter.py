"""One way in: weights and a precision in, a converted model out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_ad.bundle.manifest import Precision
from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.compact import compact_model
from edge_ad.toolchain.convert.fast import fast_model
from edge_ad.toolchain.settings import Optimize


@dataclass(frozen=True)
class ConvertedModel:
    """A `.tflite` file and what a reader must know to run it."""

    content: bytes
    stateful: bool
    """Whether variable tensors must be reset before every window."""
    form: str
    """`compact` or `fast`."""


def convert(
    architecture: Architecture, weights: Weights, precision: Precision, optimize: Optimize = "size"
) -> ConvertedModel:
    """Convert to TFLite with built-in operators only. Raises ConversionError.

    `int8` stores weights as int8 and computes on float activations. `optimize` is for `size` (fused LSTM
    operators) or for `speed` (restructured graph).
    """
    _check_weights(architecture, weights)
    int8 = precision == "int8"
    if optimize == "size":
        return ConvertedModel(compact_model(architecture, weights, int8=int8), stateful=True, form="compact")
    return ConvertedModel(fast_model(architecture, weights, int8=int8), stateful=False, form="fast")


def _check_weights(architecture: Architecture, weights: Weights) -> None:
    shapes = [weight.shape for weight in weights]
    if shapes != architecture.weight_shapes:
        raise ConversionError(f"weights have shapes {shapes}, not {architecture.weight_shapes}")
    for position, weight in enumerate(weights):
        if not np.isfinite(weight).all():
            raise ConversionError(f"weight {position} holds NaN or infinite values: train again")
