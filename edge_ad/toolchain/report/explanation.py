"""A model explained, as plain text."""

from __future__ import annotations

from edge_ad.toolchain.convert.explain import Explanation


def explanation_text(found: Explanation, what: str) -> str:
    """A few lines per model."""
    operators = ", ".join(f"{count} {name}" for name, count in found.operators.items())
    causes = ", ".join(
        f"{cause} {size / 1000:.1f} KB ({size / found.size_bytes:.0%})"
        for cause, size in found.bytes_by_cause.items()
        if size
    )
    shapes = ", with open dimensions" if found.dynamic_shapes else ""
    lines = [
        what,
        f"  {found.kind}{shapes}: {found.size_bytes / 1000:.1f} KB, "
        f"{found.multiply_adds / 1000:.1f} thousand multiply-adds per window",
        f"  operators: {operators}",
        f"  bytes: {causes}",
    ]
    lines += [f"  * {advice}" for advice in found.advice]
    return "\n".join(lines)
