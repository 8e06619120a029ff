"""What the durations and counts themselves tell against trusting them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edge_ad.bench.figures import disagreement, drift, enough_for, spread
from edge_ad.bench.finding import Finding
from edge_ad.bench.results import DECISION, InstructionCount, Result

MOST_SPREAD = 0.20
"""Width of the middle half of a process's durations, as a share of their median."""
MOST_DRIFT = 0.05
"""Between the medians of the two halves of a process's durations, as a share of the first."""
MOST_DISAGREEMENT = 0.10
"""Between the medians of the fastest and the slowest process, as a share of the former."""
MOST_COUNT_SPREAD = 0.01
"""Between the largest and the smallest count of instructions per window, as a share of the latter."""
_TAIL = 99.9
_LISTED = 3


def measurement_findings(
    results: Sequence[Result], instructions: Sequence[InstructionCount]
) -> Iterator[Finding]:
    """Findings from the durations of sample to decision, and from counts of instructions."""
    measured = [result for result in results if result.series_ns(DECISION)]
    yield from _worst(
        "spread",
        measured,
        lambda series: max(map(spread, series)),
        MOST_SPREAD,
        "durations differ much from window to window: the middle half is {share} of the median wide",
        ("stop what else runs, set the governor to performance, and measure again",),
    )
    yield from _worst(
        "drift",
        measured,
        lambda series: max(map(drift, series)),
        MOST_DRIFT,
        "durations changed while they were measured: by {share} from the first half to the second",
        ("wait until the temperature no longer changes, and measure again with a larger --windows",),
    )
    yield from _worst(
        "processes",
        measured,
        disagreement,
        MOST_DISAGREEMENT,
        "one process was faster than another: their medians differ by {share}",
        ("measure again with --processes 10; a comparison takes it into account",),
    )
    yield from _warmup(measured)
    yield from _few(measured)
    yield from _counts(instructions)


def _worst(
    check: str,
    measured: Sequence[Result],
    measure: Callable[[Sequence[Sequence[int]]], float],
    most: float,
    text: str,
    fix: tuple[str, ...],
) -> Iterator[Finding]:
    """One finding for all results whose measure is above `most`, with the largest first."""
    found = {result.title: measure(result.series_ns(DECISION)) for result in measured}
    above = sorted(((value, title) for title, value in found.items() if value > most), reverse=True)
    if above:
        listed = _listed([f"{title} ({value:.0%})" for value, title in above])
        yield Finding(check, "doubt", f"{text.format(share=f'up to {above[0][0]:.0%}')}: {listed}", fix)


def _warmup(measured: Sequence[Result]) -> Iterator[Finding]:
    cold = [
        result.title
        for result in measured
        if not all(found.is_stable for run in result.runs for found in run.measurements)
    ]
    if cold:
        yield Finding(
            "warm-up",
            "doubt",
            f"durations had not become stable when the warm-up was ended: {_listed(cold)}",
            ("stop what else runs, and measure again",),
        )


def _few(measured: Sequence[Result]) -> Iterator[Finding]:
    counts = {result.title: sum(map(len, result.series_ns(DECISION))) for result in measured}
    few = [title for title, count in counts.items() if not enough_for(count, _TAIL)]
    if few:
        yield Finding(
            "few-windows",
            "note",
            f"{min(counts.values())} windows are too few for a p99.9, which takes 10,000: "
            f"{_listed(few) if len(few) < len(counts) or len(few) == 1 else 'all results'}",
            ("edge-ad bench BUNDLE --windows 10000 --time-limit 600",),
        )


def _counts(instructions: Sequence[InstructionCount]) -> Iterator[Finding]:
    above = []
    for found in instructions:
        counts = [] if found.problem else found.per_window()
        if counts and max(counts) > (1 + MOST_COUNT_SPREAD) * min(counts):
            above.append(f"{found.title} ({max(counts) / max(min(counts), 1.0) - 1:.1%})")
    if above:
        yield Finding(
            "instruction-spread",
            "doubt",
            f"instructions per window differ by more than {MOST_COUNT_SPREAD:.0%}: {_listed(above)}",
            ("count again with a larger --windows",),
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
