"""Draw the pictures of docs/detection.md from what `edge-ad evaluate --json` printed, and from two bundles.

SEEDS.json is of the seed notebook's models, with several seeds; BEST.json of the build with `skab-best`. The
timeline is of RECORDING, as a bundle of each decides on it. Colours: Okabe and Ito; shapes tell the same.

Usage: draw_detection.py SEEDS.json BEST.json RECORDING SEED_BUNDLE BEST_BUNDLE FOLDER
"""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle import bundle as bundles
from edge_ad.runtime.detector import Detector
from edge_ad.toolchain.datasets.formats import SKAB
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.episodes import episodes

mpl.use("Agg")
from matplotlib import pyplot as plt

LARGEST = 100_000
"""Bytes of a picture."""
BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
RULES = {"leaderboard": ("o", BLUE), "streaming": ("s", VERMILLION)}
"""Marker and colour."""
_NAMES = {
    "tiny-int8": "notebook's, 16 units",
    "full-int8": "notebook's, 100 units",
    "no model": "no model: mean |z|",
}
_LEFT_OUT = ("always on", "position alone")
"""They decide nothing, and stand in the pictures as lines."""


@dataclass(frozen=True)
class Row:
    """A detector's figures by rule: median, low and high of each."""

    name: str
    figures: dict[str, dict[str, dict[str, float]]]


def rows(seeds: dict[str, Any], best: dict[str, Any]) -> list[Row]:
    """skab-best, the notebook's, and what else stands beside skab-best and decides; the best F1 first."""
    found = [Row("skab-best", by_rule(best, best["variant"]))]
    for detector in seeds["detectors"]:
        if not detector["is_baseline"]:
            name = f"{_NAMES.get(detector['name'], detector['name'])} ({len(detector['runs'])} seeds)"
            found.append(Row(name, by_rule(seeds, detector["name"])))
    for detector in best["detectors"]:
        if detector["is_baseline"] and detector["name"] not in _LEFT_OUT:
            name = detector["name"]
            found.append(Row(_NAMES.get(name, name), by_rule(best, name)))
    return sorted(found, key=lambda row: -row.figures["leaderboard"]["f1"]["median"])


def by_rule(evaluation: dict[str, Any], detector: str) -> dict[str, dict[str, dict[str, float]]]:
    """Of all recordings together."""
    return {
        scope["rule"]: scope["figures"]
        for scope in evaluation["scopes"]
        if scope["scope"] == "all" and scope["detector"] == detector
    }


def draw_f1(drawn: list[Row], best: dict[str, Any]) -> plt.Figure:
    """F1 under both rules, with the range over seeds."""
    figure, axes = plt.subplots(figsize=(7.6, 3.7), layout="constrained")
    for place, row in enumerate(drawn):
        for offset, (rule, (marker, colour)) in zip((-0.16, 0.16), RULES.items(), strict=True):
            f1 = row.figures[rule]["f1"]
            y = place + offset
            axes.plot(
                [f1["low"], f1["high"]], [y, y], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt"
            )
            axes.plot(f1["median"], y, marker, color=colour, label=f"{rule} rule" if not place else None)
            axes.annotate(
                f"{f1['median']:.3f}",
                (f1["high"], y),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    for name in _LEFT_OUT:
        f1 = by_rule(best, name)["streaming"]["f1"]["median"]
        axes.axvline(f1, color=GREY, linestyle=":", linewidth=1.2)
        axes.text(f1, -0.62, f"{name} {f1:.3f}", ha="center", va="bottom", fontsize=8, color=GREY)
    axes.set_yticks(range(len(drawn)), [row.name for row in drawn])
    axes.set_ylim(len(drawn) - 0.5, -0.7)
    axes.set_xlim(0.64, 0.96)
    axes.set_xlabel("F1 of rows, all 34 recordings (bar: smallest to largest over seeds)")
    axes.legend(loc="lower right", bbox_to_anchor=(0.9, 0.0), framealpha=1, edgecolor="white", fontsize=9)
    finish(axes)
    return figure


def draw_rates(drawn: list[Row]) -> plt.Figure:
    """False and missed alarms under both rules."""
    figure, axes = plt.subplots(figsize=(7.6, 5.2), layout="constrained")
    for row in drawn:
        points = [[100 * row.figures[rule][rate]["median"] for rate in ("far", "mar")] for rule in RULES]
        axes.plot(*zip(*points, strict=True), color=GREY, linewidth=1, zorder=1)
        for (rule, (marker, colour)), point in zip(RULES.items(), points, strict=True):
            axes.plot(
                *point, marker, color=colour, markersize=8, label=f"{rule} rule" if row is drawn[0] else None
            )
        axes.annotate(row.name, points[1], (8, -3), textcoords="offset points", fontsize=9)
    f1s = np.array([0.7, 0.75, 0.8, 0.85, 0.9])
    share, far = 0.537, np.linspace(0, 60, 200)
    for f1 in f1s:
        recall = f1 * (far / 100 * (1 - share) + share) / (share * (2 - f1))
        mar = 100 * (1 - recall)
        axes.plot(far, mar, color=GREY, linestyle=":", linewidth=0.8, zorder=0)
        axes.annotate(
            f"F1 {f1:g}",
            (1.0, np.interp(1.0, far, mar)),
            (2, 2),
            textcoords="offset points",
            fontsize=8,
            color=GREY,
        )
    axes.set(
        xlabel="false alarms: FAR, % of the normal rows", ylabel="missed alarms: MAR, % of the anomalous rows"
    )
    axes.set_xlim(0, 60)
    axes.set_ylim(0, 55)
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    finish(axes)
    return figure


def draw_timeline(recording: Recording, before: Path, after: Path) -> plt.Figure:
    """Scores of two bundles over one recording, with the labels and their alarms."""
    figure, panels = plt.subplots(2, 1, figsize=(7.6, 4.8), layout="constrained", sharex=True)
    minutes = (recording.times - recording.times[0]) / 60
    train = recording.train_rows
    for axes, path, name in zip(panels, (before, after), ("notebook's, 16 units", "skab-best"), strict=True):
        detector = Detector.load(bundles.read(path))
        replay = detector.replay(recording.samples, recording.times)
        alarms = replay.alarms & recording.tested
        axes.semilogy(minutes, np.maximum(replay.scores / detector.ucl, 1e-3), color=BLUE, linewidth=0.9)
        axes.axhline(1, color="black", linewidth=0.9, linestyle="--")
        axes.axvspan(0, minutes[train - 1], color=GREY, alpha=0.12, linewidth=0)
        shade(axes, minutes, recording.labels, GREEN, 0.22)
        for start, end in episodes(alarms):
            axes.axvspan(minutes[start], minutes[end - 1] + 1 / 60, 0.93, 1.0, color=VERMILLION, linewidth=0)
        axes.set_ylabel("score / UCL")
        axes.set_title(name, loc="left", fontsize=10)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * 4)
        finish(axes)
    middle, panel = minutes[train // 2], panels[0].get_xaxis_transform()
    panels[0].text(middle, 0.8, "train span", transform=panel, ha="center", fontsize=9)
    handles = [
        mpl.patches.Patch(color=GREEN, alpha=0.3, label="labelled as anomalous"),
        mpl.patches.Patch(color=VERMILLION, label="alarm (streaming rule)"),
        mpl.lines.Line2D([], [], color="black", linestyle="--", linewidth=0.9, label="UCL"),
    ]
    panels[1].legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, frameon=False, fontsize=9
    )
    panels[1].set_xlabel(f"minutes since the first row of {recording.name}")
    return figure


def shade(
    axes: plt.Axes, x: NDArray[np.float64], flags: NDArray[np.bool_] | None, colour: str, alpha: float
) -> None:
    """Mark the rows that are flagged."""
    for start, end in episodes(flags) if flags is not None else ():
        axes.axvspan(x[start], x[end - 1], color=colour, alpha=alpha, linewidth=0)


def finish(axes: plt.Axes) -> None:
    """No frame where nothing is read."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def save(figure: plt.Figure, path: Path) -> None:
    """Write it as SVG, the same bytes for the same figures. Raises ValueError where it is too large."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "edge_ad"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    content = "\n".join(_shorter(line) for line in lines) + "\n"
    if len(content) > LARGEST:
        raise ValueError(f"{path} would have {len(content)} bytes, more than {LARGEST}")
    path.write_text(content)
    print(f"{path}: {len(content) / 1000:.0f} kB")


def _shorter(line: str) -> str:
    """A step of a path to a hundredth of a point, which no eye tells from more."""
    return re.sub(r"(\.\d\d)\d+", r"\1", line) if line.startswith("L ") else line


def main() -> None:
    """Draw all of them."""
    seeds, best = (json.loads(Path(argument).read_text()) for argument in sys.argv[1:3])
    file, before, after, folder = map(Path, sys.argv[3:7])
    recording = read_recording(file, SKAB, f"{file.parent.name}-{file.stem}")
    drawn = rows(seeds, best)
    save(draw_f1(drawn, best), folder / "detection-f1.svg")
    save(draw_rates(drawn), folder / "detection-rates.svg")
    save(draw_timeline(recording, before, after), folder / "detection-timeline.svg")


if __name__ == "__main__":
    main()
