import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_ad.bundle.manifest import FormEntry
from edge_ad.bundle.tflite import check_model
from edge_ad.errors import ConversionError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.convert.choose import choose_form
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.flatbuffer import quantize_matrix
from edge_ad.toolchain.convert.integer import integer_model, quantize_ranges
from edge_ad.toolchain.oracle import Trace, reconstruct
from edge_ad.toolchain.settings import TrainingSettings
from edge_ad.toolchain.train import build_keras_model, initial_weights, trainer_for
from tests import naive

SHAPES = {
    "tiny": LstmArchitecture(10, 8, (16,), (16,)),
    "full": LstmArchitecture(10, 8, (100,), (100,)),
    "bearing stack": LstmArchitecture(6, 4, (16, 4), (4, 16)),
    "tanh": LstmArchitecture(10, 3, (5,), (7,), "tanh"),
    "one of everything": LstmArchitecture(1, 1, (1,), (1,)),
    "many channels": LstmArchitecture(3, 64, (7,), (9,)),
    "long window": LstmArchitecture(200, 2, (3,), (4,)),
    "many units": LstmArchitecture(3, 2, (256,), (256,)),
    "deep tanh": LstmArchitecture(4, 2, (6, 5, 4), (3, 4), "tanh"),
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


@pytest.fixture(scope="module")
def calibrated():
    """A trained network, its training windows, and its integer-only form."""
    shape = LstmArchitecture(10, 3, (6,), (6,))
    rows = np.sin(np.arange(160)[:, None] / [3, 5, 7]) + np.random.default_rng(0).normal(0, 0.3, (160, 3))
    windows = np.lib.stride_tricks.sliding_window_view(rows.astype(np.float32), 10, axis=0)
    windows = np.ascontiguousarray(windows.transpose(0, 2, 1))
    settings = TrainingSettings(epochs=40, learning_rate=0.01)
    weights = trainer_for(shape, 32).fit(windows, settings, initial_weights(shape, 0, "a" * 64)).weights
    return shape, weights, windows, convert(shape, weights, "int8-full", training_windows=windows)


class TestIntegerOnly:
    def test_integers_only(self, calibrated):
        converted = calibrated[-1]
        graph = schema.ModelT.InitFromPackedBuf(converted.content, 0).subgraphs[0]
        assert {tensor.type for tensor in graph.tensors} == {schema.TensorType.INT8, schema.TensorType.INT32}
        model = ReconstructionModel(converted.content)
        assert model.input_quantization is not None
        assert model.output_quantization is not None

    @pytest.mark.parametrize("name", SHAPES)
    def test_it_computes_the_network(self, name):
        shape = SHAPES[name]
        weights, windows = random_weights(shape), random_windows(shape)
        trace = Trace()
        reconstruct(shape, weights, windows, trace)
        expected = naive.autoencoder(shape, weights, windows)
        model = ReconstructionModel(integer_model(shape, weights, quantize_ranges(trace, shape.activation)))
        got = np.array([model.reconstruct(window) for window in windows])
        assert np.abs(got - expected).max() <= 0.06 * np.abs(expected).max()

    def test_the_file_is_small(self):
        shape = SHAPES["tiny"]
        converted = convert(shape, random_weights(shape), "int8-full", training_windows=random_windows(shape))
        assert len(converted.content) <= 24_000

    def test_scores_survive(self, calibrated):
        shape, weights, windows, converted = calibrated
        model = ReconstructionModel(converted.content)
        errors = []
        for window, expected in zip(windows, naive.autoencoder(shape, weights, windows), strict=True):
            score = naive.score(window, expected)[1]
            errors.append(abs(naive.score(window, model.reconstruct(window))[1] / score - 1))
        assert np.mean(errors) <= 0.06

    def test_the_choice_is_the_best_that_was_tried(self, calibrated):
        calibration = calibrated[-1].calibration
        assert calibration.error == min(point.error for point in calibration.curve)
        assert set(calibration.headrooms) == {"input", "cells", "sums", "output"}
        for group in ("all", *calibration.headrooms):
            tried = {point.headroom for point in calibration.curve if point.group == group}
            assert {1.0, 2.0, 4.0} <= tried

    def test_headroom_is_needed(self, calibrated):
        """Calibrated on normal windows alone, anomalies saturate."""
        curve = {p.headroom: p.error for p in calibrated[-1].calibration.curve if p.group == "all"}
        assert min(curve.values()) < curve[1.0] / 1.5

    def test_conversion_gives_the_same_bytes_again(self, calibrated):
        shape, weights, windows, converted = calibrated
        assert convert(shape, weights, "int8-full", training_windows=windows) == converted

    def test_values_out_of_range_are_its_ends(self, calibrated):
        model = ReconstructionModel(calibrated[-1].content)
        window = np.zeros((10, 3), np.float32)
        far, farther = window + 1e3, window + 1e30
        np.testing.assert_array_equal(model.reconstruct(far), model.reconstruct(farther))

    @pytest.mark.parametrize("windows", [None, np.empty((0, 10, 8), np.float32)])
    def test_nothing_to_calibrate_on(self, windows):
        shape = SHAPES["tiny"]
        with pytest.raises(ConversionError, match="needs training windows to calibrate on"):
            convert(shape, random_weights(shape), "int8-full", training_windows=windows)

    def test_a_single_window(self):
        shape = SHAPES["tiny"]
        converted = convert(
            shape, random_weights(shape), "int8-full", training_windows=random_windows(shape, 1)
        )
        assert np.isfinite(ReconstructionModel(converted.content).reconstruct(random_windows(shape)[0])).all()

    def test_weights_and_windows_of_zeros(self):
        shape = SHAPES["tiny"]
        weights = [np.zeros(s, np.float32) for s in shape.weight_shapes]
        converted = convert(shape, weights, "int8-full", training_windows=np.zeros((5, 10, 8), np.float32))
        assert not ReconstructionModel(converted.content).reconstruct(np.zeros((10, 8), np.float32)).any()


def stated(shape, converted):
    """What a manifest would say of it, read from the model by the interpreter."""
    model = ReconstructionModel(converted.content, stateful=converted.stateful)
    dtype = "float32" if model.input_quantization is None else "int8"
    return {
        "shape": (shape.window_length, shape.n_channels),
        "input_dtype": dtype,
        "output_dtype": dtype,
        "stateful": converted.stateful,
        "input_quantization": model.input_quantization,
        "output_quantization": model.output_quantization,
    }


def converted_or_why_not(*arguments):
    """A converted model or the reason why there is none, and None in the other's place."""
    try:
        return convert(*arguments), None
    except ConversionError as error:
        return None, str(error)


FORMS = [(p, o) for p in ("float32", "int8") for o in ("size", "speed")] + [("int8-full", "size")]


class TestWhatIsConvertedABundleMayHold:
    @pytest.mark.parametrize(("precision", "form"), FORMS)
    @pytest.mark.parametrize(
        ("window", "units", "channels"),
        [
            *((1, 1, 1), (1, 256, 1), (1, 1, 64), (1, 256, 64), (13, 100, 8), (10, 256, 64), (50, 16, 8)),
            *(pytest.param(200, *sizes, marks=pytest.mark.slow) for sizes in ((1, 1), (256, 64))),
        ],
    )
    def test_in_every_size(self, window, units, channels, precision, form):
        shape = LstmArchitecture(window, channels, (units,), (units,))
        weights = random_weights(shape)
        converted = convert(shape, weights, precision, form, random_windows(shape, 2))
        check_model(converted.content, **stated(shape, converted))

    @pytest.mark.parametrize(("precision", "form"), FORMS)
    @pytest.mark.parametrize("name", ["bearing stack", "tanh", "deep tanh"])
    def test_in_every_shape(self, name, precision, form):
        shape = SHAPES[name]
        converted = convert(shape, random_weights(shape), precision, form, random_windows(shape, 2))
        check_model(converted.content, **stated(shape, converted))

    @pytest.mark.parametrize(("precision", "form"), FORMS)
    @pytest.mark.parametrize("size", [0, 1e-38, 1e-20, 1e-6, 1e6, 1e20, 1e38])
    def test_with_weights_of_any_size_or_not_at_all(self, size, precision, form):
        shape = SHAPES["bearing stack"]
        weights = [weight * np.float32(size) for weight in random_weights(shape)]
        converted, reason = converted_or_why_not(shape, weights, precision, form, random_windows(shape))
        if converted is None:
            assert size >= 1e6
            assert "too large for int8" in reason or "integers cannot hold this model" in reason
        else:
            check_model(converted.content, **stated(shape, converted))


def growing_weights(shape, gain, seed=0):
    """What a cell holds grows from step to step: large recurrent weights, forget gates that keep."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, gain / np.sqrt(s[0]), s).astype(np.float32) for s in shape.weight_shapes]
    for bias in weights[2:-2:3]:
        units = len(bias) // 4
        bias[:] = 0
        bias[units : 2 * units] = 1
    return weights


class TestNetworksThatExplode:
    """int8-full of a relu LSTM whose values grow beyond what integers can stand for."""

    @pytest.mark.parametrize("gain", [0.6, 0.9, 1.2, 2.0, 5.0])
    @pytest.mark.parametrize("window", [10, 100, pytest.param(200, marks=pytest.mark.slow)])
    def test_a_model_or_a_reason(self, window, gain):
        shape = LstmArchitecture(window, 3, (8,), (8,))
        weights, windows = growing_weights(shape, gain), random_windows(shape, 8)
        converted, reason = converted_or_why_not(shape, weights, "int8-full", "size", windows)
        if converted is None:
            assert f"within a window of {window} samples its values grow to " in reason
            assert "train it with a shorter --window, or leave int8-full out of --precisions" in reason
            assert window > 10
        else:
            check_model(converted.content, **stated(shape, converted))
            far = windows[0] * np.float32(1e6)
            assert np.isfinite(ReconstructionModel(converted.content).reconstruct(far)).all()

    @pytest.mark.parametrize("window", [2, 5, 20, 100])
    def test_many_units_and_channels(self, window):
        shape = LstmArchitecture(window, 64, (256,), (256,))
        rng = np.random.default_rng(0)
        weights = [rng.normal(0, 0.3, s).astype(np.float32) for s in shape.weight_shapes]
        windows = random_windows(shape, 2)
        if window > 10:
            with pytest.raises(ConversionError, match="integers cannot hold this model"):
                convert(shape, weights, "int8-full", training_windows=windows)
        else:
            converted = convert(shape, weights, "int8-full", training_windows=windows)
            check_model(converted.content, **stated(shape, converted))

    def test_headrooms_that_no_device_could_run_are_left_out_and_the_others_tried(self):
        shape = LstmArchitecture(10, 3, (8,), (8,))
        weights = growing_weights(shape, 10.0)
        converted = convert(shape, weights, "int8-full", training_windows=random_windows(shape))
        calibration = converted.calibration
        tried = {point.headroom for point in calibration.curve if point.group == "all"}
        assert 1 < len(tried) < 7
        assert len({point.group for point in calibration.curve}) == 5
        assert all(np.isfinite(point.error) for point in calibration.curve)
        assert calibration.error == min(point.error for point in calibration.curve)


class TestBiasesThatDwarfTheirWeights:
    @pytest.mark.parametrize("size", [0.0, 1e-30, 1e-12, 1e-6])
    def test_the_bias_is_right_nevertheless(self, size):
        """int32 cannot hold it in units of so small weights."""
        shape = LstmArchitecture(4, 2, (3,), (3,))
        weights = random_weights(shape)
        weights[-2] *= np.float32(size)
        weights[-1][:] = (5.0, -3.0)
        windows = random_windows(shape)
        converted = convert(shape, weights, "int8-full", training_windows=windows)
        got = ReconstructionModel(converted.content).reconstruct(windows[0])
        assert got == pytest.approx(naive.autoencoder(shape, weights, windows[:1])[0], abs=0.1)

    def test_a_matrix_that_no_scale_stands_for(self):
        with pytest.raises(ConversionError, match=r"weights of up to 1e\+30 are too large for int8"):
            quantize_matrix(np.array([[1e30, 1.0]], np.float32))


class TestAuto:
    def test_both_forms_are_measured_and_the_choice_follows(self):
        shape = SHAPES["tiny"]
        converted = convert(shape, random_weights(shape), "float32", "auto")
        forms = {entry.form: entry for entry in converted.measured_forms}
        assert set(forms) == {"compact", "fast"}
        assert converted.form == choose_form(converted.measured_forms)
        assert forms[converted.form].size_bytes == len(converted.content)
        assert all(entry.invoke_p50_us > 0 for entry in forms.values())

    @pytest.mark.parametrize(
        ("compact_us", "fast_us", "chosen"),
        [(20, 10, "fast"), (20, 18, "fast"), (20, 18.1, "compact"), (20, 30, "compact")],
    )
    def test_a_larger_file_must_be_worth_it(self, compact_us, fast_us, chosen):
        measured = (FormEntry("fast", 30_000, fast_us), FormEntry("compact", 17_000, compact_us))
        assert choose_form(measured) == chosen


def test_the_oracle_is_the_network():
    """Two oracles, written apart, agree; and so does Keras."""
    for shape in SHAPES.values():
        weights, windows = random_weights(shape), random_windows(shape)
        expected = naive.autoencoder(shape, weights, windows)
        np.testing.assert_allclose(reconstruct(shape, weights, windows), expected, rtol=1e-9, atol=1e-12)
    shape = SHAPES["deep tanh"]
    model = build_keras_model(shape)
    model.set_weights(random_weights(shape))
    got = model(random_windows(shape)).numpy()
    np.testing.assert_allclose(
        got, reconstruct(shape, random_weights(shape), random_windows(shape)), atol=1e-5
    )
