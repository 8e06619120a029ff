"""A model explained, as plain text."""

from __future__ import annotations

from edge_ad.text import align, printable
from edge_ad.toolchain.convert.explain import Explanation
from edge_ad.toolchain.convert.explain_keras import KerasExplanation, LayerEntry


def explanation_text(found: Explanation | KerasExplanation, what: str) -> str:
    """A few lines per model; `what` names it."""
    lines = _tflite_lines(found) if isinstance(found, Explanation) else _keras_lines(found)
    return "\n".join([what, *(f"  {printable(line)}" for line in lines)])


def _tflite_lines(found: Explanation) -> list[str]:
    operators = ", ".join(f"{count} {name}" for name, count in found.operators.items())
    causes = ", ".join(
        f"{cause} {size / 1000:.1f} KB ({size / found.size_bytes:.0%})"
        for cause, size in found.bytes_by_cause.items()
        if size
    )
    shapes = ", with open dimensions" if found.dynamic_shapes else ""
    lines = [
        f"{found.kind}{shapes}: {found.size_bytes / 1000:.1f} KB, "
        f"{found.multiply_adds / 1000:.1f} thousand multiply-adds per window",
        f"operators: {operators}",
    ]
    if found.not_counted:
        lines.append(f"not counted: {', '.join(found.not_counted)}")
    return [*lines, f"bytes: {causes}", *(f"* {advice}" for advice in found.advice)]


def _keras_lines(found: KerasExplanation) -> list[str]:
    lines = [f"{len(found.layers)} layers"]
    if any(layer.parameters is not None for layer in found.layers):
        parameters = sum(layer.parameters or 0 for layer in found.layers)
        lines[0] += (
            f", {parameters} parameters, {found.multiply_adds / 1000:.1f} thousand multiply-adds per window"
        )
        if found.not_counted:
            lines.append(f"not counted: {', '.join(found.not_counted)}")
    rows: list[tuple[str, ...]] = [
        ("layer", "type", "output", "parameters", "multiply-adds"),
        ("(input)", "", _shape(found.input_shape), "", ""),
        *map(_layer_row, found.layers),
    ]
    lines += align(rows, left=3).splitlines()
    notes = [f"* {note}" for note in found.notes]
    if found.problems:
        problems = [f"* {problem}" for problem in found.problems]
        return [*lines, "cannot be converted by edge-ad:", *problems, *notes]
    rows = [("as edge-ad would convert it", "KB", "weights KB", "operators", "multiply-adds")]
    for form in found.forms:
        model = form.explanation
        about = "about " if form.is_estimate else ""
        rows.append(
            (
                f"{form.form} {form.precision}",
                f"{about}{model.size_bytes / 1000:.1f}",
                f"{model.bytes_by_cause['weights'] / 1000:.1f}",
                str(sum(model.operators.values())),
                str(model.multiply_adds),
            )
        )
    return [*lines, *align(rows, left=1).splitlines(), *notes]


def _layer_row(layer: LayerEntry) -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        _shape(layer.output_shape),
        _number(layer.parameters),
        _number(layer.multiply_adds),
    )


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return "?" if shape is None else f"({', '.join(map(str, shape))})"
