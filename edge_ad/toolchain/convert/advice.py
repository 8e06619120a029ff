"""What to do about a model that is large or slow, or that a device cannot run."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.toolchain.convert.multiply_adds import is_builtin

_MANY_OPERATORS = 300


@dataclass(frozen=True)
class Findings:
    """What the advice goes by."""

    kind: str
    """`fused`, `WHILE`, `unrolled` or `other`."""
    cell: str
    """`LSTM`, `GRU` or `recurrent layer`; empty for a model of kind `other`."""
    operators: dict[str, int]
    bytes_by_cause: dict[str, int]
    quantization_tables: tuple[int, int]
    """Stored ones, and different ones."""
    is_integer: bool
    """Whether it computes on integers."""
    is_bare: bool
    """Whether it has neither names nor metadata, as edge_ad's own files."""
    input_shape: tuple[int, ...]
    open_axes: tuple[int, ...]
    """Axes of the input whose length is open."""
    open_inside: bool
    """Whether some tensor has an open axis."""


def advise(found: Findings) -> tuple[str, ...]:
    """One sentence or two per thing worth doing, the gravest first."""
    return (*_refused(found), *_open_shapes(found), *_speed(found), *_size(found), *_state(found))


def _refused(found: Findings) -> list[str]:
    flex = [name for name in found.operators if name.startswith("Flex")]
    custom = [name for name in found.operators if not is_builtin(name) and name not in flex]
    advice = []
    if flex:
        fix = "replace the layers they come from, then convert with TFLITE_BUILTINS only"
        if any("TensorList" in name for name in flex):
            fix = (
                "they come from a recurrent layer with an open batch: fix the batch to 1 "
                "(Input(..., batch_size=1)) or set unroll=True, then convert with TFLITE_BUILTINS only"
            )
        advice.append(
            f"{', '.join(flex)}: TensorFlow's own (Flex) operators, which a device's interpreter does not "
            f"have: it refuses the model; {fix}"
        )
    if custom:
        advice.append(
            f"{', '.join(custom)}: custom operators; a stock interpreter refuses the model: "
            "build it from layers that have built-in operators"
        )
    return advice


def _open_shapes(found: Findings) -> list[str]:
    lengths = [
        "?" if axis in found.open_axes else str(length) for axis, length in enumerate(found.input_shape)
    ]
    shape = ", ".join(lengths)
    advice = []
    if 0 in found.open_axes:
        consequence = "memory cannot be planned ahead, and delegates may refuse the model"
        if found.cell:
            consequence = "recurrent layers become Flex operators, or do not convert at all"
        advice.append(
            f"the batch of the input ({shape}) is open (-1): {consequence}; "
            "fix it to 1, Input(..., batch_size=1), and convert again"
        )
    if any(found.open_axes):
        advice.append(
            f"the input ({shape}) has an open dimension (-1) besides the batch, most likely the window's "
            "length: fix it in the model's Input and convert again"
        )
    if found.open_inside and not found.open_axes:
        advice.append(
            "a dimension inside the model is open (-1): fix all shapes of its Input, batch included"
        )
    return advice


def _speed(found: Findings) -> list[str]:
    count = sum(found.operators.values())
    if found.kind == "WHILE":
        better = {
            "LSTM": "edge-ad's forms of an LSTM have none",
            "GRU": "unroll=True avoids it, and is faster for small layers; edge-ad has no form of a GRU",
        }.get(found.cell, "unroll=True avoids it, and is faster for small layers")
        return [f"the {found.cell} is a WHILE loop: small, but each step pays for the loop; {better}"]
    if found.kind != "unrolled" or count <= _MANY_OPERATORS:
        return []
    if found.is_bare:
        return [f"{count} operators, as many again for each step: a shorter window is faster and smaller"]
    rewritten = (
        f"{count} operators: the input of a layer can be projected for all steps at once, the repeated code "
        "once, and the first step needs no recurrent product"
    )
    if found.cell == "LSTM":
        option = "--precisions int8-full" if found.is_integer else "--optimize speed"
        return [f"{rewritten} (edge-ad's {option})"]
    return [f"{rewritten}; edge-ad does this for LSTMs, not for a {found.cell}"]


def _size(found: Findings) -> list[str]:
    causes = found.bytes_by_cause
    size = sum(causes.values())
    advice = []
    if causes["names"] > size / 20:
        share = causes["names"] / size
        advice.append(f"names take {share:.0%} of the file; an interpreter needs none of them")
    stored, different = found.quantization_tables
    if causes["quantization"] > size / 10 and different < stored:
        share = causes["quantization"] / size
        advice.append(
            f"{stored} quantization tables take {share:.0%} of the file, and only {different} differ: "
            "tensors can share one"
        )
    if causes["tensors"] + causes["operators"] > causes["weights"]:
        advice.append(f"tensors and operators outweigh the weights: {_fewer_operators(found)}")
    return advice


def _fewer_operators(found: Findings) -> str:
    if found.cell == "LSTM" and found.kind in ("WHILE", "unrolled"):
        if found.is_integer:
            return (
                "an LSTM on integers alone must be unrolled; where floats are allowed, the fused form with "
                "int8 weights (edge-ad's --precisions int8) is far smaller"
            )
        return "for so small a model the fused form (edge-ad's --optimize size) is smallest"
    if found.cell and found.kind == "unrolled":
        return "a WHILE loop (unroll=False, batch 1) needs fewer of them, and is slower for small layers"
    return "fewer layers would make it smaller, narrower ones hardly"


def _state(found: Findings) -> list[str]:
    if found.kind != "fused":
        return []
    return ["fused LSTMs keep their state: reset the variables before every window"]
