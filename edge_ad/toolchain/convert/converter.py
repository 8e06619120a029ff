"""One way in: weights and a precision in, a converted model out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Calibration, FormEntry, Precision
from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import Architecture, LstmArchitecture, PatchArchitecture, Weights
from edge_ad.toolchain.convert.admission import check_admissible
from edge_ad.toolchain.convert.calibration import calibrated_model
from edge_ad.toolchain.convert.choose import choose_form, measure_forms
from edge_ad.toolchain.convert.compact import compact_model
from edge_ad.toolchain.convert.fast import fast_model
from edge_ad.toolchain.convert.patches import patch_model
from edge_ad.toolchain.settings import Optimize


@dataclass(frozen=True)
class ConvertedModel:
    """A `.tflite` file and what a reader must know to run it."""

    content: bytes
    form: str
    """`compact` (fused LSTM operators), `fast` (restructured graph), `patches` (dense layers on gathered
    rows) or `integer`."""
    calibration: Calibration | None = None
    """Of an integer-only model."""
    measured_forms: tuple[FormEntry, ...] = ()
    """What the form was chosen by, where it was to be chosen."""

    @property
    def stateful(self) -> bool:
        """Whether variable tensors must be reset before every window."""
        return self.form == "compact"


def convert(
    architecture: Architecture,
    weights: Weights,
    precision: Precision,
    optimize: Optimize = "size",
    training_windows: NDArray[np.float32] | None = None,
) -> ConvertedModel:
    """Convert to TFLite with built-in operators only. Raises ConversionError.

    `int8` stores weights as int8 and computes on float activations; `int8-full` is integer-only, int8 in
    and out, and is calibrated on `(n, window_length, n_channels)` scaled training windows. `optimize` is
    for `size` (fused LSTM operators), for `speed` (restructured graph), or `auto`: both are measured.
    Integer-only models, and all without LSTM layers, have one form.
    """
    _check_weights(architecture, weights)
    if precision == "int8-full":
        if training_windows is None:
            training_windows = np.empty((0, architecture.window_length, architecture.n_channels), np.float32)
        content, calibration = calibrated_model(architecture, weights, training_windows)
        return ConvertedModel(content, "integer", calibration)
    int8 = precision == "int8"
    if isinstance(architecture, PatchArchitecture):
        content = patch_model(architecture, weights, int8=int8)
        check_admissible(architecture, content)
        return ConvertedModel(content, "patches")
    if optimize == "size":
        return _compact(architecture, weights, int8=int8)
    fast = _fast(architecture, weights, int8=int8)
    if optimize == "speed":
        return fast
    compact = _compact(architecture, weights, int8=int8)
    measured = measure_forms({m.form: (m.content, m.stateful) for m in (compact, fast)})
    chosen = compact if choose_form(measured) == "compact" else fast
    return ConvertedModel(chosen.content, chosen.form, measured_forms=measured)


def _compact(architecture: LstmArchitecture, weights: Weights, *, int8: bool) -> ConvertedModel:
    content = compact_model(architecture, weights, int8=int8)
    check_admissible(architecture, content, stateful=True)
    return ConvertedModel(content, "compact")


def _fast(architecture: LstmArchitecture, weights: Weights, *, int8: bool) -> ConvertedModel:
    content = fast_model(architecture, weights, int8=int8)
    try:
        check_admissible(architecture, content)
    except ConversionError as error:
        raise ConversionError(f"the fast form: {error}; --optimize size may do") from error
    return ConvertedModel(content, "fast")


def _check_weights(architecture: Architecture, weights: Weights) -> None:
    shapes = [weight.shape for weight in weights]
    if shapes != architecture.weight_shapes:
        raise ConversionError(f"weights have shapes {shapes}, not {architecture.weight_shapes}")
    for position, weight in enumerate(weights):
        if not np.isfinite(weight).all():
            raise ConversionError(f"weight {position} holds NaN or infinite values: train again")
