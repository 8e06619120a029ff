"""The numpy engine against the interpreter, the network in float64, and graphs that no converter writes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.operators import ALLOWED
from edge_ad.errors import InterpreterError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.runtime.numpy_engine import model as numpy_model
from edge_ad.runtime.numpy_engine.graph import read_graph
from edge_ad.runtime.numpy_engine.model import NumpyModel
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.convert.compact import compact_model
from edge_ad.toolchain.convert.fast import fast_model
from edge_ad.toolchain.convert.flatbuffer import Graph, Operator, Options, Tensor, to_bytes
from edge_ad.toolchain.convert.integer import integer_model, quantize_ranges
from edge_ad.toolchain.convert.operators import GraphWriter, fused
from edge_ad.toolchain.oracle import Trace, reconstruct
from tests import naive

FORMS = ("compact", "compact int8", "fast", "fast int8", "integer")
TINY = LstmArchitecture(10, 8, (16,), (16,))
SHAPES = {
    "tiny": TINY,
    "full": LstmArchitecture(10, 8, (100,), (100,)),
    "bearing stack": LstmArchitecture(6, 4, (16, 4), (4, 16)),
    "deep tanh": LstmArchitecture(4, 2, (6, 5, 4), (3, 4), "tanh"),
    "one of everything": LstmArchitecture(1, 1, (1,), (1,)),
    "long window": LstmArchitecture(120, 2, (3,), (4,)),
    "many units": LstmArchitecture(2, 2, (600,), (600,)),
}


def random_weights(shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.8 / np.sqrt(s[0]), s).astype(np.float32) for s in shape.weight_shapes]


def random_windows(shape, seed=1, n=6):
    rng = np.random.default_rng(seed)
    windows = rng.normal(size=(n, shape.window_length, shape.n_channels)).astype(np.float32)
    return windows * np.resize(np.array([1, 1, 0.01, 3], np.float32), n)[:, None, None]


def written(shape, form, weights, windows):
    """The `.tflite` bytes of a form, and whether its interpreter needs to be reset."""
    if form == "integer":
        trace = Trace()
        reconstruct(shape, weights, windows, trace)
        return integer_model(shape, weights, quantize_ranges(trace, shape.activation)), False
    write = compact_model if form.startswith("compact") else fast_model
    return write(shape, weights, int8=form.endswith("int8")), form.startswith("compact")


def both(content, windows, *, stateful=False):
    """What the interpreter makes of windows, and what numpy does."""
    engines = ReconstructionModel(content, stateful=stateful), NumpyModel(content)
    return [np.array([engine.reconstruct(window) for window in windows]) for engine in engines]


def assert_alike(form, expected, found, output_scale):
    """Float forms but for float32's rounding; int8 ones but for the roundings that this turns over."""
    largest = np.abs(expected).max(axis=(1, 2)) + 1e-3
    difference = np.abs(found - expected).max(axis=(1, 2))
    if form == "integer":
        assert (difference <= 2.5 * output_scale).all()
    else:
        tolerance = {"compact": 2e-5, "fast": 2e-5}.get(form, 1e-2)
        assert (difference <= tolerance * largest).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHAPES)
def test_it_is_the_interpreters_network(name, form):
    shape = SHAPES[name]
    weights, windows = random_weights(shape), random_windows(shape)
    content, stateful = written(shape, form, weights, windows)
    expected, found = both(content, windows, stateful=stateful)
    quantization = NumpyModel(content).output_quantization
    assert_alike(form, expected, found, quantization.scale if quantization else 0)
    exact = naive.autoencoder(shape, weights, windows)
    tolerance = {"compact": 2e-6, "fast": 2e-6}.get(form, 0.06)
    assert np.abs(found - exact).max() <= tolerance * max(1, np.abs(exact).max())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 16),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.sampled_from(["relu", "tanh"]),
    st.sampled_from(FORMS),
    st.integers(0, 2**32 - 1),
)
def test_any_network(length, channels, encoder, decoder, activation, form, seed):
    shape = LstmArchitecture(length, channels, tuple(encoder), tuple(decoder), activation)
    weights, windows = random_weights(shape, seed), random_windows(shape, seed)
    content, stateful = written(shape, form, weights, windows)
    expected, found = both(content, windows, stateful=stateful)
    quantization = NumpyModel(content).output_quantization
    assert_alike(form, expected, found, quantization.scale if quantization else 0)


def test_every_operator_that_a_bundle_may_hold_has_been_run():
    used = set()
    for shape in (TINY, SHAPES["deep tanh"]):
        for form in FORMS:
            content, _ = written(shape, form, random_weights(shape), random_windows(shape))
            used |= {operation.name for operation in read_graph(content).operations}
    assert used == {operator.name for operator in ALLOWED.values()}


@pytest.mark.parametrize("form", FORMS)
def test_windows_and_models_do_not_remember_each_other(form):
    weights, windows = random_weights(TINY), random_windows(TINY)
    content, _ = written(TINY, form, weights, windows)
    other = NumpyModel(written(TINY, form, random_weights(TINY, 5), windows)[0])
    model = NumpyModel(content)
    alone = [NumpyModel(content).reconstruct(window) for window in windows]
    forwards, backwards = [], []
    for window in windows:
        forwards.append(model.reconstruct(window))
        other.reconstruct(window)
    for window in windows[::-1]:
        backwards.insert(0, model.reconstruct(window))
    np.testing.assert_array_equal(forwards, alone)
    np.testing.assert_array_equal(backwards, alone)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e4, 1e30, -1e30])
def test_extremes_are_as_finite_as_in_the_interpreter(form, activation, size):
    shape = LstmArchitecture(5, 3, (6,), (4,), activation)
    weights = random_weights(shape)
    content, stateful = written(shape, form, weights, random_windows(shape))
    windows = np.full((1, 5, 3), size, np.float32)
    expected, found = both(content, windows, stateful=stateful)
    assert np.isfinite(found[np.isfinite(expected)]).all()
    if abs(size) <= 1e4:
        assert np.isfinite(found).all()


def test_an_input_that_leaves_int8s_range_is_its_end():
    content, _ = written(TINY, "integer", random_weights(TINY), random_windows(TINY))
    model = NumpyModel(content)
    highest = (127 - model.input_quantization.zero_point) * model.input_quantization.scale
    far, end = (model.reconstruct(np.full((10, 8), x, np.float32)) for x in (1e30, highest))
    np.testing.assert_array_equal(far, end)


def test_residuals_of_many_windows():
    windows = random_windows(TINY)[:, None]
    model = NumpyModel(written(TINY, "compact", random_weights(TINY), random_windows(TINY))[0])
    residuals = np.empty_like(windows)
    model.residuals(windows, residuals)
    expected = [window - model.run(window) for window in windows]
    np.testing.assert_array_equal(residuals, expected)


def test_the_bare_network():
    model = NumpyModel(written(TINY, "compact int8", random_weights(TINY), random_windows(TINY))[0])
    window = random_windows(TINY)[0]
    expected = model.reconstruct(window)
    invoke = model.bare_invoke(window)
    assert invoke() is None
    np.testing.assert_array_equal(model.run(window[None])[0], expected)


# --- graphs that no converter writes, and that a bundle may hold all the same ----------------------


def test_a_gather_of_different_rows_and_a_dense_layer_on_three_axes():
    graph = GraphWriter(int8_weights=False)
    inputs = graph.activation(1, 4, 3)
    rows = graph.gather(inputs, [2, 0, 0, 3, 1], (1, 5, 3))
    weight = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    dense = graph.dense(rows, graph.constant(weight), graph.constant(np.ones(3, np.float32)), (1, 5, 3))
    outputs = graph.gather(dense, [0, 2, 3, 4], (1, 4, 3))
    windows = np.random.default_rng(1).normal(size=(3, 4, 3)).astype(np.float32)
    expected, found = both(graph.to_bytes(inputs, outputs), windows)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cuts_of_three_axes():
    """Of two half windows both the columns and the steps; neither cut lies in memory as its rows would."""
    graph = GraphWriter(int8_weights=False)

    def reshape(tensor, *shape):
        return graph.operator("RESHAPE", [tensor, graph.constant(np.array(shape, np.int32))], shape)

    def cut(tensor, begin, shape):
        ends = [graph.constant(np.array(values, np.int32)) for values in (begin, shape)]
        return graph.operator("SLICE", [tensor, *ends], shape, Options("Slice"))

    inputs = graph.activation(1, 6, 4)
    halves = reshape(inputs, 2, 3, 4)
    columns = reshape(cut(halves, (0, 0, 2), (2, 3, 2)), 3, 4)
    steps = reshape(cut(halves, (0, 1, 0), (2, 2, 4)), 4, 4)
    joined = graph.operator(
        "CONCATENATION", [columns, steps], (7, 4), Options("Concatenation", (("axis", 0),))
    )
    outputs = graph.gather(reshape(joined, 1, 7, 4), [0, 1, 2, 3, 4, 6], (1, 6, 4))
    windows = np.random.default_rng(1).normal(size=(3, 6, 4)).astype(np.float32)
    expected, found = both(graph.to_bytes(inputs, outputs), windows)
    np.testing.assert_array_equal(found, expected)


def test_a_sum_that_is_cut_at_zero():
    graph = GraphWriter(int8_weights=False)
    inputs = graph.activation(1, 2, 3)
    outputs = graph.operator("ADD", [inputs, inputs], (1, 2, 3), Options("Add", fused("relu")))
    windows = np.random.default_rng(1).normal(size=(3, 2, 3)).astype(np.float32)
    expected, found = both(graph.to_bytes(inputs, outputs), windows)
    np.testing.assert_array_equal(found, expected)
    assert (found == 0).any()


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
def test_an_lstm_over_several_sequences(int8, repeated):
    content = _two_sequences(int8, repeated)
    windows = np.random.default_rng(1).normal(size=(4, 4, 3)).astype(np.float32)
    expected, found = both(content, windows, stateful=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 if not int8 else 1e-2)


def _two_sequences(int8, repeated):
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=size).astype(np.float32) for size in ((3, 12), (3, 12), (12,))]
    graph = Graph()

    def tensor(*shape, **fields):
        graph.tensors.append(Tensor(shape, **fields))
        return len(graph.tensors) - 1

    def constant(values):
        if int8 and values.ndim == 2:
            scale = float(np.float32(np.abs(values).max() / 127))
            stored = np.round(values / scale).astype(np.int8)
            return tensor(
                *values.shape, dtype="int8", data=stored.tobytes(), quantization=Quantization(scale, 0)
            )
        return tensor(*values.shape, dtype=values.dtype.name, data=np.ascontiguousarray(values).tobytes())

    inputs, halves = tensor(1, 4, 3), tensor(2, 2, 3)
    shape = constant(np.array([2, 2, 3], np.int32))
    graph.operators.append(Operator("RESHAPE", (inputs, shape), (halves,)))
    sequence = halves
    if repeated:
        sequence = tensor(2, 2, 3)
        rows = constant(np.array([1, 1], np.int32))
        graph.operators.append(
            Operator("GATHER", (halves, rows), (sequence,), Options("Gather", (("axis", 1),)))
        )
    gates = [np.split(kernel, 4, axis=-1) for kernel in kernels]
    operands = [sequence, *(constant(part.T) for part in (*gates[0], *gates[1]))]
    operands += [-1] * 3 + [constant(part) for part in gates[2]] + [-1] * 2
    operands += [tensor(2, 3, variable=True) for _ in range(2)]
    hidden, outputs = tensor(2, 2, 3), tensor(1, 4, 3)
    options = Options("UnidirectionalSequenceLSTM", fused("tanh"))
    graph.operators.append(
        Operator("UNIDIRECTIONAL_SEQUENCE_LSTM", tuple(operands), (hidden,), options, 2 if int8 else 1)
    )
    back = constant(np.array([1, 4, 3], np.int32))
    graph.operators.append(Operator("RESHAPE", (hidden, back), (outputs,)))
    graph.inputs, graph.outputs = (inputs,), (outputs,)
    return to_bytes([graph])


COARSE = Quantization(0.05, 3)


def integer_graph(*operators, to=COARSE, shape=(1, 4, 3), tensors=()):
    """Operators on int8: tensor 0 is the input, tensor 1 the output."""
    graph = Graph()
    graph.tensors = [Tensor(shape, "int8", None, end) for end in (COARSE, to)] + list(tensors)
    graph.operators = list(operators)
    graph.inputs, graph.outputs = (0,), (1,)
    return to_bytes([graph])


@pytest.mark.parametrize(("scale", "zero_point"), [(0.05, 3), (0.021, -20), (0.4, 90)])
def test_integer_relu_to_any_scale(scale, zero_point):
    operator = Operator("RELU", (0,), (1,), None, 2)
    content = integer_graph(operator, to=Quantization(scale, zero_point))
    windows = np.linspace(-7, 7, 60, dtype=np.float32).reshape(5, 4, 3)
    expected, found = both(content, windows)
    assert np.abs(expected - found).max() <= 1.01 * scale


@pytest.mark.parametrize("activation", [(), fused("relu")])
def test_integer_sums_whose_halves_round_up(activation):
    """An output of twice the scale: every second sum is a half."""
    operator = Operator("ADD", (0, 0), (1,), Options("Add", activation), 2)
    content = integer_graph(operator, to=Quantization(0.2, -9))
    windows = np.arange(-60, 60, dtype=np.float32).reshape(10, 4, 3) * np.float32(0.05)
    expected, found = both(content, windows)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("largest_bias", [0, 1000, 2**30])
@pytest.mark.parametrize("width", [3, 900])
def test_integer_sums_beyond_what_float32_holds(width, largest_bias):
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (width, width)).astype(np.int8)
    biases = rng.integers(-largest_bias, largest_bias + 1, width).astype(np.int32)
    scale = Quantization(0.02, 0)
    sums = Quantization(float(np.float32(0.05) * np.float32(0.02)), 0)
    tensors = [
        Tensor(weights.shape, "int8", weights.tobytes(), scale),
        Tensor(biases.shape, "int32", biases.tobytes(), sums),
    ]
    largest = 127 * 127 * np.sqrt(width) + largest_bias
    to = Quantization(float(np.float32(largest * sums.scale / 128)), 5)
    operator = Operator(
        "FULLY_CONNECTED", (0, 2, 3), (1,), Options("FullyConnected", (("keepNumDims", True),)), 4
    )
    content = integer_graph(operator, to=to, shape=(1, 4, width), tensors=tensors)
    windows = rng.normal(size=(3, 4, width)).astype(np.float32)
    expected, found = both(content, windows)
    assert np.abs(expected - found).max() <= 1.01 * to.scale
    assert (expected == found).mean() > 0.999


# --- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x" * 200, b"\0\0\0\0TFL3" + b"\0" * 500])
def test_what_is_no_model_is_refused(content):
    with pytest.raises(InterpreterError, match="the numpy engine refuses the model"):
        NumpyModel(content)


def test_what_the_structure_check_refuses_is_never_compiled(monkeypatch, toy_bundle_path):
    def compile_graph(graph):
        raise AssertionError("compiled")

    monkeypatch.setattr(numpy_model, "compile_graph", compile_graph)
    content = bundles.read(toy_bundle_path).model()
    for position in range(8, len(content), 97):  # cut anywhere, or one offset or number too high
        for broken in (content[:position], _higher(content, position)):
            try:
                NumpyModel(broken)
            except InterpreterError:
                continue
            except AssertionError:
                read_graph(broken)  # a change that leaves a model of a bundle, in a weight or a scale


def _higher(content, position):
    return content[:position] + bytes([content[position] ^ 0x40]) + content[position + 1 :]


@pytest.mark.parametrize("ends", [((0,), (0, 0)), ((), (0,)), ((0, 0), (0,)), ((99,), (0,)), ((0,), (-99,))])
def test_a_model_without_one_input_and_one_output(ends):
    graph = Graph([Tensor((1, 2, 3)), Tensor((1, 2, 3))], [Operator("RELU", (0,), (1,), None)], *ends)
    with pytest.raises(InterpreterError, match="the numpy engine refuses the model"):
        NumpyModel(to_bytes([graph]))


def test_a_model_that_is_too_large_for_the_memory(monkeypatch):
    def compile_graph(graph):
        raise MemoryError

    monkeypatch.setattr(numpy_model, "compile_graph", compile_graph)
    content, _ = written(TINY, "compact", random_weights(TINY), random_windows(TINY))
    with pytest.raises(InterpreterError, match="not enough memory"):
        NumpyModel(content)


def test_a_window_of_another_shape_is_told():
    model = NumpyModel(written(TINY, "compact", random_weights(TINY), random_windows(TINY))[0])
    with pytest.raises(InterpreterError, match=r"takes a window of shape \(1, 10, 8\), not \(1, 9, 8\)"):
        model.reconstruct(np.zeros((9, 8), np.float32))
