"""A comparison as text for people."""

from __future__ import annotations

from edge_ad.bench.bootstrap import CONFIDENCE, Ratio
from edge_ad.bench.comparison import Comparison
from edge_ad.text import align

_NONE = "="


def comparison_report(comparison: Comparison) -> str:
    """Ratios B/A with their intervals; what is no difference is marked."""
    parts = []
    for title, lines in (
        ("unlike machines", comparison.unlike),
        ("also different", comparison.remarks),
        ("not to be trusted", comparison.untrusted),
        ("only in A", comparison.only_a),
        ("only in B", comparison.only_b),
    ):
        if lines:
            parts.append("\n".join([f"{title}:", *(f"  {line}" for line in lines)]))
    if comparison.rows:
        heads = ["engine", "variant", "threads", "B/A of", "p50", "p95", "p99"]
        rows = [
            [row.engine, row.variant, str(row.threads), row.name, *map(_cell, (row.p50, row.p95, row.p99))]
            for row in comparison.rows
        ]
        parts.append(align([heads, *rows], 4))
    if comparison.counts:
        heads = ["engine", "variant", "of", "B/A of instructions/window"]
        counts = [[row.engine, row.variant, row.architecture, _cell(row.ratio)] for row in comparison.counts]
        parts.append(align([heads, *counts], 3))
    parts.append(
        f"{_NONE} no difference: 1 lies within the {CONFIDENCE:.0%} interval (of instructions: between the "
        "extremes of what was counted)"
    )
    return "\n\n".join(parts)


def _cell(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    mark = " " if ratio.is_difference else _NONE
    return f"{mark} {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
