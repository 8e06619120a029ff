"""The conversion doctor: what is in a `.tflite` file, what makes it large or slow, and what to do."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edge_ad.errors import ConversionError
from edge_ad.toolchain.convert.advice import Findings, advise
from edge_ad.toolchain.convert.byte_causes import bytes_by_cause
from edge_ad.toolchain.convert.multiply_adds import count_arithmetic, operator_name

_INTEGERS = (schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT16)
_MOST_PER_BYTE = 1
"""Objects and numbers that a byte of the file may stand for; with shared tables it still is less than one."""
_IO = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class Explanation:
    """What was found in one model."""

    kind: str
    """`fused`, `WHILE`, `unrolled` or `other`."""
    size_bytes: int
    operators: dict[str, int]
    """Name -> count over all subgraphs; custom operators by their own name."""
    bytes_by_cause: dict[str, int]
    """Every byte of the file, by `byte_causes.CAUSES`."""
    multiply_adds: int
    """Of one invoke, estimated; a loop's body counts once per step where the steps are known."""
    not_counted: tuple[str, ...]
    """Operators that do arithmetic which `multiply_adds` leaves out."""
    dynamic_shapes: bool
    """Whether a dimension of the main graph is open."""
    advice: tuple[str, ...]


def explain_tflite(content: bytes) -> Explanation:
    """Take a `.tflite` file apart. Raises ConversionError for what is none."""
    if content[4:8] != b"TFL3":
        raise ConversionError("not a .tflite file: its identifier is missing")
    try:
        _check_size(content)
        return _explain(schema.ModelT.InitFromPackedBuf(content, 0), content)
    except (
        struct.error,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise ConversionError(
            "a damaged .tflite file, cut short or altered: copy it again, or convert again"
        ) from error


def _check_size(content: bytes) -> None:
    """Refuse a file that unpacks to far more than it holds: one table can be named a million times."""
    left = _MOST_PER_BYTE * len(content)
    model = schema.Model.GetRootAs(content, 0)
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        left -= graph.TensorsLength() + graph.OperatorsLength()
        if left < 0:
            break
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            left -= tensor.ShapeLength() + tensor.ShapeSignatureLength()
            table = tensor.Quantization()
            if table is not None:
                left -= table.ScaleLength() + table.ZeroPointLength() + table.MinLength() + table.MaxLength()
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            left -= operator.InputsLength() + operator.OutputsLength()
    if left < 0:
        raise ConversionError("not a model: its tables name each other more often than any model's do")


def _explain(model: Any, content: bytes) -> Explanation:
    operators = Counter(
        operator_name(model.operatorCodes[operator.opcodeIndex])
        for graph in model.subgraphs
        for operator in graph.operators or []
    )
    kind = _kind(model, operators)
    causes = bytes_by_cause(content)
    arithmetic = count_arithmetic(model)
    main = model.subgraphs[0]
    open_axes = _open_axes(main.tensors[main.inputs[0]])
    dynamic = any(_open_axes(tensor) for tensor in main.tensors)
    findings = Findings(
        kind=kind,
        cell=_cell(model, operators) if kind != "other" else "",
        operators=dict(operators.most_common()),
        bytes_by_cause=causes,
        quantization_tables=_quantization_tables(model, content),
        is_integer=_is_integer(model, operators),
        is_bare=not causes["names"] and not causes["metadata"],
        input_shape=tuple(int(n) for n in _known(main.tensors[main.inputs[0]].shape)),
        open_axes=open_axes,
        open_inside=dynamic,
    )
    return Explanation(
        kind,
        len(content),
        findings.operators,
        causes,
        arithmetic.multiply_adds,
        arithmetic.not_counted,
        dynamic,
        advise(findings),
    )


def _known(values: Any) -> Any:
    return () if values is None else values


def _open_axes(tensor: Any) -> tuple[int, ...]:
    return tuple(axis for axis, n in enumerate(_known(tensor.shapeSignature)) if n < 0)


def _kind(model: Any, operators: Counter[str]) -> str:
    if any("SEQUENCE_LSTM" in name or name == "LSTM" for name in operators):
        return "fused"
    if operators["WHILE"]:
        return "WHILE"
    return "unrolled" if operators["LOGISTIC"] > 2 and _split_parts(model) else "other"


def _cell(model: Any, operators: Counter[str]) -> str:
    """`LSTM`, `GRU` or `recurrent layer`: what a recurrent model consists of, by how its gates are cut."""
    if any("LSTM" in name for name in operators):
        return "LSTM"
    parts = _split_parts(model)
    if operators["SUB"] and 3 in parts:  # the part of a GRU's state that is kept, 1 - z
        return "GRU"
    return "LSTM" if parts & {3, 4} and operators["LOGISTIC"] else "recurrent layer"


def _split_parts(model: Any) -> set[int]:
    """Into how many parts tensors are split, which for the sums of an LSTM's gates is four."""
    return {
        int(operator.builtinOptions.numSplits)
        for graph in model.subgraphs
        for operator in graph.operators or []
        if operator_name(model.operatorCodes[operator.opcodeIndex]) == "SPLIT"
    }


def _is_integer(model: Any, operators: Counter[str]) -> bool:
    """Whether the model computes on integers, though its input and output may be floats."""
    main = model.subgraphs[0]
    names = [operator_name(code) for code in model.operatorCodes]
    results = [
        main.tensors[operator.outputs[0]].type
        for operator in main.operators or []
        if names[operator.opcodeIndex] in ("FULLY_CONNECTED", "LOGISTIC", "CONV_2D")
    ]
    return bool(results) and all(kind in _INTEGERS for kind in results)


def _quantization_tables(model: Any, content: bytes) -> tuple[int, int]:
    """How many quantization tables are stored, and how many different ones there are."""
    packed = schema.Model.GetRootAs(content, 0)
    places, contents = set(), set()
    for number, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors):
            found = tensor.quantization
            if found is None or found.scale is None:
                continue
            places.add(packed.Subgraphs(number).Tensors(index).Quantization()._tab.Pos)
            vectors = (found.scale, found.zeroPoint, found.min, found.max)
            contents.add((*(bytes(_known(v)) for v in vectors), found.quantizedDimension))
    return len(places), len(contents)
