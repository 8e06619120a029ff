"""Durations as charts and tables: how they are spread, which stage takes them, and the deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ad.bench.figures import PERCENTILES, enough_for
from edge_ad.text import number, percent
from edge_ad.toolchain.report.chart import Chart, Limit, Series, styles
from edge_ad.toolchain.report.markup import Html, bar, table

Durations = NDArray[np.int64]
"""`(n,)` nanoseconds, in the order they were taken."""
_PER_DECADE = 24
_MOST_STEPS = 400


def histogram(name: str, title: str, durations: Mapping[str, Durations], shown: Sequence[str]) -> Chart:
    """Share of the decisions by how long they took."""
    edges = _edges(durations)
    series = tuple(
        Series(label, np.append(heights, heights[-1]), *style, "steps", shown=label in shown)
        for (label, heights), style in zip(
            ((label, _heights(values, edges)) for label, values in durations.items()),
            styles(len(durations)),
            strict=True,
        )
    )
    return Chart(
        name=name,
        title=title,
        text=f"{title}, in % of the windows. {_medians({label: durations[label] for label in shown})}",
        x_label="microseconds",
        y_label="% of windows",
        x=edges,
        series=series,
        x_scale="log",
    )


def deadline_view(
    name: str, durations: Mapping[str, Durations], deadline_s: float, shown: Sequence[str]
) -> Chart:
    """Share of the decisions that took longer than so much: where a line ends is its longest."""
    largest = max(float(values.max(initial=1)) for values in durations.values()) / 1000
    smallest = min(float(values.min(initial=10**9)) for values in durations.values()) / 1000
    x = np.geomspace(max(smallest, 0.1) * 0.9, max(largest * 1.1, deadline_s * 1e6 * 1.3), _MOST_STEPS)
    late = {label: int((values > deadline_s * 1e9).sum()) for label, values in durations.items()}
    series = tuple(
        Series(label, _slower(values, x), *style, "steps", shown=label in shown)
        for (label, values), style in zip(durations.items(), styles(len(durations)), strict=True)
    )
    told = "; ".join(f"{label}: {n} of {len(durations[label])}" for label, n in late.items() if n)
    return Chart(
        name=name,
        title="Against the deadline",
        text=f"% of the decisions that took longer than the x axis says. The deadline is "
        f"{deadline_s * 1000:g} ms. Later than it: {told or 'none'}.",
        x_label="microseconds",
        y_label="% that took longer",
        x=x,
        series=series,
        marks=(Limit(deadline_s * 1e6, "deadline"),),
        x_scale="log",
        y_scale="log",
    )


def stage_table(caption: str, stages: Mapping[str, Durations], total: Durations) -> Html:
    """Percentiles of every stage, and its share of the whole way."""
    mean = float(total.mean()) if len(total) else 0.0
    rows = []
    for name, values in (*stages.items(), ("whole way", total)):
        share = float(values.mean()) / mean if mean and len(values) else None
        rows.append((name, *figures(values), bar(percent(share), share)))
    header = ("stage, µs", *(f"p{p:g}" for p in PERCENTILES), "max", "% of the mean")
    return table(header, rows, caption=caption)


def figures(values: Durations) -> list[str]:
    """Percentiles and the maximum in microseconds; `-` for one that so few values do not tell."""
    if not len(values):
        return ["-"] * (len(PERCENTILES) + 1)
    cells = [
        number(value / 1000 if enough_for(len(values), p) else None, 1)
        for p, value in zip(PERCENTILES, np.percentile(values, PERCENTILES).tolist(), strict=True)
    ]
    return [*cells, number(float(values.max()) / 1000, 1)]


def _edges(durations: Mapping[str, Durations]) -> NDArray[np.float64]:
    """Logarithmic ones, round about all but the rarest, which the deadline's chart shows."""
    values = np.concatenate([*durations.values(), np.array([1000])]) / 1000
    low, high = np.percentile(values, (0, 99.9))
    low, high = max(float(low), 0.1) * 0.95, max(float(high), 0.2) * 1.1
    n = max(12, int(_PER_DECADE * np.log10(high / low)))
    return np.geomspace(low, high, n + 1)


def _heights(values: Durations, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts, _ = np.histogram(np.clip(values / 1000, edges[0], edges[-1]), edges)
    heights: NDArray[np.float64] = 100 * counts / max(1, len(values))
    return heights


def _slower(values: Durations, x_us: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where none is slower: a logarithmic axis has no 0."""
    n_slower = len(values) - np.searchsorted(np.sort(values), x_us * 1000, "right")
    return np.where(n_slower > 0, 100 * n_slower / max(1, len(values)), np.nan)


def _medians(durations: Mapping[str, Durations]) -> str:
    told = [
        f"{label} {np.median(values) / 1000:.3g} µs" for label, values in durations.items() if len(values)
    ]
    return f"Medians: {', '.join(told)}." if told else "There is none."
