"""The table at the end, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pi_tests.compare import Comparison, Difference
from pi_tests.environments import Environment
from pi_tests.install import Size
from pi_tests.suite import Counts


@dataclass(frozen=True)
class Result:
    """What came out for an environment, as far as it got."""

    environment: Environment
    skipped: str = ""
    """Why it was not made; empty where it was."""
    size: Size | None = None
    counts: Counts | None = None
    comparison: Comparison | None = None
    seconds: float = 0.0
    complaints: tuple[str, ...] = ()
    code: int = 0
    """Exit code of what failed."""


_HEADER = (
    *("environment", "Python", "engine", "MB", "limit", "tests", "variant", "windows", "alarms≠"),
    *("beyond", "worst", "where", ">10 UCL", "worst", "same bits", "golden"),
)


def table(results: Iterable[Result]) -> str:
    """A line for every environment and variant."""
    rows: list[Sequence[str]] = [_HEADER]
    for result in results:
        environment = result.environment
        if result.skipped:
            continue
        comparison = result.comparison
        engine = " ".join(comparison.engine.split()[:2]) if comparison else environment.engine
        head = (
            environment.name,
            comparison.python if comparison else "",
            engine,
            f"{result.size.total_mb:.0f}" if result.size else "",
            f"{environment.largest_mb:g}" if environment.largest_mb else "",
            f"{result.counts.passed} + {result.counts.skipped} skipped" if result.counts else "",
        )
        bodies = [_body(result, d) for d in comparison.differences] if comparison else [("",) * 10]
        rows += [(*head, *bodies[0]), *(("",) * len(head) + body for body in bodies[1:])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _body(result: Result, difference: Difference) -> tuple[str, ...]:
    comparison = result.comparison
    assert comparison is not None
    test = next(test for test in comparison.verifications if test.variant == difference.variant)
    held = difference.variant not in result.environment.leeway.not_held
    return (
        difference.variant + ("" if held else " (only told)"),
        str(difference.windows),
        str(difference.alarms),
        str(difference.beyond),
        f"{difference.worst:.1e}",
        difference.where,
        f"{difference.far_beyond} of {difference.far_windows}",
        f"{difference.far_worst:.1e}",
        f"{difference.identical:.0%}",
        f"{test.bundles - len(test.refused)} of {test.bundles}",
    )


LEGEND = """\
MB: on disk, in 10^6 bytes; without pip, with the bytecode of what was imported, with Debian's numpy where
that is used. windows: of all recordings, training spans included. alarms≠: rows on which one alarms and the
workstation does not, or the other way round. beyond: scores up to 10 UCLs further from the workstation's than
the manifest's tolerance, relative to the larger of score and UCL; the worst of them and where. >10 UCL: the
same of higher scores, which is told and not held to anything. golden: bundles whose golden windows pass."""


def notes(results: Iterable[Result]) -> list[str]:
    """What the table has no room for."""
    lines = []
    for result in results:
        environment = result.environment
        if result.skipped:
            lines.append(f"{environment.name}: SKIPPED, {result.skipped}")
        if result.size is not None and result.size.system_packages:
            lines.append(f"{environment.name}: {result.size.text()}")
        if environment.leeway.why and result.comparison is not None:
            lines.append(f"{environment.name}: known: {environment.leeway.why}")
    return lines


def write(path: Path, wheel_bytes: int, results: Iterable[Result]) -> None:
    """Everything, as JSON."""
    record = {"wheel_bytes": wheel_bytes, "environments": [asdict(result) for result in results]}
    path.write_text(json.dumps(record, indent=1) + "\n")
