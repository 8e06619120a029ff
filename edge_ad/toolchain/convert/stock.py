"""TensorFlow's own converter on the restructured graph: larger files, faster where units are few."""

from __future__ import annotations

from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.graph import inference_function
from edge_ad.toolchain.tensorflow import load_tensorflow


def stock_model(architecture: Architecture, weights: Weights, *, int8: bool) -> bytes:
    """A `.tflite` file with built-in operators only. Raises ConversionError.

    `int8` is TensorFlow's dynamic-range quantization, which leaves matrices of fewer than 1024
    elements in float32.
    """
    tf = load_tensorflow()
    function = inference_function(architecture, weights)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], tf.Module()
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        content: bytes = converter.convert()
    except Exception as error:  # whatever the converter raises, the reason is for the user
        raise ConversionError(f"TensorFlow's converter failed: {error}") from error
    return content
