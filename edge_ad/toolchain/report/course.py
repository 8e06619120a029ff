"""A stream over time: scores, contributions, alarms and what is known of each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.episodes import episodes
from edge_ad.toolchain.report.chart import Chart, Limit, Series, Span, SpanKind, styles
from edge_ad.toolchain.report.thinning import MOST_ROWS, joined, shown_rows

_STEEP = 5.0
"""From this multiple of the UCL on a linear axis hides what happens near it."""
_MOST_VALUES = 200_000
"""In a chart: with very many channels fewer rows are drawn, so that a page stays small."""
_FIRST_SHOWN = 4
"""Channels that a chart shows until it is told otherwise."""


@dataclass(frozen=True)
class Course:
    """What happened, row by row. Scores and contributions are multiples of the UCL."""

    name: str
    """Of the asset."""
    channels: Sequence[str]
    times: NDArray[np.float64]
    """`(n,)` seconds since the epoch, rising."""
    ratios: dict[str, NDArray[np.float64]]
    """Form -> `(n,)` scores over its UCL, NaN where there is none; the form that decides comes first."""
    contributions: NDArray[np.floating]
    """`(n, n_channels)` of the first form."""
    alarms: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    labels: NDArray[np.bool_] | None
    in_train: NDArray[np.bool_]
    """`(n,)`: the rows that the models were trained on; none where that was another recording."""
    period_s: float
    """A row stands for so long."""
    score: str
    """What makes a score of the form that decides, in words."""


def timeline(course: Course) -> Chart:
    """Scores of every form over time, with the limit, the labels and the alarms of the first."""
    deciding = next(iter(course.ratios))
    scores = course.ratios[deciding]
    rows = _shown(course, scores)
    series = tuple(
        Series(name, ratios[rows], *style, shown=name == deciding)
        for (name, ratios), style in zip(course.ratios.items(), styles(len(course.ratios)), strict=True)
    )
    highest = float(np.nanmax(scores, initial=0))
    found = [_count(len(episodes(course.alarms)), "alarm episode")]
    if course.labels is not None:
        found.append(_count(len(episodes(course.labels)), "labelled anomaly"))
    return Chart(
        name=f"{course.name}-timeline",
        title="Score over time",
        text=f"Score of {course.name} by {deciding} over {len(course.times)} rows, as a multiple of its UCL. "
        f"It is the {course.score}, and rises to {highest:.3g} times the UCL. {' and '.join(found)}, listed "
        "below.",
        x_label="time (UTC)",
        y_label="score / UCL",
        x=course.times[rows],
        series=series,
        levels=(Limit(1.0, "UCL"),),
        spans=tuple(_spans(course)),
        x_scale="time",
        y_scale="log" if highest > _STEEP else "linear",
        group=course.name,
    )


def contributions(course: Course) -> Chart:
    """Each channel's part of the score over time; the largest parts are shown at first."""
    deciding = next(iter(course.ratios))
    rows = _shown(course, course.ratios[deciding])
    parts = course.contributions[rows].astype(np.float64)
    sums = np.nan_to_num(course.contributions[~course.in_train]).sum(axis=0, dtype=np.float64)
    first = set(np.argsort(-sums, kind="stable")[:_FIRST_SHOWN].tolist())
    looks = styles(len(course.channels), dashed=False)
    series = tuple(
        Series(name, parts[:, i], *style, shown=i in first)
        for i, (name, style) in enumerate(zip(course.channels, looks, strict=True))
    )
    share = sums.max() / sums.sum() if sums.sum() else 0.0
    where = "Over all rows but those for training" if course.in_train.any() else "Over all rows"
    return Chart(
        name=f"{course.name}-contributions",
        title="Contribution of each channel",
        text=f"Each channel's part of the score of {course.name} by {deciding}, over the UCL; the parts of a "
        f"moment add up to its score. {where} {course.channels[int(sums.argmax())]} contributes most, "
        f"{share:.0%} of all.",
        x_label="time (UTC)",
        y_label="contribution / UCL",
        x=course.times[rows],
        series=series,
        spans=tuple(_spans(course)),
        x_scale="time",
        group=course.name,
    )


def _shown(course: Course, scores: NDArray[np.float64]) -> NDArray[np.int64]:
    most = _MOST_VALUES // max(len(course.channels), len(course.ratios))
    return shown_rows(scores, max(100, min(MOST_ROWS, most)))


def _spans(course: Course) -> Iterator[Span]:
    times = course.times

    def runs(flags: NDArray[np.bool_], kind: SpanKind) -> Iterator[Span]:
        found = [(float(times[a]), float(times[b - 1]) + course.period_s) for a, b in episodes(flags)]
        for start, end in joined(found):
            yield Span(start, end, kind)

    if len(episodes(course.in_train)) == 1:  # drawn at random they would be a fence before the scores
        yield from runs(course.in_train, "training")
    if course.labels is not None:
        yield from runs(course.labels, "labelled")
    yield from runs(course.alarms, "alarm")
    yield from runs(course.unknown, "unknown")


def _count(n: int, one: str) -> str:
    if n == 1:
        return f"1 {one}"
    return f"{n} {one.removesuffix('y')}ies" if one.endswith("y") else f"{n} {one}s"
