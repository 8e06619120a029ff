"""The figures of an evaluation, from raw counts, and their spread over seeds."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_ad.toolchain.evaluation.nab import PROFILES
from edge_ad.toolchain.evaluation.ranges import affiliation_figures
from edge_ad.toolchain.evaluation.tally import Tally

SOON_S = 60.0
"""An anomaly that is noticed within this time of its first row counts as found soon."""


@dataclass(frozen=True)
class Figures:
    """Of one detector, over one recording or many, under one rule. Fractions, not percent; None where there
    is nothing to divide by. docs/evaluate.md says what each of them means.
    """

    f1: float | None
    """Of rows."""
    precision: float | None
    recall: float | None
    far: float | None
    """Alarmed share of the normal rows."""
    mar: float | None
    """Share of the anomalous rows without an alarm."""
    found: float | None
    """Share of the labelled anomalies with an alarm in them: the recall of alarm episodes."""
    found_soon: float | None
    """The same within 60 s of an anomaly's first row."""
    on_before: float | None
    """Share of the labelled anomalies at whose start the alarm was on already."""
    delay_median_s: float | None
    """From an anomaly's first row to its first alarmed one, over the anomalies that are found."""
    delay_p90_s: float | None
    episode_precision: float | None
    """Share of the alarm episodes that have a labelled row."""
    false_per_hour: float | None
    """Alarm episodes without a labelled row, for each hour that is labelled as normal."""
    affiliation_precision: float | None
    affiliation_recall: float | None
    affiliation_f1: float | None
    nab_standard: float | None
    """100 is perfect, 0 a detector that says nothing."""
    nab_low_fp: float | None
    nab_low_fn: float | None


@dataclass(frozen=True)
class Spread:
    """A figure over several runs, which differ by their seeds alone."""

    median: float
    low: float
    high: float
    n: int
    """Runs that have the figure."""


def figures(tally: Tally) -> Figures:
    """From counts that were added up first: every row counts alike, and so does every anomaly."""
    counts, found = tally.counts, tally.detection
    n_anomalies = len(found.anomalies)
    delays = [anomaly.delay_s for anomaly in found.anomalies if anomaly.delay_s is not None]
    n_soon = sum(delay <= SOON_S for delay in delays)
    precision, recall, f1 = affiliation_figures(tally.affiliations)
    nab = {name: tally.changepoints.score(profile) for name, profile in PROFILES.items()}
    return Figures(
        f1=counts.f1,
        precision=counts.precision,
        recall=counts.recall,
        far=counts.far,
        mar=counts.mar,
        found=_share(len(delays), n_anomalies),
        found_soon=_share(n_soon, n_anomalies),
        on_before=_share(tally.n_on_before, n_anomalies),
        delay_median_s=found.median_delay_s,
        delay_p90_s=float(np.percentile(delays, 90)) if delays else None,
        episode_precision=_share(tally.n_episodes - found.n_false, tally.n_episodes),
        false_per_hour=found.false_per_hour,
        affiliation_precision=precision,
        affiliation_recall=recall,
        affiliation_f1=f1,
        nab_standard=nab["standard"],
        nab_low_fp=nab["low_fp"],
        nab_low_fn=nab["low_fn"],
    )


def spreads(runs: Sequence[Figures]) -> dict[str, Spread | None]:
    """Median, smallest and largest of each figure over runs; None where no run has it."""
    found: dict[str, Spread | None] = {}
    for field in dataclasses.fields(Figures):
        values = [value for run in runs if (value := getattr(run, field.name)) is not None]
        found[field.name] = (
            Spread(statistics.median(values), min(values), max(values), len(values)) if values else None
        )
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
