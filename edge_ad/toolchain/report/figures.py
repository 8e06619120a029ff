"""Charts as files for papers and slides: PNG and SVG, drawn by matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import dates, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from edge_ad.files import make_folder, write_atomic
from edge_ad.text import printable
from edge_ad.toolchain.report.asset_charts import asset_charts
from edge_ad.toolchain.report.chart import DASHES, PALETTE, Chart, SpanKind
from edge_ad.toolchain.report.facts import asset_facts, default_variant
from edge_ad.toolchain.report.overview import Overview
from edge_ad.toolchain.workspace import BuildPlan, Workspace

_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6eaee",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "edge-ad",
    # a name from a recording is no formula
    "text.parse_math": False,
}
_SHADES: dict[SpanKind, tuple[str, float]] = {"training": ("#78828c", 0.16), "labelled": ("#cc79a7", 0.30)}
_STRIPS: dict[SpanKind, tuple[str, float]] = {"alarm": ("#d55e00", 0.03), "unknown": ("#8f8f8f", 0.012)}
_BANDS: dict[SpanKind, str] = {
    "training": "training",
    "labelled": "labelled as anomalous",
    "alarm": "alarm",
    "unknown": "unknown",
}
_SIZE = (7.2, 3.2)
"""Inches: the width of a page's text."""
_DPI = 200


def draw_build(workspace: Workspace, plan: BuildPlan, folder: Path) -> int:
    """Write every chart of a build's report into a folder, as PNG and SVG; returns how many files.

    Raises OutputError, and what gathering the facts raises.
    """
    overview, n = Overview(default_variant(plan)), 0
    for asset in plan.assets:
        facts = asset_facts(workspace, plan, asset)
        overview.add(facts)
        n += draw(asset_charts(facts), folder)
    return n + draw(overview.charts(), folder)


def draw(charts: Iterable[Chart], folder: Path) -> int:
    """Write charts into a folder, as PNG and SVG; returns how many files. Raises OutputError."""
    make_folder(folder)
    return sum(save(chart, folder) for chart in charts)


def save(chart: Chart, folder: Path) -> int:
    """Write one chart twice; equal charts give equal bytes. Raises OutputError."""
    kinds: dict[str, dict[str, Any]] = {
        "png": {"dpi": _DPI, "metadata": {"Software": None, "Description": chart.text}},
        "svg": {"metadata": {"Date": None, "Title": chart.title, "Description": chart.text}},
    }
    with rc_context(_STYLE), warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes, and written right in the SVG
        warnings.filterwarnings("ignore", "Glyph")
        figure = drawn(chart)
        for kind, options in kinds.items():
            stream = io.BytesIO()
            figure.savefig(stream, format=kind, **options)
            write_atomic(folder / f"{chart.name}.{kind}", stream.getvalue())
    return len(kinds)


def drawn(chart: Chart) -> Figure:
    """The chart as matplotlib's figure: what the page shows at first."""
    figure = Figure(_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if chart.x_scale == "time":
        locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    elif chart.x_scale == "log":
        axes.set_xscale("log")
        _plain_numbers(axes.xaxis)
    if chart.y_scale == "log":
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
    named = _draw_spans(axes, chart) + _draw_series(axes, chart)
    _draw_limits(axes, chart)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label)
    axes.margins(x=0)
    axes.set_title(printable(chart.title), loc="left", fontsize=10, fontweight="bold")
    handles, labels = [handle for handle, _ in named], [printable(label) for _, label in named]
    axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    return figure


def _draw_spans(axes: Axes, chart: Chart) -> list[tuple[Any, str]]:
    named: dict[SpanKind, tuple[Any, str]] = {}
    for span in chart.spans:
        start, end = _places(np.array([span.start, span.end]), chart)
        if span.kind in _SHADES:
            colour, alpha = _SHADES[span.kind]
            drawn = axes.axvspan(start, end, color=colour, alpha=alpha, linewidth=0)
        else:
            colour, height = _STRIPS[span.kind]
            drawn = axes.axvspan(start, end, 0, height, color=colour, linewidth=0)
        named.setdefault(span.kind, (drawn, _BANDS[span.kind]))
    return list(named.values())


def _draw_series(axes: Axes, chart: Chart) -> list[tuple[Any, str]]:
    named = []
    x = _places(chart.x, chart)
    for series in chart.series:
        if not series.shown:
            continue
        style: dict[str, Any] = {"color": PALETTE[series.colour], "linewidth": 1.1}
        if series.kind == "points":
            style |= {"linestyle": "", "marker": "o", "markersize": 3}
        else:
            dash = DASHES[series.dash]
            style["linestyle"] = (0, dash) if dash else "-"
            style["drawstyle"] = "steps-post" if series.kind == "steps" else "default"
        (line,) = axes.plot(x, series.values, **style)
        named.append((line, series.label))
    return named


def _draw_limits(axes: Axes, chart: Chart) -> None:
    line: dict[str, Any] = {"color": "#13181d", "linewidth": 1, "linestyle": (0, (5, 3))}
    text: dict[str, Any] = {"textcoords": "offset points", "fontweight": "bold"}
    for level in chart.levels:
        axes.axhline(level.value, **line)
        axes.annotate(level.label, (0, level.value), (3, 2), xycoords=("axes fraction", "data"), **text)
    for mark in chart.marks:
        axes.axvline(mark.value, **line)
        axes.annotate(mark.label, (mark.value, 1), (3, -9), xycoords=("data", "axes fraction"), **text)


def _plain_numbers(axis: Axis) -> None:
    """1, 2 and 5 of every power of ten, and no formula, which names must not be either."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _places(x: NDArray[np.float64], chart: Chart) -> NDArray[np.float64]:
    """Places on the x axis; matplotlib counts time in days since the epoch."""
    return x / 86400 if chart.x_scale == "time" else x
