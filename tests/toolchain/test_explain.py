import contextlib

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_ad.bundle.manifest import Quantization
from edge_ad.errors import ConversionError
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.doctor import explain_file
from edge_ad.toolchain.convert.explain import explain_tflite
from edge_ad.toolchain.convert.flatbuffer import Graph, Operator, Options, Tensor, to_bytes
from edge_ad.toolchain.convert.integer import integer_model, quantize_ranges
from edge_ad.toolchain.oracle import Trace, reconstruct
from edge_ad.toolchain.tensorflow import load_keras, load_tensorflow
from tests.helpers import edge_ad
from tests.toolchain.test_convert import SHAPES, random_weights, random_windows

# Keras itself, while it saves and loads
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TINY = SHAPES["tiny"]
PRODUCTS = 10 * (8 * 64 + 16 * 64 + 16 * 64 + 16 * 64 + 16 * 8)  # of the network as it is written down
GRU_PRODUCTS = 10 * (8 * 48 + 16 * 48 + 16 * 48 + 16 * 48 + 16 * 8)


@pytest.fixture(scope="module")
def weights():
    return random_weights(TINY)


@pytest.fixture(scope="module")
def integer(weights):
    trace = Trace()
    reconstruct(TINY, weights, random_windows(TINY), trace)
    return explain_tflite(integer_model(TINY, weights, quantize_ranges(trace, "relu")))


def autoencoder(kind="LSTM", batch=1, unroll=True):
    layers = load_keras().layers
    layer = getattr(layers, kind)
    inputs = layers.Input((10, 8), batch_size=batch)
    x = layer(16, activation="relu", unroll=unroll)(inputs)
    x = layers.RepeatVector(10)(x)
    x = layer(16, activation="relu", return_sequences=True, unroll=unroll)(x)
    return load_keras().Model(inputs, layers.TimeDistributed(layers.Dense(8))(x))


def convolutions():
    layers = load_keras().layers
    return load_keras().Sequential(
        [
            layers.Input((10, 8)),
            layers.Conv1D(16, 3, padding="same"),
            layers.Conv1D(8, 3, padding="same"),
        ]
    )


def stock(model, flex=False):
    tf = load_tensorflow()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False
    return explain_tflite(converter.convert())


@pytest.fixture(scope="module")
def stock_models():
    return {
        "unrolled": stock(autoencoder()),
        "WHILE": stock(autoencoder(unroll=False)),
        "Flex": stock(autoencoder(batch=None, unroll=False), flex=True),
        "GRU": stock(autoencoder("GRU", unroll=False)),
        "GRU, unrolled": stock(autoencoder("GRU")),
        "Conv1D": stock(convolutions()),
    }


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_fused_model(weights, precision):
    found = explain_tflite(convert(TINY, weights, precision).content)
    assert found.kind == "fused"
    assert found.operators == {"UNIDIRECTIONAL_SEQUENCE_LSTM": 2, "GATHER": 1, "FULLY_CONNECTED": 1}
    assert found.multiply_adds == PRODUCTS
    assert found.not_counted == ()
    bytes_each = 4 if precision == "float32" else 1
    matrices = 8 * 64 + 3 * 16 * 64 + 16 * 8
    biases = 4 * (64 + 64 + 8)
    buffers = 16 + 1 + 8 + 1 + 1  # each has its length before it
    gather = 40  # the ten rows of it
    assert found.bytes_by_cause["weights"] == matrices * bytes_each + biases + gather + 4 * buffers
    assert found.bytes_by_cause["names"] == found.bytes_by_cause["metadata"] == 0
    assert any("reset the variables" in advice for advice in found.advice)


def test_the_fast_form_multiplies_less(weights):
    found = explain_tflite(convert(TINY, weights, "float32", "speed").content)
    assert found.kind == "unrolled"
    saved = 16 * 64 + 9 * 16 * 64 + 16 * 64  # two first steps, and the repeated code nine times of ten
    assert found.multiply_adds == PRODUCTS - saved
    assert set(found.not_counted) == {"LOGISTIC", "RELU", "MUL", "ADD"}


def test_every_byte_has_one_cause(weights, integer, stock_models):
    ours = [
        explain_tflite(convert(TINY, weights, precision, optimize).content)
        for precision in ("float32", "int8")
        for optimize in ("size", "speed")
    ]
    for found in (*ours, integer, *stock_models.values()):
        assert sum(found.bytes_by_cause.values()) == found.size_bytes
        assert found.bytes_by_cause["other"] < found.size_bytes / 4


def test_shared_quantization_tables_count_once(integer):
    assert integer.bytes_by_cause["quantization"] < integer.size_bytes / 10
    assert not any("quantization tables" in advice for advice in integer.advice)


def test_tables_that_repeat_themselves_are_found():
    apart, together = (explain_tflite(quantized_file(40, shared=shared)) for shared in (False, True))
    assert apart.bytes_by_cause["quantization"] > 10 * together.bytes_by_cause["quantization"]
    assert any("40 quantization tables" in a and "only 1 differ" in a for a in apart.advice)
    assert not any("quantization tables" in advice for advice in together.advice)


def quantized_file(n_tensors, *, shared):
    """A file of equally quantized tensors, written by the schema's own classes or by ours."""
    tensors = [Tensor((1, 2), "int8", None, Quantization(0.5, 3)) for _ in range(n_tensors)]
    content = to_bytes([Graph(tensors, [Operator("RELU", (0,), (1,))], (0,), (1,))])
    if shared:
        return content
    builder = flatbuffers.Builder(1024)  # these classes write a table for each tensor
    builder.Finish(schema.ModelT.InitFromPackedBuf(content, 0).Pack(builder), b"TFL3")
    return bytes(builder.Output())


class TestAdvice:
    def test_stock_lstms(self, stock_models):
        unrolled, loop = stock_models["unrolled"], stock_models["WHILE"]
        assert unrolled.kind == "unrolled"
        assert unrolled.bytes_by_cause["names"] > 0
        text = " ".join(unrolled.advice)
        assert "--optimize speed" in text
        assert "the fused form (edge-ad's --optimize size) is smallest" in text
        assert loop.kind == "WHILE"
        assert loop.operators["WHILE"] == 2
        assert loop.multiply_adds == PRODUCTS
        assert any("the LSTM is a WHILE loop" in advice for advice in loop.advice)

    def test_a_gru_is_not_told_what_helps_an_lstm(self, stock_models):
        loop, unrolled = stock_models["GRU"], stock_models["GRU, unrolled"]
        assert (loop.kind, loop.multiply_adds) == ("WHILE", GRU_PRODUCTS)
        assert any("the GRU is a WHILE loop" in advice for advice in loop.advice)
        assert unrolled.kind == "unrolled"
        for found in (loop, unrolled):
            text = " ".join(found.advice)
            assert "the LSTM" not in text
            assert "--optimize" not in text
            assert "fused form" not in text

    def test_convolutions(self, stock_models):
        found = stock_models["Conv1D"]
        assert found.kind == "other"
        assert found.multiply_adds == 10 * 3 * 8 * 16 * 2
        assert "fused" not in " ".join(found.advice)
        assert "recurrent" not in " ".join(found.advice)

    def test_what_is_as_small_as_it_can_be_is_not_told_to_fuse(self, integer):
        zeros = [np.zeros(shape, np.float32) for shape in TINY.weight_shapes]
        fused = explain_tflite(convert(TINY, zeros, "int8").content)
        assert not any("fused form" in advice or "share" in advice for advice in fused.advice)
        assert not any("smallest" in advice or "--optimize" in advice for advice in integer.advice)
        assert any("int8 weights" in advice for advice in integer.advice)

    def test_our_fast_form_of_a_long_window_is_not_told_to_become_it(self):
        shape = LstmArchitecture(40, 2, (4,), (4,))
        found = explain_tflite(convert(shape, random_weights(shape), "float32", "speed").content)
        assert sum(found.operators.values()) > 300
        text = " ".join(found.advice)
        assert "a shorter window" in text
        assert "--optimize speed" not in text

    def test_flex_operators_and_open_shapes(self, stock_models):
        found = stock_models["Flex"]
        assert any(name.startswith("Flex") for name in found.operators)
        assert found.dynamic_shapes
        text = " ".join(found.advice)
        assert "device's interpreter does not have" in text
        assert "the batch of the input (?, 10, 8) is open (-1)" in text
        assert "Input(..., batch_size=1)" in text


def one_operator(name, shapes, output, options=None):
    tensors = [Tensor(shape) for shape in (*shapes, output)]
    inputs = tuple(range(len(shapes)))
    return to_bytes([Graph(tensors, [Operator(name, inputs, (len(shapes),), options)], (0,), (len(shapes),))])


@pytest.mark.parametrize(
    ("name", "shapes", "output", "options", "products"),
    [
        ("CONV_2D", [(1, 9, 9, 3), (8, 2, 2, 3), (8,)], (1, 8, 8, 8), Options("Conv2D"), 64 * 8 * 12),
        (
            "DEPTHWISE_CONV_2D",
            [(1, 9, 9, 3), (1, 2, 2, 6), (6,)],
            (1, 8, 8, 6),
            Options("DepthwiseConv2D"),
            64 * 6 * 4,
        ),
        ("TRANSPOSE_CONV", [(4,), (8, 2, 2, 3), (1, 4, 4, 3)], (1, 8, 8, 8), None, 16 * 3 * 8 * 4),
        ("BATCH_MATMUL", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), Options("BatchMatMul"), 2 * 3 * 4 * 5),
        (
            "BATCH_MATMUL",
            [(2, 4, 3), (2, 4, 5)],
            (2, 3, 5),
            Options("BatchMatMul", (("adjX", True),)),
            2 * 3 * 4 * 5,
        ),
        ("FULLY_CONNECTED", [(1, 10, 4), (6, 4), (6,)], (1, 10, 6), Options("FullyConnected"), 10 * 24),
        ("SVDF", [(1, 8), (4, 8), (4, 6), (4,), (1, 24)], (1, 2), Options("SVDF"), 4 * 8 + 4 * 6),
    ],
)
def test_multiply_adds_by_operator(name, shapes, output, options, products):
    found = explain_tflite(one_operator(name, shapes, output, options))
    assert found.multiply_adds == products
    assert found.not_counted == ()


def test_arithmetic_that_is_not_counted_is_named():
    assert explain_tflite(one_operator("CUMSUM", [(1, 4), ()], (1, 4))).not_counted == ("CUMSUM",)
    assert explain_tflite(one_operator("RESHAPE", [(1, 4), (1,)], (4,))).not_counted == ()


def loop(start, end, step):
    """A product in a WHILE that counts from `start` in steps of `step`; where computed, `end` is None."""

    def number(value):
        return Tensor((), "int32", None if value is None else np.int32(value).tobytes())

    call = Options("While", (("condSubgraphIndex", 1), ("bodySubgraphIndex", 2)))
    main = Graph(
        [Tensor((1, 4)), number(start), number(None), Tensor((1, 4))],
        [Operator("WHILE", (1, 0), (2, 3), call)],
        (0,),
        (3,),
    )
    condition = Graph(
        [number(None), Tensor((1, 4)), number(end), Tensor((), "bool")],
        [Operator("LESS", (0, 2), (3,))],
        (0, 1),
        (3,),
    )
    body = Graph(
        [number(None), Tensor((1, 4)), number(step), number(None), Tensor((4, 4)), Tensor((1, 4))],
        [
            Operator("ADD", (0, 2), (3,), Options("Add")),
            Operator("FULLY_CONNECTED", (1, 4), (5,), Options("FullyConnected")),
        ],
        (0, 1),
        (3, 5),
    )
    return explain_tflite(to_bytes([main, condition, body]))


def test_a_loop_counts_once_per_step():
    assert loop(0, 7, 1).multiply_adds == 7 * 16
    assert loop(1, 8, 3).multiply_adds == 3 * 16
    unknown = loop(0, None, 1)
    assert unknown.multiply_adds == 16
    assert "the steps of a WHILE after its first" in unknown.not_counted


def test_graphs_that_call_each_other_in_a_circle():
    call = Options("While", (("condSubgraphIndex", 0), ("bodySubgraphIndex", 0)))
    graph = Graph([Tensor((1, 4)), Tensor((1, 4))], [Operator("WHILE", (0,), (1,), call)], (0,), (1,))
    with pytest.raises(ConversionError, match="damaged"):
        explain_tflite(to_bytes([graph]))


def test_tables_that_name_each_other_a_million_times():
    """160 KB that would unpack to 400 million objects."""
    many, builder = 20_000, flatbuffers.Builder(1024)
    schema.TensorStart(builder)
    tensor = schema.TensorEnd(builder)

    def named_often(table):
        builder.StartVector(4, many, 4)
        for _ in range(many):
            builder.PrependUOffsetTRelative(table)
        return builder.EndVector()

    tensors = named_often(tensor)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = named_often(schema.SubGraphEnd(builder))
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    with pytest.raises(ConversionError, match="name each other more often"):
        explain_tflite(bytes(builder.Output()))


def test_a_cut_or_altered_model(tmp_path, weights):
    content = convert(TINY, weights, "int8").content
    path = tmp_path / "bad.tflite"
    path.write_bytes(content[:1000])
    with pytest.raises(ConversionError, match="bad.tflite: a damaged .tflite file, cut short or altered"):
        explain_file(path)
    random = np.random.default_rng(0)
    for size in range(8, len(content), 97):
        altered = bytearray(content)
        altered[random.integers(8, len(content))] = random.integers(256)
        for bad in (content[:size], bytes(altered)):
            path.write_bytes(bad)
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
    file = root / "build/work/north/tiny-int8.tflite"
    forgotten = edge_ad("convert", file)
    assert forgotten.returncode == 2
    assert "add --explain" in forgotten.stderr


def test_a_build_that_is_not_converted_yet(build_copy):
    (build_copy / "work/north/tiny-int8.tflite").unlink()
    result = edge_ad("convert", "--explain", build_copy)
    assert result.returncode == 2
    assert f"run 'edge-ad convert {build_copy}' first" in result.stderr
