import contextlib

import numpy as np
import pytest

from edge_ad.errors import ConversionError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.toolchain.convert.compact import compact_model
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.explain import explain_file, explain_tflite
from edge_ad.toolchain.convert.keras_file import read_keras
from edge_ad.toolchain.tensorflow import load_keras, load_tensorflow
from edge_ad.toolchain.train import build_keras_model
from tests import naive
from tests.helpers import edge_ad
from tests.toolchain.test_convert import SHAPES, random_weights, random_windows

# Keras itself, while it saves and loads
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TINY = SHAPES["tiny"]
PRODUCTS = 10 * (8 * 64 + 16 * 64 + 16 * 64 + 16 * 64 + 16 * 8)  # of the network as it is written down


@pytest.fixture(scope="module")
def weights():
    return random_weights(TINY)


def keras_model(weights, batch, unroll):
    layers = load_keras().layers
    inputs = layers.Input((10, 8), batch_size=batch)
    x = layers.LSTM(16, activation="relu", unroll=unroll)(inputs)
    x = layers.RepeatVector(10)(x)
    x = layers.LSTM(16, activation="relu", return_sequences=True, unroll=unroll)(x)
    model = load_keras().Model(inputs, layers.TimeDistributed(layers.Dense(8))(x))
    model.set_weights(weights)
    return model


def stock(weights, batch=1, unroll=True, flex=False):
    tf = load_tensorflow()
    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model(weights, batch, unroll))
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False
    return converter.convert()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_fused_model(weights, precision):
    found = explain_tflite(convert(TINY, weights, precision).content)
    assert found.kind == "fused"
    assert found.operators == {"UNIDIRECTIONAL_SEQUENCE_LSTM": 2, "GATHER": 1, "FULLY_CONNECTED": 1}
    assert found.multiply_adds == PRODUCTS
    assert sum(found.bytes_by_cause.values()) == found.size_bytes
    bytes_each = 4 if precision == "float32" else 1
    matrices = 8 * 64 + 3 * 16 * 64 + 16 * 8
    biases = 4 * (64 + 64 + 8)
    assert found.bytes_by_cause["weights"] == matrices * bytes_each + biases + 40  # and the gather's ten rows
    assert found.bytes_by_cause["names"] == found.bytes_by_cause["metadata"] == 0
    assert any("reset the variables" in advice for advice in found.advice)


def test_the_fast_form_multiplies_less(weights):
    found = explain_tflite(convert(TINY, weights, "float32", "speed").content)
    assert found.kind == "unrolled"
    saved = 16 * 64 + 9 * 16 * 64 + 16 * 64  # two first steps, and the repeated code nine times of ten
    assert found.multiply_adds == PRODUCTS - saved


def test_stock_routes_are_told_apart(weights):
    unrolled = explain_tflite(stock(weights))
    assert unrolled.kind == "unrolled"
    assert unrolled.bytes_by_cause["names"] > 0
    assert any("outweigh the weights" in advice for advice in unrolled.advice)
    loop = explain_tflite(stock(weights, unroll=False))
    assert loop.kind == "WHILE"
    assert loop.operators["WHILE"] == 2
    assert any("WHILE loop" in advice for advice in loop.advice)
    assert loop.multiply_adds >= PRODUCTS


def test_flex_operators_and_open_shapes_are_named(weights):
    found = explain_tflite(stock(weights, batch=None, unroll=False, flex=True))
    assert any(name.startswith("Flex") for name in found.operators)
    assert found.dynamic_shapes
    assert any("device's interpreter does not have" in advice for advice in found.advice)
    assert any("open (-1)" in advice for advice in found.advice)


@pytest.mark.parametrize("name", ["tiny", "bearing stack", "deep tanh"])
def test_a_keras_file_becomes_ours(tmp_path, name):
    shape = SHAPES[name]
    model = build_keras_model(shape)
    model.set_weights(random_weights(shape))
    path = tmp_path / "model.keras"
    model.save(path)
    found_shape, found_weights = read_keras(path)
    assert found_shape == shape
    windows = random_windows(shape, 3)
    ours = ReconstructionModel(compact_model(found_shape, found_weights, int8=False), stateful=True)
    for window, expected in zip(
        windows, naive.autoencoder(shape, random_weights(shape), windows), strict=True
    ):
        np.testing.assert_allclose(ours.reconstruct(window), expected, atol=1e-5)
    found, what = explain_file(path)
    assert found.kind == "fused"
    assert "as edge-ad would convert it" in what


def layers_of(*layers):
    keras = load_keras()
    return keras.Sequential([keras.layers.Input((10, 8)), *layers])


def unsupported():
    kinds = load_keras().layers
    tail = [kinds.RepeatVector(10), kinds.LSTM(4, activation="relu", return_sequences=True), kinds.Dense(8)]
    return {
        "'gru.*GRU": [kinds.GRU(4, name="gru"), *tail],
        "is no LSTM autoencoder": [kinds.LSTM(4, activation="relu")],
        "the same activation": [kinds.LSTM(4, activation="tanh"), *tail],
        "recurrent activation must be sigmoid": [kinds.LSTM(4, recurrent_activation="tanh"), *tail],
        "use_bias must be True": [kinds.LSTM(4, use_bias=False), *tail],
        "go_backwards": [kinds.LSTM(4, go_backwards=True), *tail],
        "Dense without an activation": [
            kinds.LSTM(4, activation="relu"),
            *tail[:2],
            kinds.Dense(8, activation="relu"),
        ],
    }


@pytest.mark.parametrize(
    "words",
    [
        "'gru.*GRU",
        "is no LSTM autoencoder",
        "the same activation",
        "recurrent activation must be sigmoid",
        "use_bias must be True",
        "go_backwards",
        "Dense without an activation",
    ],
)
def test_what_cannot_be_converted_is_said_layer_by_layer(tmp_path, words):
    path = tmp_path / "model.keras"
    layers_of(*unsupported()[words]).save(path)
    with pytest.raises(ConversionError, match=words):
        explain_file(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\0\0\0\0TFL3", b"\xff\xff\xff\xffTFL3" + b"\xff" * 100])
def test_what_is_no_model(tmp_path, content):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ConversionError, match="model.tflite"):
        explain_file(path)


def test_a_cut_model(tmp_path, weights):
    content = convert(TINY, weights, "int8").content
    for size in range(8, len(content), 97):
        path = tmp_path / "cut.tflite"
        path.write_bytes(content[:size])
        with contextlib.suppress(ConversionError):  # and nothing else
            explain_file(path)


def test_the_command(small_build, tmp_path):
    root, _, _ = small_build
    result = edge_ad("convert", "--explain", root / "build")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("fused: ") == 4
    assert "thousand multiply-adds per window" in result.stdout
    missing = edge_ad("convert", "--explain", tmp_path / "none.tflite")
    assert missing.returncode == 1
    assert "cannot read" in missing.stderr
