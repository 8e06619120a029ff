import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_ad.errors import ConversionError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.toolchain.architecture import Architecture
from edge_ad.toolchain.convert.converter import convert
from tests import naive

SHAPES = {
    "tiny": Architecture(10, 8, (16,), (16,)),
    "full": Architecture(10, 8, (100,), (100,)),
    "bearing stack": Architecture(6, 4, (16, 4), (4, 16)),
    "tanh": Architecture(10, 3, (5,), (7,), "tanh"),
    "one of everything": Architecture(1, 1, (1,), (1,)),
    "many channels": Architecture(3, 64, (7,), (9,)),
    "long window": Architecture(200, 2, (3,), (4,)),
    "many units": Architecture(3, 2, (256,), (256,)),
    "deep tanh": Architecture(4, 2, (6, 5, 4), (3, 4), "tanh"),
}


def random_weights(shape, seed=0):
    """Weights of the size that training leaves, biases included."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.8 / np.sqrt(s[0]), s).astype(np.float32) for s in shape.weight_shapes]


def random_windows(shape, n=20):
    return np.random.default_rng(1).normal(size=(n, shape.window_length, shape.n_channels)).astype(np.float32)


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


@pytest.fixture(params=["size", "speed"])
def optimize(request):
    return request.param


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-6), ("int8", 0.05)])
def test_a_converted_model_computes_the_network(shape, optimize, precision, tolerance):
    weights, windows = random_weights(shape), random_windows(shape)
    expected = naive.autoencoder(shape, weights, windows)
    converted = convert(shape, weights, precision, optimize)
    model = ReconstructionModel(converted.content, stateful=converted.stateful)
    assert model.shape == (shape.window_length, shape.n_channels)
    got = np.array([model.reconstruct(window) for window in windows])
    assert np.abs(got - expected).max() <= tolerance * max(1, np.abs(expected).max())


def test_windows_do_not_remember_each_other(shape, optimize):
    converted = convert(shape, random_weights(shape), "int8", optimize)
    windows = random_windows(shape)
    model = ReconstructionModel(converted.content, stateful=converted.stateful)
    forwards = [model.reconstruct(window).copy() for window in windows]
    backwards = [model.reconstruct(window).copy() for window in windows[::-1]][::-1]
    np.testing.assert_array_equal(forwards, backwards)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_only_built_in_operators_and_no_names(optimize, precision):
    content = convert(SHAPES["tiny"], random_weights(SHAPES["tiny"]), precision, optimize).content
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for code in model.operatorCodes:
        assert code.customCode is None
        assert code.builtinCode != schema.BuiltinOperator.CUSTOM
    assert not any(tensor.name for tensor in model.subgraphs[0].tensors)
    assert model.metadata is None


def test_conversion_gives_the_same_bytes_again(optimize):
    shape = SHAPES["tiny"]
    first, again = (convert(shape, random_weights(shape), "int8", optimize) for _ in range(2))
    assert first == again


def test_int8_is_smaller_where_size_is_asked_for():
    shape = SHAPES["tiny"]
    sizes = {p: len(convert(shape, random_weights(shape), p).content) for p in ("float32", "int8")}
    assert sizes["int8"] < sizes["float32"] / 2
    assert sizes["int8"] <= 6_800
    assert sizes["float32"] <= 17_500


def test_a_matrix_of_zeros_has_a_scale():
    shape = SHAPES["tiny"]
    weights = [np.zeros(s, np.float32) for s in shape.weight_shapes]
    converted = convert(shape, weights, "int8")
    model = ReconstructionModel(converted.content, stateful=converted.stateful)
    assert not model.reconstruct(random_windows(shape)[0]).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_numbers(bad, optimize):
    weights = random_weights(SHAPES["tiny"])
    weights[4][0, 0] = bad
    with pytest.raises(ConversionError, match="weight 4 holds NaN or infinite values"):
        convert(SHAPES["tiny"], weights, "float32", optimize)


def test_weights_of_another_network(optimize):
    with pytest.raises(ConversionError, match="weights have shapes"):
        convert(SHAPES["tiny"], random_weights(SHAPES["full"]), "int8", optimize)
