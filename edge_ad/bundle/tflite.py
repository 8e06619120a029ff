"""Is a `.tflite` file what a bundle may hold? Asked before an interpreter sees it.

An interpreter trusts its file: an offset or an index that leads outside ends the process with a signal,
which no program can catch. So the file is read here first, with every step checked: the flatbuffer, then
tensors and operators, then whether the model is the one that the manifest describes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from edge_ad.bundle.flatbuffer_reader import MAX_OBJECTS, Reader
from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.operators import (
    ABSENT,
    ALLOWED,
    SCALES,
    Kind,
    Operator,
    Step,
    Tensor,
    Types,
    check_step,
)
from edge_ad.bundle.tflite_schema import (
    DTYPES,
    IDENTIFIER,
    OPTIONS,
    VERSION,
    Buffer,
    Model,
    OperatorCode,
    OperatorEntry,
    QuantizationParameters,
    SubGraph,
    TensorEntry,
)
from edge_ad.errors import BundleMismatchError, BundleModelStructureError, BundleOperatorError

MAX_TENSOR_BYTES = 64 * 2**20
"""Of all tensors together, constants included."""
MAX_WEIGHT_BYTES = 512 * 2**20
"""Of all operators' constants, shared ones counted each time: an interpreter may copy them for each."""
_MAX_AXES = 3
_ITEM_BYTES = {"float32": 4, "int32": 4, "int8": 1}


def check_model(
    content: bytes,
    *,
    shape: tuple[int, int],
    input_dtype: str,
    output_dtype: str,
    stateful: bool,
    input_quantization: Quantization | None,
    output_quantization: Quantization | None,
) -> None:
    """Check a `.tflite` file: well-formed, allowed operators only, and as the manifest says.

    `shape` is `(window_length, n_channels)`. Raises BundleModelStructureError, BundleOperatorError,
    BundleMismatchError.
    """
    reader = Reader(content)
    model = reader.root(Model, IDENTIFIER)
    _check(model.version == VERSION, f"schema version {model.version}, not {VERSION}")
    codes = [_allowed(reader.table(OperatorCode, at)) for at in model.operator_codes]
    n_graphs = len(model.subgraphs)
    _check(n_graphs == 1, f"{n_graphs} subgraphs: a model of a bundle has one")
    graph = reader.table(SubGraph, model.subgraphs[0])
    tensors = _read_tensors(reader, graph, _read_buffers(reader, model))
    ends = len(graph.inputs), len(graph.outputs)
    _check(ends == (1, 1), f"{ends[0]} inputs and {ends[1]} outputs: an autoencoder has one of each")
    (input_index,), (output_index,) = graph.inputs, graph.outputs
    _check(input_index != output_index, "the model's output is its input")
    _Run(reader, codes, tensors, input_index).check(graph.operators, output_index)
    _check_end("input", tensors[input_index], shape, input_dtype, input_quantization)
    _check_end("output", tensors[output_index], shape, output_dtype, output_quantization)
    has_state = any(tensor.kind is Kind.USED_VARIABLE for tensor in tensors)
    if has_state != stateful:
        raise BundleMismatchError(
            f"the model has {'variable' if has_state else 'no variable'} tensors, "
            f"the manifest says {'stateful' if stateful else 'not stateful'}"
        )


def _check(fits: bool, problem: str) -> None:
    if not fits:
        raise BundleModelStructureError(problem)


def _check_end(
    what: str, tensor: Tensor, shape: tuple[int, int], dtype: str, quantization: Quantization | None
) -> None:
    for aspect, found, stated in (
        ("shape", tensor.shape, (1, *shape)),
        ("type", tensor.dtype, dtype),
        ("quantization", tensor.quantization, quantization),
    ):
        if found != stated:
            raise BundleMismatchError(f"the model's {what} has {aspect} {found}, the manifest says {stated}")


def _allowed(code: OperatorCode) -> tuple[Operator, Types]:
    """The entry of the list for an operator code, and its version's types. Raises BundleOperatorError."""
    if code.custom_code is not None:
        name = bytes(code.custom_code[:64]).decode(errors="replace")
        raise BundleOperatorError(f"custom operator {name!r}: bundles hold built-in operators only")
    operator = ALLOWED.get(code.builtin_code)
    # Older interpreters read the old entry, so both have to name the same operator.
    if operator is None or code.deprecated_builtin_code != min(code.builtin_code, 127):
        raise BundleOperatorError(
            f"operator code {code.builtin_code} ({code.deprecated_builtin_code}) is not one that bundles may "
            f"hold; these are {', '.join(allowed.name for allowed in ALLOWED.values())}"
        )
    if code.version not in operator.types:
        raise BundleOperatorError(
            f"{operator.name} of version {code.version} is not one that bundles may hold; "
            f"it can be {' or '.join(map(str, operator.types))}"
        )
    return operator, operator.types[code.version]


def _read_buffers(reader: Reader, model: Model) -> list[memoryview | None]:
    buffers = [reader.table(Buffer, at).data for at in model.buffers]
    # An interpreter takes an empty buffer for none: its tensor would be a constant here and none there.
    _check(bool(buffers) and buffers[0] is None, "buffer 0 is for tensors without data")
    for number, data in enumerate(buffers[1:], 1):
        _check(data is not None and len(data) > 0, f"buffer {number} is empty")
    return buffers


def _read_tensors(reader: Reader, graph: SubGraph, buffers: Sequence[memoryview | None]) -> list[Tensor]:
    tensors, left = [], MAX_TENSOR_BYTES
    for number, at in enumerate(graph.tensors):
        tensor = _read_tensor(f"tensor {number}", reader, reader.table(TensorEntry, at), buffers)
        left -= _size(tensor)
        _check(left >= 0, f"the tensors take more than {MAX_TENSOR_BYTES} bytes")
        tensors.append(tensor)
    return tensors


def _size(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * _ITEM_BYTES[tensor.dtype]


def _read_tensor(
    name: str, reader: Reader, entry: TensorEntry, buffers: Sequence[memoryview | None]
) -> Tensor:
    _check(entry.type in DTYPES, f"{name} has type number {entry.type}, which no model of a bundle has")
    _check(len(entry.shape) <= _MAX_AXES, f"{name} has {len(entry.shape)} axes, more than {_MAX_AXES}")
    _check(all(n >= 1 for n in entry.shape), f"{name} has shape {entry.shape}")
    _check(entry.buffer < len(buffers), f"{name} is in buffer {entry.buffer} of {len(buffers)}")
    dtype, data = DTYPES[entry.type], buffers[entry.buffer]
    quantization = _read_quantization(name, dtype, reader, entry.quantization)
    if entry.is_variable:
        fits = data is None and dtype == "float32"
        _check(fits, f"{name} is a variable, and can be float32 without data only")
        return Tensor(name, Kind.VARIABLE, entry.shape, dtype, quantization)
    if data is None:
        return Tensor(name, Kind.PENDING, entry.shape, dtype, quantization)
    tensor = Tensor(name, Kind.CONSTANT, entry.shape, dtype, quantization, data)
    _check(len(data) == _size(tensor), f"{name}: {len(data)} bytes for {dtype} of shape {entry.shape}")
    finite = dtype != "float32" or bool(np.isfinite(np.frombuffer(data, "<f4")).all())
    _check(finite, f"{name} holds NaN or infinity")
    return tensor


def _read_quantization(name: str, dtype: str, reader: Reader, at: int | None) -> Quantization | None:
    if at is None:
        _check(dtype != "int8", f"{name} is int8 without a scale")
        return None
    _check(dtype != "float32", f"{name} is float32 with a scale")
    entry = reader.table(QuantizationParameters, at)
    counts = len(entry.scale), len(entry.zero_point)
    _check(counts == (1, 1), f"{name} has {counts[0]} scales and {counts[1]} zero points, not one")
    (scale,), (zero_point,) = entry.scale, entry.zero_point
    # Also refuses NaN. Scales of int32 are products of others and checked where they are used.
    _check(dtype == "int32" or SCALES[0] <= scale <= SCALES[1], f"{name} has scale {scale}")
    fits = zero_point == 0 or (dtype == "int8" and -128 <= zero_point <= 127)
    _check(fits, f"{name} has zero point {zero_point}")
    return Quantization(scale, zero_point)


class _Run:
    """Goes through the operators in the order in which an interpreter runs them."""

    def __init__(
        self, reader: Reader, codes: list[tuple[Operator, Types]], tensors: list[Tensor], start: int
    ) -> None:
        self._reader, self._codes, self._tensors = reader, codes, tensors
        _check(0 <= start < len(tensors), f"the model's input is tensor {start} of {len(tensors)}")
        tensor = tensors[start]
        _check(tensor.kind is Kind.PENDING, f"the model's input {tensor.name} is {tensor.kind.value}")
        self._set(start, Kind.COMPUTED)
        self._operands, self._weight_bytes = 0, 0

    def check(self, operators: Sequence[int], end: int) -> None:
        """Check all operators and that the last tensor comes of them."""
        for number, at in enumerate(operators):
            entry = self._reader.table(OperatorEntry, at)
            self._operands += len(entry.inputs) + len(entry.outputs)
            _check(self._operands <= MAX_OBJECTS, f"more than {MAX_OBJECTS} operands")
            self._check_operator(number, entry)
        for tensor in self._tensors:
            _check(tensor.kind is not Kind.PENDING, f"{tensor.name} is never computed")
            _check(tensor.kind is not Kind.VARIABLE, f"{tensor.name} is a variable that nothing uses")
        _check(0 <= end < len(self._tensors), f"the model's output is tensor {end} of {len(self._tensors)}")
        kind = self._tensors[end].kind
        _check(kind is Kind.COMPUTED, f"the model's output is {kind.value}")

    def _check_operator(self, number: int, entry: OperatorEntry) -> None:
        index = entry.opcode_index
        _check(index < len(self._codes), f"operator {number} has code {index} of {len(self._codes)}")
        operator, types = self._codes[index]
        name = f"operator {number} ({operator.name})"
        inputs = tuple(ABSENT if i == -1 else self._tensor(name, i) for i in entry.inputs)
        outputs = tuple(self._tensor(name, i) for i in entry.outputs)
        _check(len(set(entry.outputs)) == len(outputs), f"{name} writes a tensor twice")
        check_step(operator, types, Step(name, inputs, outputs, self._options(name, operator, entry)))
        constant = (Kind.CONSTANT, Kind.UNPACKED)
        self._weight_bytes += sum(_size(tensor) for tensor in inputs if tensor.kind in constant)
        fits = self._weight_bytes <= MAX_WEIGHT_BYTES
        _check(fits, f"the operators read more than {MAX_WEIGHT_BYTES} bytes of weights")
        made = Kind.UNPACKED if operator.name == "DEQUANTIZE" else Kind.COMPUTED
        for i in entry.outputs:
            self._set(i, made)
        for i, tensor in zip(entry.inputs, inputs, strict=True):
            if tensor.kind is Kind.VARIABLE:
                self._set(i, Kind.USED_VARIABLE)

    def _options(self, name: str, operator: Operator, entry: OperatorEntry) -> object:
        kind = OPTIONS.get(entry.builtin_options_type)
        known = kind is not None or entry.builtin_options_type == 0
        if not known or kind is not operator.options:
            raise BundleOperatorError(f"{name} has options of type number {entry.builtin_options_type}")
        if kind is None:
            _check(entry.builtin_options is None, f"{name} has options without a type")
            return None
        if entry.builtin_options is None:
            raise BundleModelStructureError(f"{name} has no options")
        return self._reader.table(kind, entry.builtin_options)

    def _tensor(self, name: str, index: int) -> Tensor:
        n = len(self._tensors)
        _check(0 <= index < n, f"{name} uses tensor {index} of {n}")
        return self._tensors[index]

    def _set(self, index: int, kind: Kind) -> None:
        self._tensors[index] = dataclasses.replace(self._tensors[index], kind=kind)
