"""Scores as a distribution: what share of the windows scores how much."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.report.chart import Chart, Limit, Series

_LOWEST, _HIGHEST = 0.02, 1000.0
"""Multiples of the UCL; what lies beyond counts as that much."""
N_BINS = 60


def bin_edges(classes: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Logarithmic ones, round about everything."""
    values = np.concatenate([*classes.values(), [1.0]])
    values = np.clip(values, _LOWEST, _HIGHEST)
    return np.geomspace(values.min() * 0.97, values.max() * 1.03, N_BINS + 1)


def shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of the values in each bin."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    percent: NDArray[np.float64] = 100 * counts / max(1, counts.sum())
    return percent


def distribution_chart(name: str, of: str, score: str, classes: Mapping[str, NDArray[np.float64]]) -> Chart:
    """`classes` are scores over their UCL, by what they are of; `score` says what makes one."""
    edges = bin_edges(classes)
    heights = {label: shares(values, edges) for label, values in classes.items() if len(values)}
    series = tuple(
        Series(label, np.append(height, height[-1]), i, i, "steps")
        for i, (label, height) in enumerate(heights.items())
    )
    above = "; ".join(
        f"{label}: {(values > 1).mean():.1%} above the UCL, median {np.median(values):.2g} of it"
        for label, values in classes.items()
        if len(values)
    )
    return Chart(
        name=name,
        title="Distribution of scores",
        text=f"Scores {of}, each the {score}, as multiples of the UCL. {above}.",
        x_label="score / UCL",
        y_label="% of windows",
        x=edges,
        series=series,
        marks=(Limit(1.0, "UCL"),),
        x_scale="log",
    )
