"""The gate's verdicts, as plain text."""

from __future__ import annotations

from edge_ad.bundle.manifest import CheckEntry
from edge_ad.text import align
from edge_ad.toolchain.gate import GateRecord


def verdict_table(record: GateRecord) -> str:
    """Every figure the gate looked at, with its limit, and why a limit is not the one that was set."""
    rows = [("subject", "against", "rule", "figure", "result", "value", "interval", "limit")]
    for verdict in record.verdicts:
        for check in verdict.checks:
            rows.append(
                (
                    *(verdict.subject, check.reference, check.rule, check.figure),
                    "ok" if check.passed else "FAILED",
                    *(f"{check.value:.4g}", _interval(check), f"{check.limit:.4g}"),
                )
            )
    notes = [f"{v.subject} against {v.reference}: {v.note}." for v in record.verdicts if v.note]
    if not record.labelled:
        notes.append("No labels: only scores and agreement were judged.")
    below = "".join(f"\n{note}" for note in notes)
    return f"{align(rows, left=5)}\n{below}\n{'gate passed' if record.passed else 'gate failed'}\n"


def _interval(check: CheckEntry) -> str:
    return "" if check.high is None else f"{check.low:.4g} … {check.high:.4g}"
