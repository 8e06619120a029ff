"""Convolutional and dense autoencoders: layers on patches of rows, from their definition to every engine."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.bundle.tflite import check_model
from edge_ad.errors import BundleModelStructureError, ConversionError, TrainingError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.runtime.numpy_engine.model import NumpyModel
from edge_ad.toolchain.architecture import ZERO_ROW, PatchArchitecture, PatchLayer
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.explain import explain_tflite
from edge_ad.toolchain.convert.flatbuffer import Graph, Operator, Options, Tensor, to_bytes
from edge_ad.toolchain.convert.integer import integer_model, quantize_ranges
from edge_ad.toolchain.models import MODELS, ModelShape
from edge_ad.toolchain.oracle import Trace, reconstruct, window_scores
from edge_ad.toolchain.rounding import float32_scores
from edge_ad.toolchain.settings import BuildSettings, TrainingSettings
from edge_ad.toolchain.stacked import TrainingJob, train_jobs
from edge_ad.toolchain.tensorflow import load_keras
from edge_ad.toolchain.train import build_keras_model, initial_weights, trainer_for
from tests import naive

PRECISIONS = ("float32", "int8", "int8-full")
CONV, DENSE = MODELS["conv"], MODELS["dense"]
SHAPES = {
    "conv": CONV.architecture(10, 8, "relu"),
    "conv tanh": CONV.architecture(10, 8, "tanh"),
    "conv, odd": CONV.architecture(7, 3, "relu"),
    "conv, shortest": CONV.architecture(4, 1, "tanh"),
    "conv, long window": CONV.architecture(200, 2, "relu"),
    "conv, deep": ModelShape("conv", (6, 5, 4), (3, 4, 5)).architecture(13, 2, "tanh"),
    "dense": DENSE.architecture(10, 8, "relu"),
    "dense tanh": DENSE.architecture(10, 8, "tanh"),
    "dense, deep": ModelShape("dense", (9, 4), (7,)).architecture(6, 5, "relu"),
    "dense, one of everything": ModelShape("dense", (1,), ()).architecture(1, 1, "relu"),
    "dense, wide": ModelShape("dense", (130,), ()).architecture(30, 8, "relu"),
}


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


def random_weights(shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.8 / np.sqrt(s[0]), s).astype(np.float32) for s in shape.weight_shapes]


def random_windows(shape, n=12, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, shape.window_length, shape.n_channels)).astype(np.float32)


def converted(shape, weights, precision, windows):
    """The bytes of a form; the ranges of the integer one are those of the windows."""
    if precision != "int8-full":
        made = convert(shape, weights, precision)
        assert not made.stateful
        return made.content
    trace = Trace()
    reconstruct(shape, weights, windows, trace)
    return integer_model(shape, weights, quantize_ranges(trace, shape.activation))


def converted_or_why_not(*arguments):
    """A converted model or the reason why there is none, and None in the other's place."""
    try:
        return convert(*arguments), None
    except ConversionError as error:
        return None, str(error)


def outputs(model, windows):
    return np.array([model.reconstruct(window) for window in windows])


def check(shape, content):
    """By the rule that devices go by."""
    model = ReconstructionModel(content)
    dtype = "float32" if model.input_quantization is None else "int8"
    check_model(
        content,
        shape=(shape.window_length, shape.n_channels),
        input_dtype=dtype,
        output_dtype=dtype,
        stateful=False,
        input_quantization=model.input_quantization,
        output_quantization=model.output_quantization,
    )


class TestDefinition:
    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    @pytest.mark.parametrize("length", range(4, 24))
    def test_convolutions_of_every_length(self, length, activation):
        shape = CONV.architecture(length, 3, activation)
        weights, windows = random_weights(shape), random_windows(shape, 3)
        expected = [naive.convolutional(activation, 2, weights, window) for window in windows]
        np.testing.assert_allclose(reconstruct(shape, weights, windows), expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    @pytest.mark.parametrize("units", [((5,), ()), ((7, 3), (6,))])
    def test_dense_layers(self, units, activation):
        shape = ModelShape("dense", *units).architecture(6, 4, activation)
        weights, windows = random_weights(shape), random_windows(shape, 3)
        expected = [naive.dense(activation, weights, window) for window in windows]
        np.testing.assert_allclose(reconstruct(shape, weights, windows), expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("length", [9, 10, 11, 12])
    def test_it_is_what_keras_calls_a_convolution(self, length):
        """Conv1D, UpSampling1D and Cropping1D, with padding by the symmetric rows: of one, the end itself."""
        keras = load_keras()
        layers, shape = keras.layers, CONV.architecture(length, 3, "relu")
        x = inputs = layers.Input((length, 3))
        lengths = []
        for filters in CONV.encoder:
            lengths.append(x.shape[1])
            before = x.shape[1] % 2
            x = keras.ops.pad(x, ((0, 0), (before, 1), (0, 0)), mode="symmetric")
            x = layers.Conv1D(filters, 3, strides=2, activation="relu")(x)
        for filters in CONV.decoder:
            x = layers.UpSampling1D(2)(x)
            x = layers.Cropping1D((0, x.shape[1] - lengths.pop()))(x)
            x = keras.ops.pad(x, ((0, 0), (1, 1), (0, 0)), mode="symmetric")
            x = layers.Conv1D(filters, 3, activation="relu")(x)
        model = keras.Model(inputs, layers.Dense(3)(x))
        weights, windows = random_weights(shape), random_windows(shape)
        model.set_weights(
            [ours.reshape(theirs.shape) for ours, theirs in zip(weights, model.weights, strict=True)]
        )
        np.testing.assert_allclose(model(windows), reconstruct(shape, weights, windows), atol=1e-5)

    def test_every_sample_reaches_the_code(self):
        for length in range(4, 40):
            first, *_ = CONV.architecture(length, 1, "relu").layers
            assert set(first.rows) == set(range(length))

    def test_sizes(self):
        assert SHAPES["conv"].weight_shapes == [
            *((24, 16), (16,), (48, 8), (8,), (24, 8), (8,), (24, 16), (16,), (16, 8), (8,))
        ]
        assert SHAPES["dense"].weight_shapes == [(80, 16), (16,), (16, 80), (80,)]
        assert SHAPES["dense"].n_parameters == 2656

    @pytest.mark.parametrize(
        ("layers", "words"),
        [
            ((), "need a size of at least 1"),
            ((PatchLayer(1, ((0, 1), (1, 2)), 1, None),), "outside of its 2 rows"),
            ((PatchLayer(1, ((-2,), (0,)), 1, None),), "outside of its 2 rows"),
            ((PatchLayer(1, ((0,),), 1, None),), "not as many as a window's"),
            ((PatchLayer(3, ((0,),), 2, None),), "2 numbers are no rows of 3"),
            ((PatchLayer(2, ((0,),), 2, "relu"), PatchLayer(2, ((1,),), 2, None)), "outside of its 1 rows"),
        ],
    )
    def test_layers_that_do_not_fit(self, layers, words):
        with pytest.raises(ValueError, match=words):
            PatchArchitecture(2, 1, layers)

    @pytest.mark.parametrize(
        ("width", "patches", "units"),
        [(1, (), 1), (1, ((),), 1), (1, ((0,), (0, 1)), 1), (1, ((0,),), 0), (0, ((0,),), 1)],
    )
    def test_layers_that_are_none(self, width, patches, units):
        with pytest.raises(ValueError, match="a layer needs"):
            PatchLayer(width, patches, units, None)


class TestSettings:
    @pytest.mark.parametrize("length", [1, 3])
    def test_a_window_that_is_too_short(self, length):
        with pytest.raises(
            ValueError, match=f"window_length is {length}, and the model conv needs at least 4"
        ):
            BuildSettings(window_length=length, models=("dense", "conv"))
        with pytest.raises(ValueError, match="too short for it: 4 or more"):
            CONV.architecture(length, 8, "relu")

    def test_the_shortest(self):
        BuildSettings(window_length=4, models=("conv",))
        BuildSettings(window_length=1, models=("dense",))

    def test_a_decoder_of_other_depth(self):
        with pytest.raises(ValueError, match="as many layers behind its code as before it"):
            ModelShape("conv", (4, 2), (4,)).architecture(8, 2, "relu")


class TestTraining:
    @pytest.mark.parametrize("length", [4, 10, 11])
    @pytest.mark.parametrize("kind", ["conv", "dense"])
    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    def test_keras_computes_the_network(self, kind, activation, length):
        shape = MODELS[kind].architecture(length, 3, activation)
        model = build_keras_model(shape)
        assert [tuple(weight.shape) for weight in model.weights] == shape.weight_shapes
        model.set_weights(random_weights(shape))
        windows = random_windows(shape)
        expected = reconstruct(shape, random_weights(shape), windows)
        np.testing.assert_allclose(model(windows), expected, atol=1e-5)

    @pytest.mark.parametrize("kind", ["conv", "dense"])
    def test_the_first_kernel_is_what_is_held_small(self, kind):
        shape = MODELS[kind].architecture(5, 2, "relu")
        model = build_keras_model(shape, 0.5)
        weights = random_weights(shape)
        model.set_weights(weights)
        (penalty,) = model.losses
        assert float(penalty) == pytest.approx(0.5 * float((weights[0] ** 2).sum()), rel=1e-5)

    @pytest.mark.parametrize("kind", ["conv", "dense"])
    def test_one_by_one_where_lstm_networks_train_side_by_side(self, kind):
        """Each as alone, in any order; what cannot be trained is its own error."""
        shape = MODELS[kind].architecture(6, 2, "tanh")
        chosen = TrainingSettings(epochs=4, learning_rate=0.01)
        jobs = [
            TrainingJob(random_windows(shape, 60, seed), initial_weights(shape, 0, f"{seed:064x}"))
            for seed in range(3)
        ]
        broken = dataclasses.replace(jobs[0], windows=jobs[0].windows[:1])
        first, error, second, third = train_jobs(shape, [jobs[0], broken, jobs[1], jobs[2]], chosen)
        assert isinstance(error, TrainingError)
        assert "1 training windows are too few" in str(error)
        trainer = trainer_for(shape, chosen.batch_size)
        for job, found in zip(jobs[::-1], (third, second, first), strict=True):
            alone = trainer.fit(job.windows, chosen, job.initial)
            assert alone.losses == found.losses
            assert all((a == b).all() for a, b in zip(alone.weights, found.weights, strict=True))
            assert found.losses[-1] < found.losses[0]

    def test_untrained_weights_are_a_draw_per_seed_and_recording(self):
        shape = SHAPES["conv"]
        draws = [initial_weights(shape, seed, digit * 64) for seed, digit in ((0, "a"), (1, "a"), (0, "b"))]
        assert all((a == b).all() for a, b in zip(draws[0], initial_weights(shape, 0, "a" * 64), strict=True))
        for ours, theirs in pairwise(draws):
            assert not (ours[0] == theirs[0]).all()
        for kernel, bias in zip(draws[0][::2], draws[0][1::2], strict=True):
            limit = np.sqrt(6 / sum(kernel.shape))
            assert 0.5 * limit < np.abs(kernel).max() <= limit
            assert not bias.any()


class TestForms:
    @pytest.mark.parametrize(
        ("precision", "tolerance"), [("float32", 2e-6), ("int8", 0.05), ("int8-full", 0.06)]
    )
    def test_every_form_computes_the_network(self, shape, precision, tolerance):
        weights, windows = random_weights(shape), random_windows(shape)
        expected = reconstruct(shape, weights, windows)
        content = converted(shape, weights, precision, windows)
        check(shape, content)
        found = outputs(ReconstructionModel(content), windows)
        assert np.abs(found - expected).max() <= tolerance * max(1, np.abs(expected).max())

    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_numpy_computes_what_the_interpreter_does(self, shape, precision):
        weights, windows = random_weights(shape), random_windows(shape)
        content = converted(shape, weights, precision, windows)
        expected, found = (outputs(engine(content), windows) for engine in (ReconstructionModel, NumpyModel))
        if precision == "int8-full":
            np.testing.assert_array_equal(found, expected)
        else:
            # Matrices of more than 12,000 weights stay int8, and round their inputs.
            tolerance = 0.01 if precision == "int8" and shape == SHAPES["dense, wide"] else 2e-5
            assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()

    def test_one_form_whatever_it_is_to_be_good_for(self):
        shape = SHAPES["conv"]
        size, speed, auto = (
            convert(shape, random_weights(shape), "int8", o) for o in ("size", "speed", "auto")
        )
        assert size == speed == auto
        assert (size.form, size.measured_forms) == ("patches", ())

    @pytest.mark.parametrize("kind", ["conv", "dense"])
    def test_an_int8_model_is_as_small_as_tiny(self, kind):
        shape = MODELS[kind].architecture(10, 8, "relu")
        made = convert(shape, random_weights(shape), "int8").content
        assert len(made) <= 5_000

    def test_what_is_counted(self):
        conv, dense = (
            explain_tflite(convert(SHAPES[name], random_weights(SHAPES[name]), "int8").content)
            for name in ("conv", "dense")
        )
        assert conv.multiply_adds == 5 * 24 * 16 + 3 * 48 * 8 + 5 * 24 * 8 + 10 * 24 * 16 + 10 * 16 * 8
        assert dense.multiply_adds == 2 * 80 * 16
        assert "GATHER" not in dense.operators

    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_the_same_bytes_again(self, shape, precision):
        weights, windows = random_weights(shape), random_windows(shape)
        assert converted(shape, weights, precision, windows) == converted(shape, weights, precision, windows)

    @pytest.mark.parametrize("precision", PRECISIONS)
    @pytest.mark.parametrize("size", [0.0, 1e-30, 1e4, -1e4])
    def test_extremes(self, precision, size):
        shape = SHAPES["conv, odd"]
        weights, windows = random_weights(shape), random_windows(shape)
        content = converted(shape, weights, precision, windows)
        far = np.full((1, *windows.shape[1:]), size, np.float32)
        for engine in (ReconstructionModel, NumpyModel):
            assert np.isfinite(outputs(engine(content), far)).all()

    @pytest.mark.parametrize("size", [0, 1e-38, 1e-20, 1e-6, 1e6, 1e20, 1e38])
    @pytest.mark.parametrize("precision", PRECISIONS)
    @pytest.mark.parametrize("name", ["conv, odd", "dense tanh"])
    def test_weights_of_any_size_or_not_at_all(self, name, precision, size):
        shape = SHAPES[name]
        weights = [weight * np.float32(size) for weight in random_weights(shape)]
        made, reason = converted_or_why_not(shape, weights, precision, "size", random_windows(shape))
        if made is None:
            assert size >= 1e6
            assert "too large for int8" in reason or "integers cannot hold this model" in reason
        else:
            check(shape, made.content)

    def test_weights_of_another_network(self):
        with pytest.raises(ConversionError, match="weights have shapes"):
            convert(SHAPES["conv"], random_weights(SHAPES["dense"]), "int8")

    @pytest.mark.parametrize("name", ["conv", "conv tanh", "dense"])
    def test_ranges_are_searched_for_what_there_is(self, name):
        shape = SHAPES[name]
        made = convert(shape, random_weights(shape), "int8-full", training_windows=random_windows(shape))
        assert set(made.calibration.headrooms) == {"input", "sums", "output"}
        assert {point.group for point in made.calibration.curve} == {"all", "input", "sums", "output"}
        assert made.calibration.error == min(point.error for point in made.calibration.curve)

    def test_float32_in_other_orders_is_the_same_network(self, shape):
        weights, windows = random_weights(shape), random_windows(shape)
        expected = window_scores(windows, reconstruct(shape, weights, windows))
        for scores in float32_scores(shape, weights, windows):
            np.testing.assert_allclose(scores, expected, rtol=1e-5)


@st.composite
def networks(draw):
    """Layers on any patches: rows left out, repeated, of zeros, in any order, cut anew."""
    length, channels = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    numbers, layers = length * channels, []
    for _ in range(draw(st.integers(0, 3))):
        width = draw(st.sampled_from([n for n in range(1, numbers + 1) if numbers % n == 0]))
        patch = st.lists(
            st.integers(ZERO_ROW, numbers // width - 1), min_size=(n := draw(st.integers(1, 4))), max_size=n
        )
        patches = draw(st.lists(patch.map(tuple), min_size=1, max_size=8))
        activation = draw(st.sampled_from(["relu", "tanh", None]))
        layers.append(PatchLayer(width, tuple(patches), draw(st.integers(1, 20)), activation))
        numbers = len(patches) * layers[-1].units
    width = layers[-1].units if layers else channels
    last = tuple((draw(st.integers(ZERO_ROW, numbers // width - 1)),) for _ in range(length))
    return PatchArchitecture(length, channels, (*layers, PatchLayer(width, last, channels, None)))


@settings(max_examples=60, deadline=None)
@given(networks(), st.sampled_from(PRECISIONS), st.integers(0, 2**32 - 1))
def test_any_network(shape, precision, seed):
    weights, windows = random_weights(shape, seed), random_windows(shape, 4, seed)
    expected = reconstruct(shape, weights, windows)
    content = converted(shape, weights, precision, windows)
    check(shape, content)
    interpreter, numpy = (outputs(engine(content), windows) for engine in (ReconstructionModel, NumpyModel))
    tolerance = {"float32": 2e-6, "int8": 0.08, "int8-full": 0.12}[precision]
    for found in (interpreter, numpy):
        assert np.abs(found - expected).max() <= tolerance * max(1, np.abs(expected).max())
    if precision == "int8-full":
        np.testing.assert_array_equal(numpy, interpreter)


class TestHostile:
    """A gather of int8 rows, which only these networks have."""

    def graph(self, rows=(0, 1, 1, 0), scale=None, shape=(1, 4, 3), version=2):
        end = dataclasses.replace(self.end(), scale=scale or self.end().scale)
        indices = np.array(rows, np.int32)
        tensors = [
            Tensor((1, 4, 3), "int8", None, self.end()),
            Tensor(shape, "int8", None, end),
            Tensor(indices.shape, "int32", indices.tobytes()),
        ]
        gather = Operator("GATHER", (0, 2), (1,), Options("Gather", (("axis", 1),)), version)
        return to_bytes([Graph(tensors, [gather], (0,), (1,))])

    @staticmethod
    def end():
        trace = Trace()
        trace.note("input", np.array([-3.0, 4.0]))
        return quantize_ranges(trace, "relu")["input"]

    def refused(self, content, words, shape=SHAPES["conv"]):
        end = self.end()
        with pytest.raises(BundleModelStructureError, match=words):
            check_model(
                content,
                shape=(4, 3),
                input_dtype="int8",
                output_dtype="int8",
                stateful=False,
                input_quantization=end,
                output_quantization=end,
            )

    def test_it_is_accepted_as_it_should_be(self):
        content = self.graph()
        check_model(
            content,
            shape=(4, 3),
            input_dtype="int8",
            output_dtype="int8",
            stateful=False,
            input_quantization=self.end(),
            output_quantization=self.end(),
        )
        window = np.arange(12, dtype=np.float32).reshape(4, 3) / 4
        found = NumpyModel(content).reconstruct(window)
        np.testing.assert_array_equal(found, ReconstructionModel(content).reconstruct(window))

    def test_another_scale_than_its_input(self):
        self.refused(self.graph(scale=0.5), "must have Quantization")

    @pytest.mark.parametrize("rows", [(0, 1, 2, 4), (0, 1, 2, -1), (2**31 - 1, 0, 0, 0)])
    def test_rows_that_are_not_there(self, rows):
        self.refused(self.graph(rows), "is outside of")

    def test_more_rows_than_it_makes(self):
        self.refused(self.graph((0, 1, 2, 3, 0)), "has shape")

    def test_integers_in_the_version_of_floats(self):
        self.refused(self.graph(version=1), "cannot be int8")
