"""Attacks on the model files: damaged flatbuffers, operators that bundles may not hold, tensors that lie.

Sizes and hashes are right in all of them: only the check of the model itself is left to refuse them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from edge_ad import errors
from edge_ad.bundle import tflite_schema as schema
from edge_ad.bundle.flatbuffer_reader import Table
from edge_ad.bundle.tflite_schema import (
    Buffer,
    GatherOptions,
    Model,
    OperatorCode,
    OperatorEntry,
    QuantizationParameters,
    SplitOptions,
    SubGraph,
    TensorEntry,
)
from tests.forge import members_of, with_member
from tests.hostile.archives import FLOAT
from tests.hostile.attack import Attack
from tests.hostile.manifests import FULL
from tests.hostile.model_bytes import ModelFile


def whole(change: Callable[[bytes], bytes], member: str = FLOAT) -> Callable[[bytes], bytes]:
    """An attack by other bytes in a model's place."""
    return lambda data: with_member(data, member, change(members_of(data)[member]))


def model(edit: Callable[[ModelFile], object], member: str = FLOAT) -> Callable[[bytes], bytes]:
    """An attack on the insides of a model."""

    def change(content: bytes) -> bytes:
        file = ModelFile(content)
        edit(file)
        return bytes(file.content)

    return whole(change, member)


def at(position: int, code: str, value: int) -> Callable[[bytes], bytes]:
    """An attack on a number at a fixed place."""
    return model(lambda file: file.put(code, position, value))


# --- the flatbuffer --------------------------------------------------------------------------------


def vtable_outside(file: ModelFile) -> None:
    """The root's list of fields before the file."""
    file.put("i", file.root, 2**31 - 1)


def vtable_size(size: int) -> Callable[[bytes], bytes]:
    """The root's list of fields of another length."""
    return model(
        lambda file: file.put("H", file.root - struct.unpack_from("<i", file.content, file.root)[0], size)
    )


def count(cls: type[Table], name: str, value: int) -> Callable[[bytes], bytes]:
    """A vector of the model or its graph that says it has so many elements."""
    return model(
        lambda file: file.put("I", file.target(cls, file.root if cls is Model else file.graph, name), value)
    )


def buffer_offset(value: int) -> Callable[[bytes], bytes]:
    """Weights that lie elsewhere."""

    def edit(file: ModelFile) -> None:
        buffer = file.tables(Model, file.root, "buffers")[1]
        file.put("I", file.place(Buffer, buffer, "data"), value)

    return model(edit)


def buffer_size(value: int) -> Callable[[bytes], bytes]:
    """Weights of another length."""

    def edit(file: ModelFile) -> None:
        buffer = file.tables(Model, file.root, "buffers")[1]
        file.put("I", file.target(Buffer, buffer, "data"), value)

    return model(edit)


def buffer_first_full(file: ModelFile) -> None:
    """The buffer that stands for no data, with data."""
    vector = file.target(Model, file.root, "buffers")
    file.put("I", vector + 4, file.u32(vector + 8) + 4)


def buffer_beyond_flatbuffer(file: ModelFile) -> None:
    """Weights named by an offset into the file, as models above 2 GB have them."""
    vector = file.target(Model, file.root, "buffers")
    file.lead(vector + 8, file.append_table(Buffer, {}, offset=("Q", 2**40), size=("Q", 2**40)))


def many_tensors(file: ModelFile) -> None:
    """More entries than any model has."""
    place = file.place(SubGraph, file.graph, "tensors")
    file.lead(place, file.append_vector("I", [4] * 600_000))


def with_metadata(file: ModelFile) -> None:
    """A model that brings notes along, which some programs act on."""
    fields = {
        name: file.target(Model, file.root, name) for name in ("operator_codes", "subgraphs", "buffers")
    }
    assert all(fields.values())
    root = file.append_table(Model, {"signature_defs": ("I", [])}, version=("I", 3))
    file.lead(0, root)


# --- operators -------------------------------------------------------------------------------------


def custom(name: bytes) -> Callable[[bytes], bytes]:
    """An operator that a library of somebody's brings along."""

    def edit(file: ModelFile) -> None:
        vector = file.target(Model, file.root, "operator_codes")
        code = file.append_table(
            OperatorCode,
            {"custom_code": ("B", name)},
            deprecated_builtin_code=("b", 32),
            builtin_code=("i", 32),
        )
        file.lead(vector + 4, code)

    return model(edit)


def code(name: str, form: str, *values: int) -> Callable[[bytes], bytes]:
    """Another entry in the first operator code; the old entry and the new one for `builtin_code`."""

    def edit(file: ModelFile) -> None:
        first = file.tables(Model, file.root, "operator_codes")[0]
        if len(values) == 2:
            file.put("b", file.place(OperatorCode, first, "deprecated_builtin_code"), values[1])
        file.put(form, file.place(OperatorCode, first, name), values[0])

    return model(edit, FULL)


def operator(kind: str, name: str, form: str, value: int, member: str = FULL) -> Callable[[bytes], bytes]:
    """Another number in an operator's entry."""
    return model(
        lambda file: file.put(form, file.place(OperatorEntry, file.operator(kind), name), value), member
    )


def operand(kind: str, side: str, number: int, index: int, member: str = FULL) -> Callable[[bytes], bytes]:
    """An operator that uses another tensor."""

    def edit(file: ModelFile) -> None:
        vector = file.target(OperatorEntry, file.operator(kind), side)
        file.put("i", vector + 4 + 4 * number, index)

    return model(edit, member)


def options(
    kind: str, cls: type[Table], name: str, form: str, value: int, member: str = FULL
) -> Callable[[bytes], bytes]:
    """Another number in an operator's options."""

    def edit(file: ModelFile) -> None:
        table = file.target(OperatorEntry, file.operator(kind), "builtin_options")
        file.put(form, file.place(cls, table, name), value)

    return model(edit, member)


def constant(kind: str, number: int, *values: int, member: str = FULL) -> Callable[[bytes], bytes]:
    """Other numbers in the constant that tells an operator where."""

    def edit(file: ModelFile) -> None:
        tensor = file.operand(file.operator(kind), number)
        buffer = file.u32(file.place(TensorEntry, tensor, "buffer"))
        table = file.tables(Model, file.root, "buffers")[buffer]
        file.put(f"{len(values)}i", file.target(Buffer, table, "data") + 4, *values)

    return model(edit, member)


# --- tensors ---------------------------------------------------------------------------------------


def tensor(number: int, name: str, form: str, value: int, member: str = FLOAT) -> Callable[[bytes], bytes]:
    """Another number in a tensor's entry."""
    return model(
        lambda file: file.put(form, file.place(TensorEntry, file.tensor(number), name), value), member
    )


def shape(number: int, *sizes: int, member: str = FLOAT) -> Callable[[bytes], bytes]:
    """A tensor of another shape."""

    def edit(file: ModelFile) -> None:
        place = file.place(TensorEntry, file.tensor(number), "shape")
        file.lead(place, file.append_vector("i", sizes))

    return model(edit, member)


def quantized(name: str, form: str, *values: float) -> Callable[[bytes], bytes]:
    """A weight of another scale or zero point."""

    def edit(file: ModelFile) -> None:
        table = file.target(TensorEntry, file.tensor(1), "quantization")
        place = file.place(QuantizationParameters, table, name)
        file.content += bytes(-(len(file.content) + 4) % 8)  # eight-byte numbers start at a multiple of eight
        file.lead(place, file.append_vector(form, values))

    return model(edit, FULL)


def ends(side: str, *indices: int) -> Callable[[bytes], bytes]:
    """Other tensors as the model's input or output."""

    def edit(file: ModelFile) -> None:
        file.lead(file.place(SubGraph, file.graph, side), file.append_vector("i", indices))

    return model(edit)


_BAD, _OPERATOR, _MISMATCH = (
    errors.BundleModelStructureError,
    errors.BundleOperatorError,
    errors.BundleMismatchError,
)
_OUTSIDE, _LIST = "leads outside of the file", "is not one that bundles may hold"

FILES = (
    Attack("model-empty", whole(lambda content: b""), _BAD, "identifier TFL3 is missing"),
    Attack("model-text", whole(lambda content: b"import os\n" * 100), _BAD, "identifier TFL3 is missing"),
    Attack(
        "model-of-2017", whole(lambda content: content.replace(b"TFL3", b"TFL2")), _BAD, "TFL3 is missing"
    ),
    Attack("model-of-zeros", whole(lambda content: content[:8] + bytes(1000)), _BAD, "bad size|outside"),
    Attack("model-of-ones", whole(lambda content: content[:8] + b"\xff" * 1000), _BAD, "outside|damaged"),
    Attack("model-cut", whole(lambda content: content[: len(content) // 2]), _BAD, _OUTSIDE),
    Attack(
        "model-shifted", whole(lambda content: content[:8] + b"\0" + content[8:]), _BAD, "multiple|outside"
    ),
    Attack(
        "schema-version", model(lambda f: f.put("I", f.place(Model, f.root, "version"), 4)), _BAD, "version 4"
    ),
    Attack("root-outside", at(0, "I", 2**32 - 4), _BAD, _OUTSIDE),
    Attack("root-on-itself", at(0, "I", 0), _BAD, "outside|bad size|damaged"),
    Attack("root-misaligned", at(0, "I", 9), _BAD, "multiple of 4"),
    Attack("fields-outside", model(vtable_outside), _BAD, _OUTSIDE),
    Attack("fields-none", vtable_size(0), _BAD, "bad size"),
    Attack("fields-odd", vtable_size(7), _BAD, "bad size"),
    Attack("fields-too-many", vtable_size(65_534), _BAD, "bad size"),
    Attack("tensors-beyond-file", count(SubGraph, "tensors", 2**32 - 1), _BAD, _OUTSIDE),
    Attack("buffers-beyond-file", count(Model, "buffers", 2**30), _BAD, _OUTSIDE),
    Attack("no-subgraph", count(Model, "subgraphs", 0), _BAD, "0 subgraphs"),
    Attack("two-subgraphs", count(Model, "subgraphs", 2), _BAD, "2 subgraphs"),
    Attack("600000-tensors", model(many_tensors), _BAD, "more than 500000 objects"),
    Attack("buffer-outside", buffer_offset(2**31), _BAD, _OUTSIDE),
    Attack("buffer-just-outside", buffer_size(17_360), _BAD, _OUTSIDE),
    Attack("buffer-larger", buffer_size(528), _BAD, "528 bytes for float32"),
    Attack("buffer-smaller", buffer_size(16), _BAD, "16 bytes for float32"),
    Attack("buffer-empty", buffer_size(0), _BAD, "is empty"),
    Attack("buffer-misaligned", buffer_offset(9), _BAD, "multiple of"),
    Attack("buffer-for-nothing", model(buffer_first_full), _BAD, "buffer 0 is for tensors without data"),
    Attack("buffer-elsewhere-in-file", model(buffer_beyond_flatbuffer), _BAD, "has (offset|size)"),
    Attack("signature-defs", model(with_metadata), _BAD, "signature_defs"),
)

OPERATORS = (
    Attack("custom-operator", custom(b"RunShell"), _OPERATOR, "custom operator 'RunShell'"),
    Attack("flex-operator", custom(b"FlexReadFile"), _OPERATOR, "custom operator 'FlexReadFile'"),
    Attack("custom-without-name", custom(b""), _OPERATOR, "custom operator ''"),
    Attack("custom-no-text", custom(b"\xff\x1b[2J"), _OPERATOR, "custom operator"),
    Attack("while-loop", code("builtin_code", "i", 119, 119), _OPERATOR, r"operator code 119 \(119\)"),
    Attack("call-once", code("builtin_code", "i", 129, 127), _OPERATOR, "operator code 129"),
    Attack("negative-operator", code("builtin_code", "i", -1, -1), _OPERATOR, "operator code -1"),
    Attack("two-operators-in-one", code("builtin_code", "i", 18), _OPERATOR, r"operator code 18 \(9\)"),
    Attack("operator-version", code("version", "i", 99), _OPERATOR, "FULLY_CONNECTED of version 99"),
    Attack(
        "operator-code-outside",
        operator("SLICE", "opcode_index", "I", 2**32 - 1),
        _BAD,
        "has code 4294967295",
    ),
    Attack(
        "another-operator", operator("MUL", "opcode_index", "I", 3), _OPERATOR, "options of type number 21"
    ),
    Attack(
        "options-of-another", operator("SPLIT", "builtin_options_type", "B", 48), _OPERATOR, "type number 48"
    ),
    Attack(
        "options-unknown", operator("SPLIT", "builtin_options_type", "B", 255), _OPERATOR, "type number 255"
    ),
    Attack(
        "activation-unknown",
        options(
            *("UNIDIRECTIONAL_SEQUENCE_LSTM", schema.UnidirectionalSequenceLSTMOptions),
            *("fused_activation_function", "b", 5, FLOAT),
        ),
        *(_OPERATOR, "activation number 5"),
    ),
    Attack("input-outside", operand("MUL", "inputs", 0, 290), _BAD, "uses tensor 290 of 290"),
    Attack("input-negative", operand("MUL", "inputs", 0, -2), _BAD, "uses tensor -2"),
    Attack("input-absent", operand("MUL", "inputs", 0, -1), _BAD, "is not given"),
    Attack("input-from-the-future", operand("MUL", "inputs", 0, 289), _BAD, "not computed by an earlier"),
    Attack("output-outside", operand("MUL", "outputs", 0, 2**31 - 1), _BAD, "uses tensor 2147483647"),
    Attack("output-into-weights", operand("MUL", "outputs", 0, 1), _BAD, "has its values from elsewhere"),
    Attack("output-into-input", operand("MUL", "outputs", 0, 0), _BAD, "has its values from elsewhere"),
    Attack("output-twice", operand("SPLIT", "outputs", 1, 14), _BAD, "writes a tensor twice"),
    Attack(
        "weights-of-another-layer", operand("FULLY_CONNECTED", "inputs", 1, 4), _BAD, "has shape|must have"
    ),
    Attack("weights-computed", operand("FULLY_CONNECTED", "inputs", 1, 0), _BAD, "not a constant"),
    Attack("bias-of-another-type", operand("FULLY_CONNECTED", "inputs", 2, 1), _BAD, "is int8, not int32"),
    Attack(
        "states-shared",
        operand("UNIDIRECTIONAL_SEQUENCE_LSTM", "inputs", 19, 13, FLOAT),
        _BAD,
        "the same tensor",
    ),
    Attack("gather-outside", constant("GATHER", 1, 10, member=FLOAT), _BAD, "index .*10.* is outside"),
    Attack("gather-negative", constant("GATHER", 1, -1, member=FLOAT), _BAD, "index .*-1.* is outside"),
    Attack(
        "gather-axis", options("GATHER", GatherOptions, "axis", "i", -3, FLOAT), _BAD, "only rows of axis 1"
    ),
    Attack("slice-outside", constant("SLICE", 1, 2**31 - 1, 0), _BAD, "is outside of"),
    Attack("slice-negative", constant("SLICE", 1, -1, 0), _BAD, "is outside of"),
    Attack("slice-larger", constant("SLICE", 2, 1000, 1000), _BAD, "must have"),
    Attack(
        "split-parts", options("SPLIT", SplitOptions, "num_splits", "i", 2**31 - 1), _BAD, "2147483647 parts"
    ),
    Attack("split-axis", constant("SPLIT", 0, -9), _BAD, "only axis 1 can be split"),
    Attack("reshape-larger", constant("RESHAPE", 1, 1, 1000), _BAD, "is not the shape of"),
)

TENSORS = (
    Attack("shape-negative", shape(1, -16, -8), _BAD, r"has shape \(-16, -8\)"),
    Attack("shape-unknown", shape(0, -1, 10, 8), _BAD, "has shape"),
    Attack("shape-zero", shape(1, 0, 8), _BAD, "has shape"),
    Attack("shape-huge", shape(15, 1, 2**31 - 1, 2**31 - 1), _BAD, "more than 67108864 bytes"),
    Attack("shape-overflow", shape(1, 65_536, 65_536), _BAD, "bytes for float32"),
    Attack("shape-below-cap", shape(15, 1, 4096, 2048), _BAD, "must have"),
    Attack("five-axes", shape(15, 1, 1, 1, 10, 16), _BAD, "5 axes"),
    Attack("weights-transposed", shape(1, 8, 16), _BAD, "must have"),
    Attack("input-larger", shape(0, 1, 11, 8), _BAD, "must have"),
    Attack("output-larger", shape(35, 1, 10, 9), _BAD, "must have"),
    Attack("type-of-strings", tensor(1, "type", "b", 5, FULL), _BAD, "type number 5"),
    Attack("type-of-resources", tensor(1, "type", "b", 13, FULL), _BAD, "type number 13"),
    Attack("type-changed", tensor(1, "type", "b", 2, FULL), _BAD, "bytes for int32"),
    Attack("tensor-buffer-outside", tensor(1, "buffer", "I", 2**32 - 1), _BAD, "is in buffer 4294967295"),
    Attack("tensor-buffer-none", tensor(1, "buffer", "I", 0), _BAD, "not computed by an earlier"),
    Attack("tensor-buffer-of-another", tensor(1, "buffer", "I", 5), _BAD, "bytes for float32"),
    Attack("scale-nan", quantized("scale", "f", math.nan), _BAD, "has scale nan"),
    Attack("scale-infinite", quantized("scale", "f", math.inf), _BAD, "has scale inf"),
    Attack("scale-of-zero", quantized("scale", "f", 0.0), _BAD, r"has scale 0\.0"),
    Attack("scale-below-zero", quantized("scale", "f", -0.5), _BAD, r"has scale -0\.5"),
    Attack("scale-huge", quantized("scale", "f", 3e38), _BAD, "has scale 3"),
    Attack("scale-off", quantized("scale", "f", 1.0), _BAD, "not the product of the others"),
    Attack("scales-per-row", quantized("scale", "f", *[0.1] * 48), _BAD, "48 scales"),
    Attack("zero-point-huge", quantized("zero_point", "q", 2**62), _BAD, "has zero point"),
    Attack("zero-point-of-weights", quantized("zero_point", "q", 7), _BAD, "is not 0"),
    Attack("model-input-outside", ends("inputs", 36), _BAD, "input is tensor 36"),
    Attack("model-input-negative", ends("inputs", -1), _BAD, "input is tensor -1"),
    Attack("model-input-a-weight", ends("inputs", 1), _BAD, "is a constant"),
    Attack("two-inputs", ends("inputs", 0, 0), _BAD, "2 inputs"),
    Attack("model-output-outside", ends("outputs", 2**31 - 1), _BAD, "output is tensor 2147483647"),
    Attack("model-output-a-weight", ends("outputs", 1), _BAD, "output is a constant"),
    Attack("no-output", ends("outputs"), _BAD, "0 outputs"),
    Attack("model-output-inside", ends("outputs", 15), _MISMATCH, "output has shape"),
)

ATTACKS = (*FILES, *OPERATORS, *TENSORS)
