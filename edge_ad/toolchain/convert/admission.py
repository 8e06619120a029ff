"""Is a converted model one that a bundle may hold? Asked by the rule that the device asks by.

An interpreter ends its process over some models that are well-formed but out of its range, so the answer
comes before one sees them.
"""

from __future__ import annotations

from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.tflite import check_model
from edge_ad.errors import BundleError, ConversionError
from edge_ad.toolchain.architecture import Architecture


def check_admissible(
    architecture: Architecture,
    content: bytes,
    *,
    stateful: bool = False,
    ends: tuple[Quantization, Quantization] | None = None,
) -> None:
    """Check a `.tflite` file; `ends` are the scales of an int8 input and output, None where both are float32.

    Raises ConversionError with the reason for which a device would refuse it.
    """
    dtype = "float32" if ends is None else "int8"
    input_quantization, output_quantization = ends or (None, None)
    try:
        check_model(
            content,
            shape=(architecture.window_length, architecture.n_channels),
            input_dtype=dtype,
            output_dtype=dtype,
            stateful=stateful,
            input_quantization=input_quantization,
            output_quantization=output_quantization,
        )
    except BundleError as error:
        raise ConversionError(f"a device would refuse the converted model: {error}") from error
