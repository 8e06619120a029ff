import json
import re
import zipfile

import numpy as np
import pytest

from edge_ad.bundle.codec import encode
from edge_ad.errors import ConversionError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.toolchain.convert.compact import compact_model
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.doctor import explain_file
from edge_ad.toolchain.convert.keras_chain import find_architecture
from edge_ad.toolchain.convert.keras_file import load_keras_model
from edge_ad.toolchain.report.explanation import explanation_text
from edge_ad.toolchain.tensorflow import load_keras
from edge_ad.toolchain.train import build_keras_model
from tests import naive
from tests.helpers import edge_ad
from tests.toolchain.test_convert import SHAPES, random_weights, random_windows

# Keras itself, while it saves and loads
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TINY = SHAPES["tiny"]


def kinds():
    return load_keras().layers


def lstm(units=4, **options):
    return kinds().LSTM(units, **{"activation": "relu", **options})


def chain(*layers, steps=10, batch=None):
    return load_keras().Sequential([kinds().Input((steps, 8), batch_size=batch), *layers])


def autoencoder(encoder=None, repeat=10, decoder=None, dense=None, **options):
    return chain(
        *(encoder or [lstm()]),
        kinds().RepeatVector(repeat),
        *(decoder or [lstm(return_sequences=True)]),
        dense or kinds().Dense(8, name="last"),
        **options,
    )


def explained(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    return explain_file(path)


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    model = build_keras_model(TINY)
    model.set_weights(random_weights(TINY))
    path = tmp_path_factory.mktemp("keras") / "tiny.keras"
    model.save(path)
    return path


@pytest.mark.parametrize("name", ["tiny", "bearing stack", "deep tanh"])
def test_a_keras_file_becomes_ours(tmp_path, name):
    shape = SHAPES[name]
    model = build_keras_model(shape)
    model.set_weights(random_weights(shape))
    path = tmp_path / "model.keras"
    model.save(path)
    found, problems = find_architecture(load_keras_model(path))
    assert problems == []
    found_shape, found_weights = found
    assert found_shape == shape
    windows = random_windows(shape, 3)
    ours = ReconstructionModel(compact_model(found_shape, found_weights, int8=False), stateful=True)
    for window, expected in zip(
        windows, naive.autoencoder(shape, random_weights(shape), windows), strict=True
    ):
        np.testing.assert_allclose(ours.reconstruct(window), expected, atol=1e-5)


def test_layers_and_all_forms_side_by_side(tiny_file):
    found = explain_file(tiny_file)
    assert found.problems == ()
    assert [layer.kind for layer in found.layers] == ["LSTM", "RepeatVector", "LSTM", "TimeDistributed"]
    assert [layer.parameters for layer in found.layers] == [1600, 0, 2112, 136]
    assert [layer.multiply_adds for layer in found.layers] == [10 * 24 * 64, 0, 10 * 32 * 64, 10 * 128]
    assert found.layers[0].output_shape[1:] == (16,)
    assert found.multiply_adds == 37120
    sizes = {(form.form, form.precision): form.explanation.size_bytes for form in found.forms}
    for precision in ("float32", "int8"):
        for optimize, form in (("size", "compact"), ("speed", "fast")):
            content = convert(TINY, random_weights(TINY), precision, optimize).content
            assert sizes[form, precision] == len(content)
    real = convert(TINY, random_weights(TINY), "int8-full", training_windows=random_windows(TINY)).content
    assert abs(sizes["integer", "int8-full"] - len(real)) < 500
    text = explanation_text(found, "tiny")
    for form in ("compact float32", "compact int8", "fast float32", "fast int8", "integer int8-full"):
        assert form in text
    assert "about" in text


def test_layers_that_do_nothing_are_left_out(tmp_path):
    model = autoencoder([lstm(dropout=0.2), kinds().Dropout(0.2)], batch=1)
    found = explained(model, tmp_path)
    assert found.problems == found.notes == ()
    assert len(found.forms) == 5


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"batch": None}, r"the batch is open \(None\).*Input\(\(10, 8\), batch_size=1\).*Flex operators"),
        ({"batch": 32}, "the batch is 32"),
        ({"steps": None}, r"length of a window is open \(None\): edge-ad takes the 10 of RepeatVector"),
    ],
)
def test_open_dimensions_are_told(tmp_path, options, note):
    found = explained(autoencoder(**options), tmp_path)
    assert found.problems == ()
    assert any(re.search(note, text) for text in found.notes)


def shared_layer():
    inputs = kinds().Input((10, 8))
    twice = lstm(8, return_sequences=True, name="twice")
    x = lstm()(twice(twice(inputs)))
    x = lstm(return_sequences=True)(kinds().RepeatVector(10)(x))
    return load_keras().Model(inputs, kinds().Dense(8)(x))


def two_outputs():
    inputs = kinds().Input((10, 8))
    code = lstm()(inputs)
    x = lstm(return_sequences=True)(kinds().RepeatVector(10)(code))
    return load_keras().Model(inputs, [kinds().Dense(8)(x), code])


def skip_connection():
    inputs = kinds().Input((10, 8))
    x = lstm(return_sequences=True)(kinds().RepeatVector(10)(lstm()(inputs)))
    return load_keras().Model(inputs, kinds().Add(name="skip")([kinds().Dense(8)(x), inputs]))


def handed_state():
    inputs = kinds().Input((10, 8))
    code, hidden, cell = lstm(return_state=True)(inputs)
    decoder = lstm(return_sequences=True, name="decoder")
    x = decoder(kinds().RepeatVector(10)(code), initial_state=[hidden, cell])
    return load_keras().Model(inputs, kinds().Dense(8)(x))


def not_a_number():
    model = autoencoder([lstm(name="broken")])
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    return model


def nested():
    inner = load_keras().Sequential([kinds().Input((10, 8)), lstm()], name="inner")
    return autoencoder([inner])


UNSUPPORTED = {
    "GRU": (lambda: autoencoder([kinds().GRU(4, name="g")]), r"'g' \(GRU\).*train an LSTM"),
    "Bidirectional": (
        lambda: autoencoder([kinds().Bidirectional(lstm(), name="both")]),
        r"'both' \(Bidirectional\).*backwards.*train a plain LSTM",
    ),
    "convolutions": (
        lambda: autoencoder([kinds().Conv1D(8, 3, padding="same", name="c"), lstm()]),
        r"'c' \(Conv1D\).*not both in one: train it of one kind",
    ),
    "batch normalization": (
        lambda: autoencoder([kinds().BatchNormalization(name="n"), lstm()]),
        r"'n' \(BatchNormalization\).*scale the windows",
    ),
    "masking": (lambda: autoencoder([kinds().Masking(name="m"), lstm()]), r"'m' \(Masking\).*whole windows"),
    "a model inside": (nested, r"'inner' \(Sequential\).*one by one"),
    "bottleneck": (
        lambda: autoencoder([lstm(), kinds().Dense(2, name="code")]),
        r"'code' \(Dense\).*with one of that many units",
    ),
    "elu": (lambda: autoencoder([lstm(activation="elu", name="e")]), r"'e' \(LSTM\).*elu.*relu or tanh"),
    "activations": (lambda: autoencoder([lstm(activation="tanh")]), "the same activation"),
    "hard gates": (
        lambda: autoencoder([lstm(recurrent_activation="tanh")]),
        "recurrent activation must be sigmoid",
    ),
    "LSTM without bias": (
        lambda: autoencoder([lstm(use_bias=False, name="b")]),
        "'b'.*use_bias must be True",
    ),
    "Dense without bias": (
        lambda: autoencoder(dense=kinds().Dense(8, use_bias=False, name="d")),
        "'d'.*use_bias must be True",
    ),
    "Dense with activation": (
        lambda: autoencoder(dense=kinds().Dense(8, activation="relu", name="d")),
        "'d'.*Dense without an activation",
    ),
    "other channels": (
        lambda: autoencoder(dense=kinds().Dense(3, name="d")),
        r"'d' \(Dense\) gives 3 channels, but a window has 8.*Dense\(8\)",
    ),
    "backwards": (lambda: autoencoder([lstm(go_backwards=True)]), "go_backwards must be False"),
    "other window": (
        lambda: autoencoder(repeat=5),
        r"\(RepeatVector\) repeats the code 5 times, but a window has 10 steps.*RepeatVector\(10\)",
    ),
    "one row": (
        lambda: autoencoder(decoder=[lstm(name="d")]),
        "'d'.*after RepeatVector return_sequences must be True",
    ),
    "no code": (lambda: chain(lstm(return_sequences=True), kinds().Dense(8)), "it has no RepeatVector"),
    "only an encoder": (lambda: chain(lstm()), "is no LSTM autoencoder"),
    "shared layer": (shared_layer, r"'twice' \(LSTM\) is used 2 times: give each use a layer of its own"),
    "two outputs": (two_outputs, r"2 outputs.*model\.outputs\[0\]"),
    "skip connection": (skip_connection, r"'skip' \(Add\) joins 2 paths.*without side paths"),
    "handed state": (handed_state, r"'decoder' \(LSTM\) starts from another layer's state"),
    "not a number": (not_a_number, r"'broken' \(LSTM\) holds NaN or infinite weights: train again"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cannot_be_converted_is_said_layer_by_layer(tmp_path, name):
    make, words = UNSUPPORTED[name]
    found = explained(make(), tmp_path)
    assert found.forms == ()
    assert len(found.layers) >= 1
    assert all(layer.output_shape is not None for layer in found.layers)
    text = explanation_text(found, "model")
    assert "cannot be converted by edge-ad" in text
    assert any(re.search(words, problem) for problem in found.problems), found.problems
    json.dumps(encode(found))


def test_multiply_adds_of_layers(tmp_path):
    model = chain(
        kinds().Conv1D(16, 3, padding="same"),
        kinds().SeparableConv1D(4, 3, padding="same"),
        kinds().Conv1DTranspose(6, 2, strides=2),
        kinds().Bidirectional(kinds().GRU(5)),
        kinds().Dense(3),
    )
    found = explained(model, tmp_path)
    assert [layer.multiply_adds for layer in found.layers] == [
        10 * 3 * 8 * 16,
        10 * (3 * 16 + 16 * 4),
        10 * 2 * 6 * 4,
        2 * 20 * (6 * 15 + 5 * 15),
        10 * 3,
    ]
    assert found.multiply_adds == sum(layer.multiply_adds for layer in found.layers)


def test_code_in_a_file_is_named_and_not_run(tmp_path):
    @load_keras().saving.register_keras_serializable("somebody")
    class Mine(kinds().Layer):
        def call(self, inputs):
            return inputs

    cases = {
        r"layer 'mine' \(Mine\) needs Mine, a class or function of its author's own": Mine(name="mine"),
        r"layer 'shift' \(Lambda\) holds Python code": kinds().Lambda(lambda x: x + 1, name="shift"),
    }
    for words, layer in cases.items():
        found = explained(autoencoder([layer, lstm()]), tmp_path)
        assert re.search(words, found.problems[0])
        assert layer.name in [entry.name for entry in found.layers]
        assert found.layers[-1].kind == "Dense"
        assert layer.name in explanation_text(found, "model")


def test_the_content_counts_and_not_the_name(tmp_path, tiny_file):
    loud = tmp_path / "UP.KERAS"
    loud.write_bytes(tiny_file.read_bytes())
    assert explain_file(loud) == explain_file(tiny_file)
    misnamed = tmp_path / "model.keras"
    misnamed.write_bytes(convert(TINY, random_weights(TINY), "int8").content)
    assert explain_file(misnamed).kind == "fused"


def test_files_that_are_no_models(tmp_path, tiny_file, toy_bundle_path):
    whole = tiny_file.read_bytes()
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "nothing")
    np.savez(tmp_path / "arrays.npz", np.zeros(3))
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 255
    hdf5 = b"\x89HDF\r\n\x1a\n" + bytes(100)
    cases = {
        "empty.keras": (b"", "is an empty file"),
        "noise.keras": (b"hello, this is no model", "is no .keras file.*save it with model.save"),
        "cut.keras": (whole[: len(whole) // 2], "damaged zip archive.*copy it again"),
        "altered.keras": (bytes(altered), "damaged zip archive.*copy it again"),
        "zip.keras": (archive.read_bytes(), "without the config.json.*save it with model.save"),
        "old.h5": (hdf5, "is an HDF5 file, the older format of Keras.*save it with model.save"),
        "a.weights.h5": (hdf5, "weights without the model"),
        "toy.edgead": (toy_bundle_path.read_bytes(), "is a bundle: 'edge-ad inspect"),
        "arrays.npz": ((tmp_path / "arrays.npz").read_bytes(), "holds arrays, not a model"),
        "notes.txt": (b"hello", "is neither a .tflite nor a .keras file"),
        "empty.tflite": (b"", "is an empty file"),
        "noise.tflite": (b"\0\0\0\0TFL2hello", "is not a .tflite file: its identifier is missing"),
        "bare.tflite": (b"\0\0\0\0TFL3", "bare.tflite: a damaged .tflite file"),
    }
    for name, (content, words) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ConversionError, match=words) as caught:
            explain_file(path)
        assert name in str(caught.value)
    saved = tmp_path / "saved"
    saved.mkdir()
    with pytest.raises(ConversionError, match="saved is a folder without a build.json"):
        explain_file(saved)
    (saved / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(
        ConversionError, match="is a TensorFlow SavedModel: save the Keras model with model.save"
    ):
        explain_file(saved)


def test_the_command(tmp_path):
    path = tmp_path / "gru.keras"
    autoencoder([kinds().GRU(4, name="g")]).save(path)
    for option in ((), ("--json",)):
        result = edge_ad("convert", "--explain", path, *option)
        assert result.returncode == 1
        assert f"{path} cannot be converted: layer 'g' (GRU)" in result.stderr
        assert "GRU" in result.stdout
    entry = json.loads(result.stdout)[0]
    assert entry["file"] == str(path)
    assert [layer["kind"] for layer in entry["layers"]] == ["GRU", "RepeatVector", "LSTM", "Dense"]
