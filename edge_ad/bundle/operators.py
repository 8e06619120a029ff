"""The operators that a model of a bundle may hold, and when each is well-formed.

A kernel takes much for granted: that a matrix has the columns its input needs, that an index is within
its axis. Where it does check, the check differs from one interpreter version to the next. So every shape,
type and constant index is checked here against what the kernel will read and write. The list holds what
`edge_ad.toolchain.convert` writes and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.flatbuffer_reader import Table
from edge_ad.bundle.manifest import Quantization
from edge_ad.bundle.tflite_schema import (
    NO_ACTIVATION,
    RELU,
    TANH,
    AddOptions,
    ConcatenationOptions,
    FullyConnectedOptions,
    GatherOptions,
    MulOptions,
    SliceOptions,
    SplitOptions,
    UnidirectionalSequenceLSTMOptions,
)
from edge_ad.errors import BundleModelStructureError, BundleOperatorError

_SIGMOID = Quantization(1 / 256, -128)
_TANH = Quantization(1 / 128, 0)
SCALES = (2.0**-100, 2.0**60)
"""Smallest and largest scale. Within them no kernel's product leaves float32 on the way to its integers:
where one does, the process ends."""


class Kind(Enum):
    """Where a tensor's values come from."""

    CONSTANT = "a constant"
    VARIABLE = "a variable"
    USED_VARIABLE = "a variable that another operator uses"
    PENDING = "not computed by an earlier operator"
    COMPUTED = "computed from the window"
    UNPACKED = "an unpacked weight"
    ABSENT = "not given"


@dataclass(frozen=True)
class Tensor:
    """A tensor whose shape, type and contents fit each other."""

    name: str
    """For people: `tensor 12`."""
    kind: Kind
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: memoryview = memoryview(b"")

    def integers(self) -> NDArray[np.int32]:
        """The values of an int32 constant, flat."""
        return np.frombuffer(self.data, "<i4")

    @property
    def scale(self) -> float:
        """Scale of a quantized tensor, 0 for another."""
        return 0.0 if self.quantization is None else self.quantization.scale


ABSENT = Tensor("an optional input", Kind.ABSENT, (), "")
"""Stands for an input that is not given."""


@dataclass(frozen=True)
class Types:
    """Number types of one version of an operator."""

    values: tuple[str, ...]
    """Of what is computed, inputs and outputs."""
    weights: tuple[str, ...] = ()
    biases: str = ""


@dataclass(frozen=True)
class Step:
    """One operator with its tensors."""

    name: str
    """For people: `operator 3 (GATHER)`."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: Any

    def check(self, fits: bool, problem: str) -> None:
        """Raise BundleModelStructureError unless `fits`."""
        if not fits:
            raise BundleModelStructureError(f"{self.name}: {problem}")

    def check_shape(self, tensor: Tensor, shape: tuple[int, ...]) -> None:
        """Check that a tensor has the shape that follows from the others."""
        if tensor.shape != shape:
            self.check(False, f"{tensor.name} has shape {tensor.shape}, and must have {shape}")

    def check_quantization(self, tensor: Tensor, expected: Quantization | None) -> None:
        """Check that a tensor is stored as the operator takes for granted."""
        if tensor.quantization != expected:
            self.check(False, f"{tensor.name} has {tensor.quantization}, and must have {expected}")

    def check_factor(self, factor: float, limit: float = SCALES[1]) -> None:
        """Check what the kernel multiplies by, which has to stay below a limit."""
        self.check(SCALES[0] <= factor < limit, "the scales of its tensors are too far apart")


@dataclass(frozen=True)
class Operator:
    """An operator on the list."""

    name: str
    code: int
    """Of the schema's BuiltinOperator."""
    roles: str
    """What each input is: `v`alue, `w`eight, `u` the same or unpacked from one, `b`ias, `i`ndices, `s`tate,
    `-` not given; `v*` stands for any number of values."""
    check: Callable[[Step], None]
    types: Mapping[int, Types]
    """By version."""
    options: type[Table] | None = None
    activations: tuple[int, ...] = (NO_ACTIVATION,)
    """What may be applied to the output."""


# --- inputs and outputs of one operator -----------------------------------------------------------


def check_step(operator: Operator, types: Types, step: Step) -> None:
    """Check kinds, types, shapes and quantization of an operator's tensors.

    Raises BundleModelStructureError, or BundleOperatorError for an activation that is not allowed.
    """
    activation = getattr(step.options, "fused_activation_function", NO_ACTIVATION)
    if activation not in operator.activations:
        raise BundleOperatorError(f"{step.name}: activation number {activation} is not allowed here")
    roles = operator.roles
    if roles == "v*":
        roles = "v" * len(step.inputs)
    step.check(len(step.inputs) == len(roles) > 0, f"{len(step.inputs)} inputs are not as many as it takes")
    step.check(len(step.outputs) == 1 or operator.name == "SPLIT", "it has one output")
    for role, tensor in zip(roles, step.inputs, strict=True):
        _ROLES[role](step, tensor, types)
    for tensor in step.outputs:
        step.check(tensor.kind is Kind.PENDING, f"its output {tensor.name} has its values from elsewhere")
        step.check(tensor.dtype in types.values, f"{tensor.name} cannot be {tensor.dtype}")
    operator.check(step)


def _check_kind(step: Step, tensor: Tensor, *kinds: Kind) -> None:
    step.check(tensor.kind in kinds, f"{tensor.name} is {tensor.kind.value}, not {kinds[0].value}")


def _check_value(step: Step, tensor: Tensor, types: Types) -> None:
    _check_kind(step, tensor, Kind.COMPUTED)
    step.check(tensor.dtype in types.values, f"{tensor.name} cannot be {tensor.dtype}")


def _check_weight(step: Step, tensor: Tensor, types: Types) -> None:
    _check_kind(step, tensor, Kind.CONSTANT)
    _check_unpacked(step, tensor, types)


def _check_unpacked(step: Step, tensor: Tensor, types: Types) -> None:
    _check_kind(step, tensor, Kind.CONSTANT, Kind.UNPACKED)
    step.check(tensor.dtype in types.weights, f"weights {tensor.name} cannot be {tensor.dtype}")
    symmetric = tensor.quantization is None or tensor.quantization.zero_point == 0
    step.check(symmetric, f"the zero point of weights {tensor.name} is not 0")


def _check_bias(step: Step, tensor: Tensor, types: Types) -> None:
    _check_kind(step, tensor, Kind.CONSTANT)
    step.check(tensor.dtype == types.biases, f"bias {tensor.name} is {tensor.dtype}, not {types.biases}")


def _check_indices(step: Step, tensor: Tensor, types: Types) -> None:
    _check_kind(step, tensor, Kind.CONSTANT)
    step.check(tensor.dtype == "int32", f"indices {tensor.name} are {tensor.dtype}, not int32")
    step.check(len(tensor.shape) <= 1, f"indices {tensor.name} have more than one axis")


def _check_state(step: Step, tensor: Tensor, types: Types) -> None:
    _check_kind(step, tensor, Kind.VARIABLE)


def _check_absent(step: Step, tensor: Tensor, types: Types) -> None:
    step.check(tensor.kind is Kind.ABSENT, f"{tensor.name} is an input that is not supported")


_ROLES: dict[str, Callable[[Step, Tensor, Types], None]] = {
    "v": _check_value,
    "w": _check_weight,
    "u": _check_unpacked,
    "b": _check_bias,
    "i": _check_indices,
    "s": _check_state,
    "-": _check_absent,
}


# --- shapes and quantization, operator by operator ------------------------------------------------


def _check_alike(step: Step) -> None:
    """Element by element: all shapes are the same."""
    for tensor in step.inputs:
        step.check_shape(tensor, step.outputs[0].shape)


def _add(step: Step) -> None:
    _check_alike(step)
    (first, second), output = step.inputs, step.outputs[0]
    if output.quantization is not None:
        smaller, larger = sorted((first.scale, second.scale))
        step.check_factor(smaller / larger)
        # The kernel wants 19 bits less than this, rounded, to be below one, or ends the process.
        step.check_factor(larger / output.scale, 0.999 * 2**19)


def _mul(step: Step) -> None:
    _check_alike(step)
    (first, second), output = step.inputs, step.outputs[0]
    if output.quantization is not None:
        step.check_factor(first.scale * second.scale / output.scale)


def _relu(step: Step) -> None:
    _check_alike(step)
    if step.outputs[0].quantization is not None:
        step.check_factor(step.inputs[0].scale / step.outputs[0].scale)


def _saturating(quantization: Quantization) -> Callable[[Step], None]:
    """A function of a fixed range, which an int8 output must stand for."""

    def check(step: Step) -> None:
        _check_alike(step)
        if step.outputs[0].quantization is not None:
            step.check_quantization(step.outputs[0], quantization)

    return check


def _fully_connected(step: Step) -> None:
    values, weight, bias = step.inputs
    output = step.outputs[0]
    step.check(len(values.shape) >= 2 == len(weight.shape), f"weights {weight.name} are no matrix")
    n_outputs, n_inputs = weight.shape
    *rows, width = values.shape
    step.check(width == n_inputs, f"{weight.name} is made for {n_inputs} inputs, {values.name} has {width}")
    step.check_shape(bias, (n_outputs,))
    kept = tuple(rows) if step.options.keep_num_dims else (math.prod(rows),)
    step.check_shape(output, (*kept, n_outputs))
    if output.quantization is not None:
        product = values.scale * weight.scale
        # XNNPACK refuses larger ones; ai-edge-litert then frees memory twice.
        step.check_factor(product / output.scale, 2**8)
        fits = bias.quantization is not None and math.isclose(bias.scale, product, rel_tol=1e-6)
        step.check(fits, f"the scale of bias {bias.name} is not the product of the others")


def _dequantize(step: Step) -> None:
    _check_alike(step)


def _reshape(step: Step) -> None:
    values, shape = step.inputs
    output = step.outputs[0]
    # Of a shape that is no vector the kernel takes no notice.
    fits = shape.shape == (len(output.shape),) and shape.integers().tolist() == list(output.shape)
    step.check(fits, f"{shape.name} is not the shape of {output.name}")
    fits = math.prod(values.shape) == math.prod(output.shape)
    step.check(fits, f"{values.name} of shape {values.shape} does not fit into {output.shape}")
    step.check_quantization(output, values.quantization)


def _slice(step: Step) -> None:
    values, begin, size = step.inputs
    output = step.outputs[0]
    rank = len(values.shape)
    step.check(begin.shape == size.shape == (rank,), "one begin and one size for each axis")
    step.check_shape(output, tuple(size.integers().tolist()))
    for start, length, dimension in zip(begin.integers().tolist(), output.shape, values.shape, strict=True):
        fits = start >= 0 and start + length <= dimension
        step.check(fits, f"{start} to {start + length} is outside of {values.name} with {dimension}")
    step.check_quantization(output, values.quantization)


def _split(step: Step) -> None:
    axis, values = step.inputs
    step.check(axis.shape in ((), (1,)) and axis.integers()[0] == 1, "only axis 1 can be split")
    n = len(step.outputs)
    step.check(n == step.options.num_splits >= 1, f"{n} outputs, {step.options.num_splits} parts")
    step.check(len(values.shape) == 2, f"{values.name} is no matrix")
    rows, columns = values.shape
    step.check(columns % n == 0, f"{columns} columns cannot be split into {n} parts")
    for output in step.outputs:
        step.check_shape(output, (rows, columns // n))
        step.check_quantization(output, values.quantization)


def _concatenation(step: Step) -> None:
    output = step.outputs[0]
    rows = 0
    for tensor in step.inputs:
        step.check(len(tensor.shape) == 2, f"{tensor.name} is no matrix")
        step.check(tensor.shape[1:] == output.shape[1:], f"{tensor.name} is not as wide as {output.name}")
        step.check_quantization(tensor, output.quantization)
        rows += tensor.shape[0]
    step.check(rows == output.shape[0], f"{rows} rows do not fit into {output.name} of shape {output.shape}")


def _gather(step: Step) -> None:
    values, indices = step.inputs
    step.check(step.options.axis == 1 and len(values.shape) == 3, "only rows of axis 1 can be gathered")
    batch, n_rows, width = values.shape
    rows = indices.integers()
    step.check_shape(indices, (len(rows),))
    step.check_shape(step.outputs[0], (batch, len(rows), width))
    for row in (int(rows.min()), int(rows.max())):
        step.check(0 <= row < n_rows, f"index {row} is outside of {values.name} with {n_rows} rows")
    step.check_quantization(step.outputs[0], values.quantization)


def _lstm(step: Step) -> None:
    values, output = step.inputs[0], step.outputs[0]
    step.check(len(values.shape) == len(output.shape) == 3, "windows have three axes")
    (batch, n_steps, n_inputs), units = values.shape, output.shape[2]
    step.check_shape(output, (batch, n_steps, units))
    shapes = {"v": values.shape, "b": (units,), "s": (batch, units), "-": ()}
    for position, (role, tensor) in enumerate(zip(_LSTM_ROLES, step.inputs, strict=True)):
        weights = (units, n_inputs if position <= 4 else units)
        step.check_shape(tensor, shapes.get(role, weights))
    step.check(step.inputs[-1] != step.inputs[-2], "its two states are the same tensor")


# --- the list -------------------------------------------------------------------------------------

_FLOAT = Types(("float32",), ("float32",), "float32")
_HYBRID = Types(("float32",), ("int8",), "float32")
_FLOAT_OR_HYBRID = Types(("float32",), ("float32", "int8"), "float32")
_INTEGER = Types(("int8",), ("int8",), "int32")
_BOTH = {1: _FLOAT, 2: _INTEGER}

# The input; its four matrices; those of the hidden state; no peepholes; biases; no projection; states.
_LSTM_ROLES = "v" + "wwww" + "wwww" + "---" + "bbbb" + "--" + "ss"

ALLOWED = {
    operator.code: operator
    for operator in (
        Operator("ADD", 0, "vv", _add, _BOTH, AddOptions, (NO_ACTIVATION, RELU)),
        Operator("CONCATENATION", 2, "v*", _concatenation, _BOTH, ConcatenationOptions),
        Operator("DEQUANTIZE", 6, "w", _dequantize, {2: _HYBRID}),
        Operator(
            *("FULLY_CONNECTED", 9, "vub", _fully_connected),
            {4: _INTEGER, 5: _FLOAT_OR_HYBRID},
            FullyConnectedOptions,
        ),
        Operator("LOGISTIC", 14, "v", _saturating(_SIGMOID), _BOTH),
        Operator("MUL", 18, "vv", _mul, _BOTH, MulOptions),
        Operator("RELU", 19, "v", _relu, _BOTH),
        Operator("RESHAPE", 22, "vi", _reshape, {1: Types(("float32", "int8"))}),
        Operator("TANH", 28, "v", _saturating(_TANH), _BOTH),
        Operator("GATHER", 36, "vi", _gather, {1: _FLOAT, 2: Types(("int8",))}, GatherOptions),
        Operator(
            *("UNIDIRECTIONAL_SEQUENCE_LSTM", 44, _LSTM_ROLES, _lstm, {1: _FLOAT, 2: _HYBRID}),
            *(UnidirectionalSequenceLSTMOptions, (RELU, TANH)),
        ),
        Operator("SPLIT", 49, "iv", _split, _BOTH, SplitOptions),
        Operator("SLICE", 65, "vii", _slice, _BOTH, SliceOptions),
    )
}
"""By code."""
