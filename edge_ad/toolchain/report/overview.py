"""What a report shows of a whole build: figures over all assets, gathered one asset after the other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import CalibrationPoint
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.report.asset_charts import score_classes
from edge_ad.toolchain.report.baselines import AssetBaselines, Baseline, baselines
from edge_ad.toolchain.report.chart import Chart, Limit, Series, styles
from edge_ad.toolchain.report.detection import Detection
from edge_ad.toolchain.report.distribution import distribution_chart
from edge_ad.toolchain.report.facts import AssetFacts


@dataclass(frozen=True)
class AssetLine:
    """An asset in the list of all."""

    name: str
    streaming: Confusion | None
    """Of the default form."""
    alarmed_share: float
    """Of the test rows."""
    detection: Detection | None
    ucl: float
    highest: float
    """Score after the train span, in UCLs."""

    @property
    def badness(self) -> tuple[float, float, str]:
        """Sorts the worst first: the lowest F1, without one the most alarms."""
        f1 = self.streaming.f1 if self.streaming is not None else None
        return (2.0 if f1 is None else f1, -self.alarmed_share, self.name)


@dataclass
class Overview:
    """Filled asset by asset; keeps figures, not recordings."""

    default: str
    """Name of the default form."""
    lines: list[AssetLine] = field(default_factory=list)
    counts: dict[tuple[str, str], Confusion] = field(default_factory=lambda: defaultdict(Confusion))
    """By variant and rule, over all labelled test rows."""
    detections: dict[str, Detection] = field(default_factory=dict)
    """By variant, over all labelled recordings."""
    _score: str = ""
    """What makes a score, in words."""
    _baselines: list[AssetBaselines] = field(default_factory=list)
    _scores: dict[str, list[NDArray[np.float64]]] = field(default_factory=lambda: defaultdict(list))
    _curves: dict[str, list[tuple[CalibrationPoint, ...]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, facts: AssetFacts) -> None:
        """Take in one more asset."""
        default, tested = facts.default, facts.recording.tested
        self._score = facts.score
        for variant in facts.variants:
            for rule in ("leaderboard", "streaming"):
                judged: Confusion | None = getattr(variant.evaluation, rule)
                self.counts[variant.name, rule] += judged or Confusion()
            if variant.conversion.calibration is not None:
                self._curves[variant.name].append(variant.conversion.calibration.curve)
        for name, found in facts.detections.items():
            before = self.detections.get(name)
            self.detections[name] = found if before is None else before + found
        if facts.baselines is not None:
            self._baselines.append(facts.baselines)
        for label, scores in score_classes(facts).items():
            self._scores[label].append(scores)
        self.lines.append(
            AssetLine(
                name=facts.name,
                streaming=default.evaluation.streaming,
                alarmed_share=float(default.alarms[tested].mean()),
                detection=facts.detections.get(default.name),
                ucl=default.ucl,
                highest=float(np.nanmax(default.scores[tested], initial=0)) / default.ucl,
            )
        )

    @property
    def worst_first(self) -> list[AssetLine]:
        """All assets."""
        return sorted(self.lines, key=lambda line: line.badness)

    def baselines(self) -> list[Baseline]:
        """Over all labelled recordings."""
        return baselines(self._baselines)

    def charts(self) -> list[Chart]:
        """Those over all assets."""
        found = [self._distribution()]
        if self.detections:
            found.append(self._delays())
        found += [self._headroom(name) for name in self._curves]
        return found

    def _distribution(self) -> Chart:
        classes = {label: np.concatenate(scores) for label, scores in self._scores.items()}
        return distribution_chart("all-scores", f"of all assets by {self.default}", self._score, classes)

    def _delays(self) -> Chart:
        """Share of the anomalies that have been noticed within a time."""
        delays = {
            name: np.sort([a.delay_s for a in found.anomalies if a.delay_s is not None])
            for name, found in self.detections.items()
        }
        longest = max((float(d[-1]) for d in delays.values() if len(d)), default=1.0)
        x = np.unique(np.concatenate([[0.0, longest * 1.05], *delays.values()]))
        series = tuple(
            Series(
                name,
                100
                * np.searchsorted(delays[name], x, "right")
                / max(1, len(self.detections[name].anomalies)),
                *style,
                "steps",
                shown=name == self.default,
            )
            for name, style in zip(delays, styles(len(delays)), strict=True)
        )
        found = self.detections[self.default]
        median = found.median_delay_s
        return Chart(
            name="all-delays",
            title="Detection delay",
            text=f"Of {len(found.anomalies)} labelled anomalies {self.default} notices {found.n_detected} by "
            "the streaming rule"
            + ("" if median is None else f", half of these within {median:g} s of their first labelled row")
            + ". Each line climbs to the share that is noticed at all.",
            x_label="seconds since the first labelled row",
            y_label="% of anomalies noticed",
            x=x,
            series=series,
            levels=(Limit(100.0, "all"),),
        )

    def _headroom(self, name: str) -> Chart:
        """Errors of the candidates that had one headroom for everything, over the assets."""
        by_factor: dict[float, list[float]] = defaultdict(list)
        for curve in self._curves[name]:
            for point in curve:
                if point.group == "all":
                    by_factor[point.headroom].append(point.error)
        factors = sorted(by_factor)
        low, middle, high = (
            np.array([np.percentile(by_factor[factor], q) for factor in factors]) for q in (10, 50, 90)
        )
        best = factors[int(middle.argmin())]
        return Chart(
            name=f"all-headroom-{name}",
            title=f"Calibration headroom of {name}",
            text=f"How far alarm levels are from the network's where all quantities of {name} have the same "
            f"headroom: median of {len(self._curves[name])} assets, with the 10th and 90th percentile. The "
            f"median is lowest at {best:g}.",
            x_label="headroom (factor on the training windows)",
            y_label="mean error of score / UCL",
            x=np.array(factors),
            series=(
                Series("median", middle, 0),
                Series("90th percentile", high, 1, 1),
                Series("10th percentile", low, 2, 2),
            ),
        )
