"""The comparison table, as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from edge_ad.toolchain.report.summary import Row, Summary

_HEADER = (
    *("model", "variant", "rule", "F1", "FAR %", "MAR %", "size KB"),
    *("F1 drop %", "size red. %", "median us"),
)


def comparison_table(summary: Summary) -> str:
    """Every model and variant under both rules; drops are against the largest model in float32."""
    rows: list[Sequence[str]] = [_HEADER]
    for row in summary.rows:
        reference = _reference(summary, row.rule)
        rows.append(
            (
                *(row.model, row.variant, row.rule),
                *(_number(row.f1, 3), _percent(row.far), _percent(row.mar)),
                f"{row.size_bytes / 1000:.1f}",
                _percent(_drop(reference.f1, row.f1)),
                _percent(_drop(reference.size_bytes, row.size_bytes)),
                f"{row.latency_p50_us:.0f}",
            )
        )
    notes = "\n".join(f"* {caveat}" for caveat in summary.caveats)
    return f"{align(rows, left=3)}\n\n{notes}\n"


def align(rows: Sequence[Sequence[str]], left: int) -> str:
    """Text columns of equal width; the first `left` ones are left-aligned, numbers right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("-" * w for w in widths), *map(line, rows[1:])])


def _reference(summary: Summary, rule: str) -> Row:
    return next(row for row in summary.rows if row.rule == rule)


def _drop(reference: float | None, value: float | None) -> float | None:
    if reference is None or value is None or reference == 0:
        return None
    return (reference - value) / reference


def _percent(fraction: float | None) -> str:
    # adding zero turns -0.0 into 0.0
    return "-" if fraction is None else f"{round(100 * fraction, 1) + 0.0:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
