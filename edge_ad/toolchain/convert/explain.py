"""The conversion doctor: what is in a `.tflite` file, what makes it large or slow, and what to do."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_ad.errors import ConversionError

_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_MANY_OPERATORS = 300


@dataclass(frozen=True)
class Explanation:
    """What was found in one model."""

    kind: str
    """`fused`, `WHILE`, `unrolled` or `other`."""
    size_bytes: int
    operators: dict[str, int]
    """Name -> count over all subgraphs; custom operators by their own name."""
    bytes_by_cause: dict[str, int]
    """`weights`, `quantization`, `names`, `metadata`, and `structure` (tensors and operators)."""
    multiply_adds: int
    """Of one invoke, estimated; the body of a WHILE counts once per step of its input's axis 1."""
    dynamic_shapes: bool
    """Whether a dimension of the main graph is open."""
    advice: tuple[str, ...]


def explain_tflite(content: bytes) -> Explanation:
    """Take a `.tflite` file apart. Raises ConversionError for what is none."""
    if content[4:8] != b"TFL3":
        raise ConversionError("not a .tflite file: its identifier is missing")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        return _explain(model, content)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        raise ConversionError(
            f"a damaged .tflite file ({type(error).__name__}): copy or make it again"
        ) from error


def _explain(model: Any, content: bytes) -> Explanation:
    operators: Counter[str] = Counter()
    multiply_adds = 0
    steps = _steps(model)
    for index, graph in enumerate(model.subgraphs):
        repeats = 1 if index == 0 else steps
        for operator in graph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            operators[_name(code)] += 1
            multiply_adds += repeats * _multiply_adds(_name(code), operator, graph)
    causes = _bytes_by_cause(model, content)
    dynamic = any(
        tensor.shapeSignature is not None and (np.asarray(tensor.shapeSignature) < 0).any()
        for tensor in model.subgraphs[0].tensors
    )
    kind = _kind(operators)
    advice = _advice(kind, operators, causes, len(content), dynamic)
    return Explanation(
        kind, len(content), dict(operators.most_common()), causes, multiply_adds, dynamic, tuple(advice)
    )


def _name(code: Any) -> str:
    if code.customCode:
        custom = code.customCode
        return custom.decode() if isinstance(custom, bytes) else str(custom)
    name: str = _NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "unknown")
    return name


def _kind(operators: Counter[str]) -> str:
    if operators["UNIDIRECTIONAL_SEQUENCE_LSTM"] or operators["LSTM"]:
        return "fused"
    if operators["WHILE"]:
        return "WHILE"
    return "unrolled" if operators["LOGISTIC"] > 2 else "other"


def _steps(model: Any) -> int:
    """Length of the time axis: that of the first graph's input."""
    graph = model.subgraphs[0]
    shape = graph.tensors[graph.inputs[0]].shape
    return int(shape[1]) if shape is not None and len(shape) > 1 else 1


def _shape(graph: Any, index: int) -> list[int]:
    shape = graph.tensors[index].shape
    return [] if shape is None else [max(1, int(n)) for n in shape]


def _multiply_adds(name: str, operator: Any, graph: Any) -> int:
    """Products of one operator with weights; elementwise work is left out."""
    if name == "FULLY_CONNECTED":
        weight = _shape(graph, operator.inputs[1])
        rows = int(np.prod(_shape(graph, operator.inputs[0]))) // weight[-1]
        return rows * int(np.prod(weight))
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        steps = _shape(graph, operator.inputs[0])[1]
        return steps * sum(int(np.prod(_shape(graph, i))) for i in operator.inputs[1:9] if i >= 0)
    if name == "BATCH_MATMUL":
        first, second = _shape(graph, operator.inputs[0]), _shape(graph, operator.inputs[1])
        return int(np.prod(first)) * second[-1]
    return 0


def _bytes_by_cause(model: Any, content: bytes) -> dict[str, int]:
    weights = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    metadata = sum(
        len(model.buffers[entry.buffer].data)
        for entry in model.metadata or []
        if model.buffers[entry.buffer].data is not None
    )
    names = quantization = 0
    for graph in model.subgraphs:
        names += len(graph.name or b"")
        for tensor in graph.tensors:
            names += 5 + len(tensor.name) if tensor.name else 0  # length, text, final zero
            found = tensor.quantization
            if found is not None:
                vectors = (found.scale, found.zeroPoint, found.min, found.max)
                sizes = (4, 8, 4, 4)
                quantization += sum(
                    4 + n * len(v) for v, n in zip(vectors, sizes, strict=True) if v is not None
                )
    known = weights + names + quantization
    return {
        "weights": weights - metadata,
        "quantization": quantization,
        "names": names,
        "metadata": metadata,
        "structure": max(0, len(content) - known),
    }


def _advice(
    kind: str, operators: Counter[str], causes: dict[str, int], size: int, dynamic: bool
) -> list[str]:
    found = []
    flex = [name for name in operators if name.startswith("Flex")]
    if flex:
        found.append(
            f"{', '.join(flex)}: TensorFlow's own operators, which a device's interpreter does not have. "
            "Convert with TFLITE_BUILTINS only; for an LSTM fix the batch to 1 or set unroll=True, or use "
            "edge-ad's forms"
        )
    custom = [n for n in operators if n not in _NAMES.values() and n not in flex and n != "unknown"]
    if custom:
        found.append(f"{', '.join(custom)}: custom operators; a stock interpreter refuses the model")
    if dynamic:
        found.append("a dimension is open (-1), most likely the batch: fix it to 1")
    if kind == "WHILE":
        found.append(
            "the LSTM is a WHILE loop: small, but each step pays for the loop; unrolled or fused is faster"
        )
    if kind == "unrolled" and sum(operators.values()) > _MANY_OPERATORS:
        found.append(
            f"{sum(operators.values())} operators: the input of a layer can be projected for all steps at "
            "once, the repeated code once, and the first step needs no recurrent product (edge-ad's "
            "--optimize speed)"
        )
    if causes["names"] > size / 20:
        found.append(
            f"names take {causes['names'] / size:.0%} of the file; an interpreter needs none of them"
        )
    if causes["quantization"] > size / 10:
        found.append(
            f"quantization tables take {causes['quantization'] / size:.0%}: share them between tensors"
        )
    if causes["structure"] > causes["weights"]:
        found.append(
            "tensors and operators outweigh the weights: for so small a model the fused form is smallest"
        )
    if kind == "fused":
        found.append("fused LSTMs keep their state: reset the variables before every window")
    return found


def explain_file(path: Path) -> tuple[Explanation, str]:
    """Explain a `.tflite` file, or what would become of a `.keras` one; and a line on what was looked at.

    Raises ConversionError for a file that is neither, or for layers that edge_ad cannot convert.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConversionError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix == ".keras":
        from edge_ad.toolchain.convert.compact import compact_model
        from edge_ad.toolchain.convert.keras_file import read_keras

        architecture, weights = read_keras(path)
        compact = compact_model(architecture, weights, int8=True)
        return explain_tflite(compact), f"{path}, as edge-ad would convert it (compact, int8)"
    try:
        return explain_tflite(content), str(path)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error
