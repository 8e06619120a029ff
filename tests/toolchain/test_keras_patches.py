"""Convolutional and dense autoencoders out of `.keras` files of other people."""

import re

import numpy as np
import pytest

from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.runtime.numpy_engine.model import NumpyModel
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.doctor import explain_file
from edge_ad.toolchain.convert.keras_chain import find_architecture
from edge_ad.toolchain.convert.keras_file import load_keras_model
from edge_ad.toolchain.oracle import reconstruct
from edge_ad.toolchain.tensorflow import load_keras
from edge_ad.toolchain.train import build_keras_model

# Keras itself, while it saves and loads
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def kinds():
    return load_keras().layers


def chain(*layers, window=(10, 8)):
    return load_keras().Sequential([kinds().Input(window), *layers])


def conv(filters, size=3, **options):
    return kinds().Conv1D(filters, size, **{"padding": "same", "activation": "relu", **options})


def back(filters, size=3, **options):
    return kinds().Conv1DTranspose(filters, size, **{"padding": "same", "activation": "relu", **options})


def dense(units, **options):
    return kinds().Dense(units, **options)


MODELS = {
    "same": lambda: chain(conv(6), dense(8)),
    "strides and up": lambda: chain(conv(16, strides=2), kinds().UpSampling1D(2), conv(16), dense(8)),
    "odd lengths are cropped": lambda: chain(
        conv(6, strides=2),
        conv(4, strides=2),
        kinds().UpSampling1D(4),
        kinds().Cropping1D((1, 0)),
        dense(3),
        window=(11, 3),
    ),
    "valid and padded": lambda: chain(
        conv(5, 4, padding="valid"), kinds().ZeroPadding1D((2, 1)), conv(8, 1, activation=None)
    ),
    "causal and dilated": lambda: chain(
        conv(6, padding="causal"), conv(5, padding="causal", dilation_rate=2, activation="tanh"), dense(8)
    ),
    "same and dilated": lambda: chain(conv(6, dilation_rate=3), dense(8)),
    "transposed": lambda: chain(
        conv(6, 7, strides=2),
        conv(4, 7, strides=5),
        back(4, 7, strides=5),
        back(6, 7, strides=2),
        back(8, 7, activation=None),
    ),
    "transposed, valid": lambda: chain(
        conv(6, 4, strides=2, padding="valid"), back(8, 4, strides=2, padding="valid", activation=None)
    ),
    "transposed, smaller than its stride": lambda: chain(
        conv(6, 2, strides=5), back(8, 2, strides=5, activation=None)
    ),
    "a dense code": lambda: chain(
        conv(6, strides=2),
        kinds().Flatten(),
        dense(4, activation="tanh"),
        dense(30),
        kinds().Reshape((5, 6)),
        back(8, strides=2, activation=None),
    ),
    "dense layers alone": lambda: chain(
        kinds().Flatten(),
        dense(12, activation="relu"),
        kinds().Dropout(0.1),
        dense(80),
        kinds().Reshape((10, 8)),
    ),
    "per time step": lambda: chain(
        kinds().TimeDistributed(dense(3, activation="tanh")),
        kinds().TimeDistributed(dense(8, use_bias=False)),
    ),
    "two rows as one": lambda: chain(
        kinds().Reshape((5, 16)), dense(4, activation="relu"), dense(16), kinds().Reshape((10, 8))
    ),
    "moved rows as one": lambda: chain(
        conv(4, strides=2), kinds().UpSampling1D(2), kinds().Flatten(), dense(80), kinds().Reshape((10, 8))
    ),
    "the last rows cut off, then one row": lambda: chain(
        conv(4), kinds().Cropping1D((0, 2)), kinds().Flatten(), dense(80), kinds().Reshape((10, 8))
    ),
    "the last rows cut off at the end": lambda: chain(
        kinds().ZeroPadding1D((0, 3)), conv(8, activation=None), kinds().Cropping1D((0, 3))
    ),
    "moved at the end": lambda: chain(
        conv(8, strides=2, activation=None), kinds().UpSampling1D(3), kinds().Cropping1D((2, 3))
    ),
}


def with_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.4, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


@pytest.fixture(params=MODELS)
def model(request):
    return with_weights(MODELS[request.param]())


def windows_for(model, n=5):
    return np.random.default_rng(1).normal(size=(n, *model.inputs[0].shape[1:])).astype(np.float32)


def test_a_keras_file_becomes_ours(tmp_path, model):
    model.save(tmp_path / "model.keras")
    found, problems = find_architecture(load_keras_model(tmp_path / "model.keras"))
    assert problems == []
    shape, weights = found
    windows = windows_for(model)
    expected = model(windows).numpy()
    np.testing.assert_allclose(reconstruct(shape, weights, windows), expected, atol=2e-5)
    again = build_keras_model(shape)
    again.set_weights(weights)
    np.testing.assert_allclose(again(windows), expected, atol=2e-5)
    for precision, tolerance in (("float32", 1e-5), ("int8", 0.05), ("int8-full", 0.15)):
        made = convert(shape, weights, precision, training_windows=windows)
        for engine in (ReconstructionModel, NumpyModel):
            ours = np.array([engine(made.content).reconstruct(window) for window in windows])
            assert np.abs(ours - expected).max() <= tolerance * np.abs(expected).max()


def test_its_layers_and_forms_side_by_side(tmp_path):
    model = with_weights(MODELS["strides and up"]())
    model.save(tmp_path / "model.keras")
    found = explain_file(tmp_path / "model.keras")
    assert found.problems == ()
    assert [(form.form, form.precision) for form in found.forms] == [
        *(("patches", "float32"), ("patches", "int8"), ("integer", "int8-full"))
    ]
    assert found.multiply_adds == 5 * 24 * 16 + 10 * 48 * 16 + 10 * 16 * 8
    zeros = 16 + 8  # the rows beyond the ends, a width of products each
    for form in found.forms:
        assert form.explanation.multiply_adds == found.multiply_adds + zeros


UNSUPPORTED = {
    "two axes": (
        lambda: chain(
            kinds().Reshape((10, 8, 1), name="r"), kinds().Conv2D(2, 3), kinds().Flatten(), dense(80)
        ),
        r"'r' \(Reshape\).*3 axes",
    ),
    "Conv2D": (
        lambda: chain(kinds().Conv2D(2, 3, name="c"), window=(10, 8, 1)),
        r"'c' \(Conv2D\).*takes Conv1D and Conv1DTranspose",
    ),
    "separable": (
        lambda: chain(kinds().SeparableConv1D(8, 3, padding="same", name="s")),
        r"'s' \(SeparableConv1D\).*takes Conv1D and Conv1DTranspose",
    ),
    "groups": (lambda: chain(conv(8, groups=4, name="g"), dense(8)), "'g'.*groups must be 1"),
    "pooling": (
        lambda: chain(conv(8), kinds().MaxPooling1D(2, name="p"), kinds().UpSampling1D(2), dense(8)),
        r"'p' \(MaxPooling1D\).*a Conv1D with strides in its place",
    ),
    "batch normalization": (
        lambda: chain(conv(8), kinds().BatchNormalization(name="n"), dense(8)),
        "'n'.*scale the windows",
    ),
    "an activation of its own": (
        lambda: chain(conv(8, activation=None), kinds().ReLU(name="a"), dense(8)),
        r"'a' \(ReLU\).*give the layer before it the activation relu",
    ),
    "elu": (
        lambda: chain(conv(8, activation="elu", name="e"), dense(8)),
        "'e'.*elu: train with relu, tanh or none",
    ),
    "last activation": (
        lambda: chain(conv(8, name="l")),
        "'l'.*last one, and must have no activation, not relu",
    ),
    "other channels": (
        lambda: chain(conv(8), dense(3)),
        r"gives \(10, 3\), but a window has \(10, 8\).*Dense\(8\)",
    ),
    "other rows": (
        lambda: chain(conv(8, strides=2), dense(8)),
        r"gives \(5, 8\), but a window has \(10, 8\)",
    ),
    "flat": (
        lambda: chain(dense(4), dense(80), window=(80,)),
        r"begin with Input\(\(steps, channels\)\), and with Flatten",
    ),
    "open length": (lambda: chain(conv(8), dense(8), window=(None, 8)), "no window of known length"),
    "zeros at its end": (
        lambda: chain(conv(8, 1, activation=None), kinds().Cropping1D((0, 2)), kinds().ZeroPadding1D((0, 2))),
        "ends in rows that no layer has made",
    ),
    "moved rows cut apart": (
        lambda: chain(
            conv(8, strides=2),
            kinds().UpSampling1D(2),
            kinds().Reshape((20, 4), name="r"),
            dense(4),
            kinds().Reshape((10, 8)),
        ),
        r"'r' \(Reshape\).*cuts rows apart",
    ),
    "nothing to learn": (
        lambda: chain(kinds().Flatten(), kinds().Reshape((10, 8))),
        "it has no weights",
    ),
    "open zeros of a transposed": (
        lambda: chain(conv(8, strides=2), back(8, 3, strides=2, output_padding=1, padding="valid", name="t")),
        "'t'.*output_padding None",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cannot_be_converted_says_why(name):
    make, words = UNSUPPORTED[name]
    found, problems = find_architecture(make())
    assert found is None
    assert any(re.search(words, problem) for problem in problems), problems


def test_every_layer_at_fault_is_named_once():
    model = chain(
        conv(8, activation="elu", name="one"), kinds().MaxPooling1D(2, name="two"), dense(8, name="three")
    )
    _, problems = find_architecture(model)
    assert [problem.split("'")[1] for problem in problems] == ["one", "two"]
