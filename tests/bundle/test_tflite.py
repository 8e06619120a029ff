import random
import struct
import subprocess
import sys
from dataclasses import dataclass

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_ad.bundle.bundle import read
from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.tflite import MAX_TENSOR_BYTES, check_model
from edge_ad.errors import (
    BundleError,
    BundleMismatchError,
    BundleModelStructureError,
    BundleOperatorError,
)
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.integer import integer_model, quantize_ranges
from edge_ad.toolchain.oracle import Trace, reconstruct
from tests.conftest import DATA

SHAPES = {
    "tiny": LstmArchitecture(10, 8, (16,), (16,)),
    "bearing stack": LstmArchitecture(6, 4, (16, 4), (4, 16)),
    "tanh": LstmArchitecture(10, 3, (5,), (7,), "tanh"),
    "deep tanh": LstmArchitecture(4, 2, (6, 5, 4), (3, 4), "tanh"),
    "one of everything": LstmArchitecture(1, 1, (1,), (1,)),
    "many channels": LstmArchitecture(3, 64, (7,), (9,)),
    "long window": LstmArchitecture(200, 2, (3,), (4,)),
    "many units": LstmArchitecture(2, 2, (130,), (130,)),
}
FORMS = ("compact", "compact int8", "fast", "fast int8", "integer")


@dataclass(frozen=True)
class Model:
    """A converted model and what its manifest would say."""

    content: bytes
    stated: dict

    def check(self, content=None, **stated):
        check_model(self.content if content is None else content, **{**self.stated, **stated})


def converted(shape, form, seed=0, factor=1.0):
    rng = np.random.default_rng(seed)
    sizes = [(s, factor / np.sqrt(s[0])) for s in shape.weight_shapes]
    weights = [rng.normal(0, size, s).astype(np.float32) for s, size in sizes]
    stated = {
        "shape": (shape.window_length, shape.n_channels),
        "input_dtype": "float32",
        "output_dtype": "float32",
        "stateful": form.startswith("compact"),
        "input_quantization": None,
        "output_quantization": None,
    }
    if form != "integer":
        precision = "int8" if form.endswith("int8") else "float32"
        optimize = "size" if form.startswith("compact") else "speed"
        return Model(convert(shape, weights, precision, optimize).content, stated)
    trace = Trace()
    windows = rng.normal(size=(8, shape.window_length, shape.n_channels)).astype(np.float32)
    reconstruct(shape, weights, windows, trace)
    ranges = quantize_ranges(trace, shape.activation)
    stated |= {"input_dtype": "int8", "output_dtype": "int8"}
    stated |= {f"{end}_quantization": ranges[end] for end in ("input", "output")}
    return Model(integer_model(shape, weights, ranges), stated)


@pytest.fixture(scope="module")
def tiny():
    return {form: converted(SHAPES["tiny"], form) for form in FORMS}


class _Builder(flatbuffers.Builder):
    """Starts the contents of buffers at multiples of 16, which the generated classes forget."""

    def CreateNumpyVector(self, x):
        if x.dtype != np.uint8:
            return super().CreateNumpyVector(x)
        self.StartVector(1, len(x), 16)
        self.head -= len(x)
        self.Bytes[self.head : self.head + len(x)] = x.tobytes()
        return self.EndVector()


def changed(content, change):
    """The file with something in it changed, well-formed as a flatbuffer."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    change(model)
    builder = _Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class TestAccepted:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("name", SHAPES)
    def test_what_the_converter_writes(self, name, form):
        converted(SHAPES[name], form).check()

    @pytest.mark.parametrize("name", ["toy.edgead", "toy-fast.edgead"])
    def test_the_toy_bundles(self, name):
        bundle = read(DATA / name)
        for variant in bundle.manifest.variants:
            check_model(
                bundle.model(variant.name),
                shape=(bundle.manifest.window_length, len(bundle.manifest.channels)),
                input_dtype=variant.input_dtype,
                output_dtype=variant.output_dtype,
                stateful=variant.stateful,
                input_quantization=variant.input_quantization,
                output_quantization=variant.output_quantization,
            )

    @pytest.mark.parametrize(
        ("form", "factor"), [("integer", 0), *((form, f) for form in FORMS[:-1] for f in (0, 1e-12))]
    )
    def test_weights_of_a_network_that_learned_nothing(self, form, factor):
        converted(SHAPES["tiny"], form, factor=factor).check()

    @pytest.mark.parametrize("form", FORMS)
    def test_the_same_written_by_another_program(self, tiny, form):
        """What is refused below is refused for the change, not for the way it was made."""
        content = changed(tiny[form].content, lambda model: None)
        assert content != tiny[form].content
        tiny[form].check(content)


# --- changes that are refused ---------------------------------------------------------------------


def graph(model):
    return model.subgraphs[0]


def operators(model, name):
    code = getattr(schema.BuiltinOperator, name)
    return [o for o in graph(model).operators if model.operatorCodes[o.opcodeIndex].builtinCode == code]


def operator(model, name):
    return operators(model, name)[0]


def tensor(model, name, position):
    """An input of the first operator of that name."""
    return graph(model).tensors[operator(model, name).inputs[position]]


def output(model, name):
    return graph(model).tensors[operator(model, name).outputs[0]]


def change_values(model, name, position, values):
    """Give an operator an int32 constant of its own."""
    model.buffers.append(schema.BufferT(data=np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)))
    tensor(model, name, position).buffer = len(model.buffers) - 1


def set_input(model, name, position, index):
    inputs = np.array(operator(model, name).inputs)
    inputs[position] = index
    operator(model, name).inputs = inputs


def custom_operator(name):
    def change(model):
        code = model.operatorCodes[0]
        code.customCode = name
        code.builtinCode = schema.BuiltinOperator.CUSTOM
        code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM

    return change


def set_code(**values):
    def change(model):
        for key, value in values.items():
            setattr(model.operatorCodes[0], key, value)

    return change


def options_of(name, **values):
    def change(model):
        for key, value in values.items():
            setattr(operator(model, name).builtinOptions, key, value)

    return change


def quantized(name, position, scale=None, zero_point=None):
    def change(model):
        found = output(model, name) if position is None else tensor(model, name, position)
        if scale is not None:
            found.quantization.scale = np.array(scale, np.float32)
        if zero_point is not None:
            found.quantization.zeroPoint = np.array(zero_point, np.int64)

    return change


def another_options_table(model):
    operator(model, "GATHER").builtinOptionsType = schema.BuiltinOptions.MulOptions
    operator(model, "GATHER").builtinOptions = schema.MulOptionsT()


def no_options(model):
    operator(model, "GATHER").builtinOptionsType = 0
    operator(model, "GATHER").builtinOptions = None


def exchange_operators(model):
    steps = graph(model).operators
    steps[0], steps[1] = steps[1], steps[0]


def larger_weights(model):
    """Shape and contents fit each other, and nothing else."""
    weights = tensor(model, "FULLY_CONNECTED", 1)
    rows, columns = weights.shape
    weights.shape = np.array([rows, columns * 2], np.int32)
    data = model.buffers[weights.buffer].data
    model.buffers.append(schema.BufferT(data=np.concatenate([data, data])))
    weights.buffer = len(model.buffers) - 1


def huge_constants(model):
    """Many tensors on one small buffer, and the largest product of dimensions that int32 overflows on."""
    for found in graph(model).tensors:
        found.shape = np.array([2**16, 2**16, 2**31 - 1], np.int32)


def same_state_twice(model):
    first = operator(model, "UNIDIRECTIONAL_SEQUENCE_LSTM")
    first.inputs = np.array([*first.inputs[:-1], first.inputs[-2]], np.int32)


def state_of_the_first_lstm(model):
    first, second = operators(model, "UNIDIRECTIONAL_SEQUENCE_LSTM")
    second.inputs = np.array([*second.inputs[:-2], *first.inputs[-2:]], np.int32)


def _set(target, **values):
    for key, value in values.items():
        setattr(target, key, value)


STRUCTURE = {
    "two subgraphs": ("compact", lambda m: m.subgraphs.append(graph(m)), "2 subgraphs"),
    "no subgraph": ("compact", lambda m: m.subgraphs.clear(), "0 subgraphs"),
    "another schema version": ("compact", lambda m: _set(m, version=4), "schema version 4"),
    "metadata": (
        "compact",
        lambda m: _set(m, metadata=[schema.MetadataT(name="min_runtime_version", buffer=0)]),
        "Model has metadata",
    ),
    "signatures": (
        "compact",
        lambda m: _set(m, signatureDefs=[schema.SignatureDefT(signatureKey="serving_default")]),
        "Model has signature_defs",
    ),
    "a description": ("compact", lambda m: _set(m, description="hello"), "Model has description"),
    "sparsity": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 1), sparsity=schema.SparsityParametersT()),
        "TensorEntry has sparsity",
    ),
    "an open dimension": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 0), shapeSignature=np.array([-1, 10, 16], np.int32)),
        "TensorEntry has shape_signature",
    ),
    "scales per channel": (
        "compact int8",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 1).quantization, quantizedDimension=1),
        "QuantizationParameters has quantized_dimension",
    ),
    "contents outside of the flatbuffer": (
        "compact",
        lambda m: _set(m.buffers[1], data=None, offset=2**40, size=64),
        "Buffer has offset",
    ),
    "custom options": (
        "compact",
        lambda m: _set(operator(m, "GATHER"), customOptions=np.zeros(4, np.uint8)),
        "OperatorEntry has custom_options",
    ),
    "an option that is never used": ("compact", options_of("GATHER", batchDims=1), "has batch_dims"),
    "clipping": ("compact", options_of("UNIDIRECTIONAL_SEQUENCE_LSTM", cellClip=1.0), "has cell_clip"),
    "shuffled weights": ("compact", options_of("FULLY_CONNECTED", weightsFormat=1), "has weights_format"),
    "a tensor index outside": (
        "compact",
        lambda m: set_input(m, "GATHER", 0, 999),
        r"operator 1 \(GATHER\) uses tensor 999",
    ),
    "a negative tensor index": ("compact", lambda m: set_input(m, "GATHER", 0, -2), "uses tensor -2"),
    "an input that is not given": (
        "compact",
        lambda m: set_input(m, "GATHER", 1, -1),
        "an optional input is not given, not a constant",
    ),
    "an input too many": (
        "fast",
        lambda m: _set(operator(m, "LOGISTIC"), inputs=np.array([0, 0], np.int32)),
        "2 inputs",
    ),
    "no inputs": (
        "fast",
        lambda m: _set(operator(m, "CONCATENATION"), inputs=np.array([], np.int32)),
        "0 inputs",
    ),
    "an output too many": (
        "fast",
        lambda m: _set(operator(m, "LOGISTIC"), outputs=np.array([0, 1], np.int32)),
        "has one output",
    ),
    "a peephole": (
        "compact",
        lambda m: set_input(m, "UNIDIRECTIONAL_SEQUENCE_LSTM", 9, 12),
        "tensor 12 is an input that is not supported",
    ),
    "an operator code outside": (
        "compact",
        lambda m: _set(operator(m, "GATHER"), opcodeIndex=77),
        "operator 1 has code 77 of 3",
    ),
    "a buffer index outside": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 1), buffer=9999),
        "is in buffer 9999",
    ),
    "contents in buffer 0": (
        "compact",
        lambda m: _set(m.buffers[0], data=np.zeros(4, np.uint8)),
        "buffer 0",
    ),
    "an empty buffer": ("compact", lambda m: _set(m.buffers[3], data=None), "buffer 3 is empty"),
    "a number type that is never used": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 2), type=schema.TensorType.FLOAT16),
        "type number 1",
    ),
    "a constant shorter than its shape": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 1), shape=np.array([9, 16], np.int32)),
        r"512 bytes for float32 of shape \(9, 16\)",
    ),
    "a negative dimension": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 0), shape=np.array([1, -1, 16], np.int32)),
        "has shape",
    ),
    "an empty dimension": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 0), shape=np.array([1, 0, 16], np.int32)),
        "has shape",
    ),
    "many axes": (
        "compact",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 0), shape=np.ones(4, np.int32)),
        "4 axes",
    ),
    "huge dimensions": ("compact", huge_constants, f"more than {MAX_TENSOR_BYTES} bytes|bytes for"),
    "a tensor too large": (
        "compact",
        lambda m: _set(tensor(m, "GATHER", 0), shape=np.array([2**12, 2**12, 2], np.int32)),
        f"more than {MAX_TENSOR_BYTES} bytes",
    ),
    "a variable with contents": (
        "compact",
        lambda m: _set(tensor(m, "UNIDIRECTIONAL_SEQUENCE_LSTM", 18), buffer=1),
        "is a variable, and can be float32 without data only",
    ),
    "a variable that nothing uses": (
        "fast",
        lambda m: graph(m).tensors.append(
            schema.TensorT(shape=np.ones(2, np.int32), type=schema.TensorType.FLOAT32, isVariable=True)
        ),
        "is a variable that nothing uses",
    ),
    "a state that is none": (
        "compact",
        lambda m: _set(tensor(m, "UNIDIRECTIONAL_SEQUENCE_LSTM", 18), isVariable=False),
        "not computed by an earlier operator, not a variable",
    ),
    "one state for two purposes": ("compact", same_state_twice, "its two states are the same"),
    "one state for two layers": ("compact", state_of_the_first_lstm, "another operator uses"),
    "a tensor that nothing computes": (
        "compact",
        lambda m: graph(m).tensors.append(
            schema.TensorT(shape=np.ones(2, np.int32), type=schema.TensorType.FLOAT32)
        ),
        "is never computed",
    ),
    "operators in another order": ("compact", exchange_operators, "not computed by an earlier operator"),
    "an operator twice": (
        "compact",
        lambda m: graph(m).operators.append(graph(m).operators[-1]),
        "has its values from elsewhere",
    ),
    "one output for two": (
        "fast",
        lambda m: _set(operator(m, "SPLIT"), outputs=operator(m, "SPLIT").outputs[[0, 0, 1, 2]]),
        "writes a tensor twice",
    ),
    "a weight that is computed": (
        "compact",
        lambda m: set_input(m, "FULLY_CONNECTED", 1, operator(m, "FULLY_CONNECTED").inputs[0]),
        "is computed from the window, not a constant",
    ),
    "indices that are computed": (
        "compact",
        lambda m: set_input(m, "GATHER", 1, operator(m, "GATHER").inputs[0]),
        "is computed from the window, not a constant",
    ),
    "two inputs": (
        "compact",
        lambda m: _set(graph(m), inputs=np.array([0, 0], np.int32)),
        "2 inputs and 1 outputs",
    ),
    "no output": ("compact", lambda m: _set(graph(m), outputs=np.array([], np.int32)), "0 outputs"),
    "an input outside": (
        "compact",
        lambda m: _set(graph(m), inputs=np.array([-1], np.int32)),
        "the model's input is tensor -1",
    ),
    "an output outside": (
        "compact",
        lambda m: _set(graph(m), outputs=np.array([500], np.int32)),
        "the model's output is tensor 500",
    ),
    "an output that is the input": (
        "compact",
        lambda m: _set(graph(m), outputs=graph(m).inputs),
        "the model's output is its input",
    ),
    "a constant input": (
        "compact",
        lambda m: _set(graph(m), inputs=np.array([operator(m, "GATHER").inputs[1]], np.int32)),
        "the model's input tensor .* is a constant",
    ),
    "a constant output": (
        "compact",
        lambda m: _set(graph(m), outputs=np.array([operator(m, "GATHER").inputs[1]], np.int32)),
        "the model's output is a constant",
    ),
    "a scale of zero": ("compact int8", quantized("FULLY_CONNECTED", 1, [0.0]), "has scale 0.0"),
    "a negative scale": ("compact int8", quantized("FULLY_CONNECTED", 1, [-1.0]), "has scale -1.0"),
    "a scale that is no number": ("integer", quantized("FULLY_CONNECTED", 1, [np.nan]), "has scale nan"),
    "an infinite scale": ("integer", quantized("FULLY_CONNECTED", 1, [np.inf]), "has scale inf"),
    "no scale": ("compact int8", quantized("FULLY_CONNECTED", 1, []), "has 0 scales and 1 zero points"),
    "two scales": ("compact int8", quantized("FULLY_CONNECTED", 1, [1, 1]), "has 2 scales"),
    "int8 without a scale": (
        "compact int8",
        lambda m: _set(tensor(m, "FULLY_CONNECTED", 1), quantization=None),
        "is int8 without a scale",
    ),
    "float32 with a scale": (
        "compact int8",
        lambda m: _set(output(m, "GATHER"), quantization=tensor(m, "FULLY_CONNECTED", 1).quantization),
        "is float32 with a scale",
    ),
    "a zero point out of range": (
        "integer",
        quantized("FULLY_CONNECTED", 0, zero_point=[128]),
        "has zero point 128",
    ),
    "weights that are not symmetric": (
        "compact int8",
        quantized("FULLY_CONNECTED", 1, zero_point=[1]),
        "the zero point of weights .* is not 0",
    ),
    "a bias of another scale": (
        "integer",
        quantized("FULLY_CONNECTED", 2, [1.0]),
        "the scale of bias .* is not the product",
    ),
    "a sum with a tiny scale": ("integer", quantized("ADD", None, [1e-9]), "too far apart"),
    "a matrix product with a tiny scale": (
        "integer",
        quantized("FULLY_CONNECTED", None, [1e-9]),
        "too far apart",
    ),
    "a sigmoid of another range": ("integer", quantized("LOGISTIC", None, [1 / 128]), "must have"),
    "a slice of another scale": ("integer", quantized("SLICE", None, [1.0]), "must have"),
    "a row to gather outside": (
        "compact",
        lambda m: change_values(m, "GATHER", 1, [9] * 9 + [10]),
        "index 10 is outside",
    ),
    "a negative row to gather": (
        "compact",
        lambda m: change_values(m, "GATHER", 1, [-1] + [9] * 9),
        "index -1 is outside",
    ),
    "another axis to gather": ("compact", options_of("GATHER", axis=2), "only rows of axis 1"),
    "a slice that begins outside": ("fast", lambda m: change_values(m, "SLICE", 1, [10, 0]), "10 to 11 is"),
    "a slice that ends outside": ("fast", lambda m: change_values(m, "SLICE", 1, [0, 1]), "1 to 65 is"),
    "a slice from before": ("fast", lambda m: change_values(m, "SLICE", 1, [-1, 0]), "-1 to 0 is"),
    "a slice of another size": ("fast", lambda m: change_values(m, "SLICE", 2, [2, 64]), "must have"),
    "another axis to split": ("fast", lambda m: change_values(m, "SPLIT", 0, 0), "only axis 1"),
    "another number of parts": ("fast", options_of("SPLIT", numSplits=3), "4 outputs, 3 parts"),
    "another shape for reshape": (
        "fast",
        lambda m: change_values(m, "RESHAPE", 1, [1, 8, 10]),
        "is not the shape",
    ),
    "a shape for reshape that is no vector": (
        "integer",
        lambda m: _set(tensor(m, "RESHAPE", 1), shape=np.array([3, 1], np.int32)),
        "more than one axis",
    ),
    "another axis to concatenate": ("fast", options_of("CONCATENATION", axis=1), "has axis"),
    "rows too few to concatenate": (
        "fast",
        lambda m: _set(operator(m, "CONCATENATION"), inputs=operator(m, "CONCATENATION").inputs[:-1]),
        "9 rows do not fit",
    ),
    "weights for more inputs": ("compact", larger_weights, "is made for 32 inputs"),
    "a matrix product of another shape": (
        "fast",
        options_of("FULLY_CONNECTED", keepNumDims=True),
        r"must have \(1, 10, 64\)",
    ),
    "a bias of another length": (
        "fast",
        lambda m: set_input(m, "FULLY_CONNECTED", 2, operators(m, "FULLY_CONNECTED")[-1].inputs[2]),
        "must have",
    ),
    "an LSTM matrix of another shape": (
        "compact",
        lambda m: set_input(
            m, "UNIDIRECTIONAL_SEQUENCE_LSTM", 1, operator(m, "UNIDIRECTIONAL_SEQUENCE_LSTM").inputs[5]
        ),
        "must have",
    ),
    "an LSTM state of another shape": (
        "compact",
        lambda m: _set(tensor(m, "UNIDIRECTIONAL_SEQUENCE_LSTM", 18), shape=np.array([1, 15], np.int32)),
        "must have",
    ),
    "a sum of unlike shapes": (
        "fast",
        lambda m: set_input(m, "ADD", 0, operator(m, "MUL").outputs[0]),
        "must have",
    ),
}

OPERATOR = {
    "a custom operator": ("compact", custom_operator("Mine"), "custom operator 'Mine'"),
    "a Flex operator": ("compact", custom_operator("FlexTensorListReserve"), "'FlexTensorListReserve'"),
    "a custom name for a built-in operator": ("compact", set_code(customCode="Mine"), "custom operator"),
    "an operator that is not on the list": (
        "compact",
        set_code(
            builtinCode=schema.BuiltinOperator.WHILE, deprecatedBuiltinCode=schema.BuiltinOperator.WHILE
        ),
        "operator code 119",
    ),
    "an operator of the future": ("compact", set_code(builtinCode=9999, deprecatedBuiltinCode=127), "9999"),
    "two names for one operator": ("compact", set_code(deprecatedBuiltinCode=3), r"code 44 \(3\)"),
    "another version": ("compact", set_code(version=4), "of version 4 is not"),
    "options of another operator": ("compact", another_options_table, "options of type number 21"),
    "no options": ("compact", no_options, "options of type number 0"),
    "another activation": (
        "compact",
        options_of(
            "UNIDIRECTIONAL_SEQUENCE_LSTM", fusedActivationFunction=schema.ActivationFunctionType.SIGN_BIT
        ),
        "activation number 5",
    ),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_not_well_formed(tiny, name):
    form, change, message = STRUCTURE[name]
    with pytest.raises(BundleModelStructureError, match=message):
        tiny[form].check(changed(tiny[form].content, change))


@pytest.mark.parametrize("name", OPERATOR)
def test_operators_that_are_not_allowed(tiny, name):
    form, change, message = OPERATOR[name]
    with pytest.raises(BundleOperatorError, match=message):
        tiny[form].check(changed(tiny[form].content, change))


@pytest.mark.parametrize(
    ("form", "stated", "message"),
    [
        ("compact", {"shape": (10, 9)}, r"input has shape \(1, 10, 8\), the manifest says \(1, 10, 9\)"),
        ("integer", {"shape": (8, 10)}, r"input has shape \(1, 10, 8\)"),
        ("compact", {"input_dtype": "int8"}, "input has type float32, the manifest says int8"),
        ("integer", {"output_dtype": "float32"}, "output has type int8, the manifest says float32"),
        ("integer", {"input_quantization": None}, "input has quantization"),
        ("integer", {"output_quantization": Quantization(0.5, 1)}, "output has quantization"),
        ("fast", {"output_quantization": Quantization(0.5, 1)}, "output has quantization None"),
        ("compact", {"stateful": False}, "has variable tensors, the manifest says not stateful"),
        ("fast", {"stateful": True}, "has no variable tensors, the manifest says stateful"),
    ],
)
def test_another_model_than_the_manifest_says(tiny, form, stated, message):
    with pytest.raises(BundleMismatchError, match=message):
        tiny[form].check(**stated)


# --- bytes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_short(tiny, form):
    content = tiny[form].content
    for size in range(0, len(content), 64):
        with pytest.raises(BundleModelStructureError):
            tiny[form].check(content[:size])


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 64, b"PK\x03\x04" + b"\0" * 60, b"\0\0\0\0TFL3"])
def test_another_file(tiny, content):
    with pytest.raises(BundleModelStructureError):
        tiny["compact"].check(content)


def test_weights_that_are_not_aligned(tiny):
    """The contents of a buffer start at a multiple of 16; the generated classes forget it."""
    model = schema.ModelT.InitFromPackedBuf(tiny["compact"].content, 0)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(BundleModelStructureError, match="no multiple of 16"):
        tiny["compact"].check(bytes(builder.Output()))


@pytest.mark.parametrize("module", ["flatbuffer_reader", "tflite"])
def test_more_parts_than_are_looked_at(tiny, monkeypatch, module):
    """Parts may be shared: a small file can name very many."""
    monkeypatch.setattr(f"edge_ad.bundle.{module}.MAX_OBJECTS", 300)
    with pytest.raises(BundleModelStructureError, match="more than 300 o"):
        tiny["fast"].check()


def test_weights_that_are_read_too_often(tiny, monkeypatch):
    """An interpreter may copy weights for each operator that uses them."""
    monkeypatch.setattr("edge_ad.bundle.tflite.MAX_WEIGHT_BYTES", 10_000)
    with pytest.raises(BundleModelStructureError, match="read more than 10000 bytes of weights"):
        tiny["fast"].check()


SMALL = [
    converted(shape, form, seed)
    for seed, shape in enumerate(
        [LstmArchitecture(2, 2, (2,), (1,)), LstmArchitecture(3, 1, (1,), (2,), "tanh")]
    )
    for form in FORMS
]
"""Models with few weights: most of their bytes are structure."""
_WORDS = (0, 1, 2, 3, 4, 8, 16, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)


def mutant(content, rng):
    """The file with one to four small changes."""
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(content))
        word = at & ~3
        kind = rng.randrange(5)
        if kind == 0:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            damaged[at] = rng.randrange(256)
        elif kind == 2:
            damaged[at] = (damaged[at] + rng.choice([-4, -2, -1, 1, 2, 4])) % 256
        elif kind == 3:
            struct.pack_into("<I", damaged, word, rng.choice(_WORDS))
        else:
            other = rng.randrange(len(content)) & ~3
            damaged[word : word + 4] = damaged[other : other + 4]
    return bytes(damaged)


def accepted(model, content):
    """Whether a file is accepted; anything else raised than an error of a bundle fails the test."""
    try:
        model.check(content)
    except BundleError:
        return False
    return True


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_refused_or_harmless(tiny, form):
    rng = random.Random(form)
    refused = sum(not accepted(tiny[form], mutant(tiny[form].content, rng)) for _ in range(300))
    assert refused > 0


_SURVIVE = """
import struct, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
content = open(sys.argv[1], "rb").read()
position = number = 0
while position < len(content):
    print(number, flush=True)
    (size,) = struct.unpack_from("<I", content, position)
    model = content[position + 4 : position + 4 + size]
    position, number = position + 4 + size, number + 1
    try:
        interpreter = Interpreter(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
        details = interpreter.get_input_details()[0]
        interpreter.reset_all_variables()
        interpreter.set_tensor(details["index"], np.ones(details["shape"], details["dtype"]))
        interpreter.invoke()
    except (RuntimeError, ValueError):
        continue
print("survived")
"""


def test_no_accepted_model_ends_the_process(tmp_path):
    """Files that a program accepts although they are damaged may be wrong, and must not be deadly."""
    rng = random.Random(0)
    mutants = set()
    while len(mutants) < 400:
        model = rng.choice(SMALL)
        content = mutant(model.content, rng)
        if accepted(model, content):
            mutants.add(content)
    path = tmp_path / "mutants"
    path.write_bytes(b"".join(struct.pack("<I", len(content)) + content for content in mutants))
    arguments = [sys.executable, "-c", _SURVIVE, str(path)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    *_, last = result.stdout.split()
    assert last == "survived", f"died of mutant {last}: {result.returncode}"
