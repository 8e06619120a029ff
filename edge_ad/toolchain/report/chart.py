"""What a chart shows, whoever draws it: the page in a browser, or a picture for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8F8F8F")
"""Okabe and Ito, "Color Universal Design" (2008), which the colour-blind tell apart; without its yellow, too
faint on white, and with a grey."""
DASHES: tuple[tuple[int, ...], ...] = ((), (7, 3), (2, 2), (9, 3, 2, 3))
"""Lengths of strokes and gaps in points. A series that has the colour of an earlier one has another dash."""
_DIGITS = 5
"""Significant ones that a page keeps of a value."""

SpanKind = Literal["training", "labelled", "alarm", "unknown"]


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    label: str
    values: NDArray[np.float64]
    """`(n,)`; NaN leaves a gap."""
    colour: int
    """Place in `PALETTE`."""
    dash: int = 0
    """Place in `DASHES`."""
    kind: Literal["line", "steps", "points"] = "line"
    """`steps`: a value holds from its x to the next one's."""
    shown: bool = True
    """Whether it is drawn at first; a reader of the page can change that."""

    def __post_init__(self) -> None:
        if not (0 <= self.colour < len(PALETTE) and 0 <= self.dash < len(DASHES)):
            raise ValueError(f"{self.label}: there is no colour {self.colour} or dash {self.dash}")


@dataclass(frozen=True)
class Limit:
    """A value that others are to be seen against: a line across the chart."""

    value: float
    label: str


@dataclass(frozen=True)
class Span:
    """A stretch of the x axis that means something."""

    start: float
    end: float
    kind: SpanKind


@dataclass(frozen=True)
class Chart:
    """A chart with everything that is written on it."""

    name: str
    """Of its files; unlike those of others in a report."""
    title: str
    text: str
    """What is to be seen, in words: for those who cannot see it."""
    x_label: str
    y_label: str
    x: NDArray[np.float64]
    """`(n,)`, rising: numbers, or seconds since the epoch."""
    series: tuple[Series, ...]
    levels: tuple[Limit, ...] = ()
    """Limits on the y axis."""
    marks: tuple[Limit, ...] = ()
    """Limits on the x axis."""
    spans: tuple[Span, ...] = ()
    x_scale: Literal["linear", "log", "time"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    group: str = ""
    """Charts of a group, other than the empty one, have their x axis in common and zoom together."""

    def __post_init__(self) -> None:
        if any(len(series.values) != len(self.x) for series in self.series):
            raise ValueError(f"{self.name}: a series is not as long as the x axis")


def styles(n: int, *, dashed: bool = True) -> list[tuple[int, int]]:
    """Colour and dash for so many series, no two alike among the first thirty-two.

    Not `dashed` they differ in colour first, as lines do that are too ragged for a dash to be seen.
    """
    colours = len(PALETTE)
    return [(i % colours, (i // colours + (i if dashed else 0)) % len(DASHES)) for i in range(n)]


def chart_json(chart: Chart) -> dict[str, Any]:
    """The chart as the page's script reads it."""
    return {
        "title": chart.title,
        "x": rounded(chart.x, 13 if chart.x_scale == "time" else _DIGITS + 2),
        "xLabel": chart.x_label,
        "yLabel": chart.y_label,
        "xScale": chart.x_scale,
        "yScale": chart.y_scale,
        "group": chart.group,
        "series": [
            {
                "label": series.label,
                "values": rounded(series.values, _DIGITS),
                "colour": series.colour,
                "dash": series.dash,
                "kind": series.kind,
                "shown": series.shown,
            }
            for series in chart.series
        ],
        "levels": [[level.value, level.label] for level in chart.levels],
        "marks": [[mark.value, mark.label] for mark in chart.marks],
        "spans": [[span.start, span.end, span.kind] for span in chart.spans],
    }


def rounded(values: NDArray[np.float64], digits: int) -> list[float | int | None]:
    """Values to so many significant digits, whole ones without a point; None for what is no number."""
    return [_short(value, digits) for value in values.tolist()]


def _short(value: float, digits: int) -> float | int | None:
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
