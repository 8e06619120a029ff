"""The comparison table, as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from edge_ad.text import align, number, percent
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
                *(number(row.f1, 3), percent(row.far), percent(row.mar)),
                f"{row.size_bytes / 1000:.1f}",
                percent(_drop(reference.f1, row.f1)),
                percent(_drop(reference.size_bytes, row.size_bytes)),
                f"{row.latency_p50_us:.0f}",
            )
        )
    notes = "\n".join(f"* {caveat}" for caveat in summary.caveats)
    return f"{align(rows, left=3)}\n\n{notes}\n"


def _reference(summary: Summary, rule: str) -> Row:
    return next(row for row in summary.rows if row.rule == rule)


def _drop(reference: float | None, value: float | None) -> float | None:
    if reference is None or value is None or reference == 0:
        return None
    return (reference - value) / reference
