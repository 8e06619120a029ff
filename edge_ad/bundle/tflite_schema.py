"""The part of the TFLite schema (version 3) that the models of bundles use, for `flatbuffer_reader`.

What `layout` names and the class does not declare is refused: an interpreter would act on it, and no model
of a bundle has it. Options of operators stand here too; fields that are not declared keep their defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.bundle.flatbuffer_reader import Table, numbers, position, positions, raw_bytes, scalar

IDENTIFIER = b"TFL3"
VERSION = 3
DTYPES = {0: "float32", 2: "int32", 9: "int8"}
"""By number of the schema's TensorType; the others are in no model of a bundle."""

NO_ACTIVATION, RELU, TANH = 0, 1, 4
"""Of the schema's ActivationFunctionType."""


@dataclass(frozen=True)
class Model(Table):
    """The file."""

    layout = (
        *("version", "operator_codes", "subgraphs", "description", "buffers", "metadata_buffer"),
        *("metadata", "signature_defs", "external_buffer_groups", "external_buffers"),
    )
    operator_codes: tuple[int, ...] = positions()
    subgraphs: tuple[int, ...] = positions()
    buffers: tuple[int, ...] = positions()
    version: int = scalar("I")


@dataclass(frozen=True)
class OperatorCode(Table):
    """A kind of operator. `builtin_code` is what counts; the old entry ends at 127."""

    layout = ("deprecated_builtin_code", "custom_code", "version", "builtin_code")
    deprecated_builtin_code: int = scalar("b")
    custom_code: memoryview | None = raw_bytes()
    version: int = scalar("i", 1)
    builtin_code: int = scalar("i")


@dataclass(frozen=True)
class SubGraph(Table):
    """Tensors, and operators in the order in which they run."""

    layout = ("tensors", "inputs", "outputs", "operators", "name", "debug_metadata_index")
    tensors: tuple[int, ...] = positions()
    inputs: tuple[int, ...] = numbers("i")
    outputs: tuple[int, ...] = numbers("i")
    operators: tuple[int, ...] = positions()


@dataclass(frozen=True)
class TensorEntry(Table):
    """A tensor; the contents of a constant are in its buffer."""

    layout = (
        *("shape", "type", "buffer", "name", "quantization", "is_variable", "sparsity"),
        *("shape_signature", "has_rank", "variant_tensors", "external_buffer"),
    )
    shape: tuple[int, ...] = numbers("i")
    type: int = scalar("b")
    buffer: int = scalar("I")
    quantization: int | None = position()
    is_variable: bool = scalar("?", False)


@dataclass(frozen=True)
class QuantizationParameters(Table):
    """One scale and one zero point."""

    layout = ("min", "max", "scale", "zero_point", "details_type", "details", "quantized_dimension")
    scale: tuple[float, ...] = numbers("f")
    zero_point: tuple[int, ...] = numbers("q")


@dataclass(frozen=True)
class OperatorEntry(Table):
    """An operator; tensors are known by their index, -1 stands for one that is not given."""

    layout = (
        *("opcode_index", "inputs", "outputs", "builtin_options_type", "builtin_options"),
        *("custom_options", "custom_options_format", "mutating_variable_inputs", "intermediates"),
        *("large_custom_options_offset", "large_custom_options_size"),
        *("builtin_options_2_type", "builtin_options_2", "debug_metadata_index"),
    )
    inputs: tuple[int, ...] = numbers("i")
    outputs: tuple[int, ...] = numbers("i")
    opcode_index: int = scalar("I")
    builtin_options_type: int = scalar("B")
    builtin_options: int | None = position()


@dataclass(frozen=True)
class Buffer(Table):
    """Contents of constants. Only what is in the flatbuffer itself: no offset to elsewhere in the file."""

    layout = ("data", "offset", "size")
    data: memoryview | None = raw_bytes(alignment=16)


@dataclass(frozen=True)
class AddOptions(Table):
    """Of ADD."""

    layout = ("fused_activation_function", "pot_scale_int16")
    fused_activation_function: int = scalar("b")


@dataclass(frozen=True)
class ConcatenationOptions(Table):
    """Of CONCATENATION: along axis 0, the default."""

    layout = ("axis", "fused_activation_function")


@dataclass(frozen=True)
class FullyConnectedOptions(Table):
    """Of FULLY_CONNECTED."""

    layout = (
        *("fused_activation_function", "weights_format", "keep_num_dims", "asymmetric_quantize_inputs"),
        *("quantized_bias_type", "quant_spec"),
    )
    keep_num_dims: bool = scalar("?", False)


@dataclass(frozen=True)
class GatherOptions(Table):
    """Of GATHER."""

    layout = ("axis", "batch_dims")
    axis: int = scalar("i")


@dataclass(frozen=True)
class MulOptions(Table):
    """Of MUL."""

    layout = ("fused_activation_function",)


@dataclass(frozen=True)
class SliceOptions(Table):
    """Of SLICE: it has none."""


@dataclass(frozen=True)
class SplitOptions(Table):
    """Of SPLIT."""

    layout = ("num_splits",)
    num_splits: int = scalar("i")


@dataclass(frozen=True)
class UnidirectionalSequenceLSTMOptions(Table):
    """Of UNIDIRECTIONAL_SEQUENCE_LSTM."""

    layout = (
        *("fused_activation_function", "cell_clip", "proj_clip", "time_major"),
        *("asymmetric_quantize_inputs", "diagonal_recurrent_tensors"),
    )
    fused_activation_function: int = scalar("b")


OPTIONS: dict[int, type[Table]] = {
    8: FullyConnectedOptions,
    10: ConcatenationOptions,
    11: AddOptions,
    21: MulOptions,
    23: GatherOptions,
    35: SplitOptions,
    48: SliceOptions,
    71: UnidirectionalSequenceLSTMOptions,
}
"""By number of the schema's BuiltinOptions."""
