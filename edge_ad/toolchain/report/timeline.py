"""`report.json` and the scored tables: when each machine's alarms began, and what they were about.

Of every variant and asset `scored/ASSET-VARIANT.csv` has a row per sample; `report.json` sums them up.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Precision
from edge_ad.detect.limit import score_quantiles
from edge_ad.detect.rules import AlarmRule
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.datasets.ingest import ingestion_of
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.datasets.snapshots import Flaw
from edge_ad.toolchain.episodes import episodes
from edge_ad.toolchain.evaluate import stream_scores
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.records import Records
from edge_ad.toolchain.workspace import (
    AssetSource,
    BuildPlan,
    Workspace,
    load_arrays,
    save_record,
    variant_name,
)

_N_BINS = 20
"""Of the distribution of training scores, as in the bearing post."""
_DAY_S = 86_400.0


@dataclass(frozen=True)
class AlarmSpan:
    """A sustained alarm: from the row on which the streaming rule raised it to the last row of it."""

    start: str
    end: str
    rows: int
    peak: float
    """Highest score, as a multiple of the UCL."""
    channel: str
    """The one with the largest contribution over the alarm's rows."""
    shares: dict[str, float]
    """Of each channel in the sum of these scores."""


@dataclass(frozen=True)
class Distribution:
    """Scores of the training windows."""

    edges: tuple[float, ...]
    """Of the bins, one more than there are counts."""
    counts: tuple[int, ...]
    quantiles: tuple[float, ...]
    """At equal steps from 0 to 1."""


@dataclass(frozen=True)
class Timeline:
    """What one variant makes of one recording."""

    asset: str
    variant: str
    ucl: float
    start: str
    """Time of the recording's first row."""
    end: str
    train_rows: int
    train_start: str
    train_end: str
    alarms_in_train: int
    """Sustained alarms that touch a row that was learned from."""
    exceedances_in_train: int
    exceedances: int
    first_alarm: AlarmSpan | None
    """The first one that lasts to the recording's end, or else the first of all."""
    lead_time_days: float | None
    """From the start of that alarm to the recording's end."""
    alarms: tuple[AlarmSpan, ...]
    train_scores: Distribution
    score_difference: tuple[float, float, float] | None
    """Median, 99th percentile and largest difference of score over UCL from the float32 form's, relative to
    the larger of that and 1; None for the float32 form itself."""
    table: str
    """Path of the scored table in the build folder."""


@dataclass(frozen=True)
class BuildReport:
    """The contents of `report.json`."""

    preset: str | None
    timelines: tuple[Timeline, ...]
    skipped: dict[str, tuple[Flaw, ...]]
    """Of every recording made of snapshots: the files that were left out."""


def report_timelines(workspace: Workspace, plan: BuildPlan) -> BuildReport:
    """Write `report.json` and the scored tables of a build that was evaluated. Raises OutputError."""
    make_folder(workspace.root / "scored")
    timelines: list[Timeline] = []
    skipped: dict[str, tuple[Flaw, ...]] = {}
    for asset in plan.assets:
        prepared = prepare(workspace.recording(plan, asset), plan)
        found = ingestion_of(workspace.root / asset.file)
        if found is not None:
            skipped[asset.name] = found.skipped
        for model in plan.settings.models:
            reference: NDArray[np.float64] | None = None
            for precision in sorted(plan.settings.precisions, key=lambda name: name != "float32"):
                timeline, scores = _timeline(workspace, plan, asset, prepared, model, precision, reference)
                reference = scores if reference is None else reference
                timelines.append(timeline)
    report = BuildReport(plan.preset, tuple(timelines), skipped)
    save_record(workspace.root / "report.json", report)
    return report


def _timeline(
    workspace: Workspace,
    plan: BuildPlan,
    asset: AssetSource,
    prepared: Prepared,
    model: str,
    precision: Precision,
    reference: NDArray[np.float64] | None,
) -> tuple[Timeline, NDArray[np.float64]]:
    """The timeline and the scores over the UCL, `(n_windows,)`."""
    recording, variant = prepared.recording, variant_name(model, precision)
    ucl = Records(workspace, plan).evaluation(asset, model, precision).limit.ucl
    arrays = load_arrays(workspace.asset_file(asset.name, f"{variant}.decisions.npz"))
    scores, contributions = stream_scores(arrays), arrays["contributions"]
    scored = np.full(len(recording), np.nan)
    scored[plan.settings.window_length - 1 :] = np.where(prepared.whole, scores, np.nan)
    alarms = _alarms(scored, ucl, plan)
    with np.errstate(invalid="ignore"):
        exceeds = scored > ucl
    spans = [_span(recording, scored / ucl, contributions, *episode) for episode in episodes(alarms)]
    lasting = spans[-1:] if len(alarms) and alarms[-1] else spans[:1]
    first = lasting[0] if lasting else None
    started = next((e[0] for e, span in zip(episodes(alarms), spans, strict=True) if span is first), None)
    train = np.flatnonzero(recording.in_train)
    table = f"scored/{asset.name}-{variant}.csv"
    text = _table(recording, scored, ucl, exceeds, alarms, contributions)
    write_atomic(workspace.root / table, text.encode())
    timeline = Timeline(
        asset=asset.name,
        variant=variant,
        ucl=ucl,
        start=_stamp(recording.times[0]),
        end=_stamp(recording.times[-1]),
        train_rows=len(train),
        train_start=_stamp(recording.times[train[0]]),
        train_end=_stamp(recording.times[train[-1]]),
        alarms_in_train=sum(bool(recording.in_train[b:e].any()) for b, e in episodes(alarms)),
        exceedances_in_train=int(exceeds[recording.in_train].sum()),
        exceedances=int(exceeds.sum()),
        first_alarm=first,
        lead_time_days=None
        if started is None
        else float(recording.times[-1] - recording.times[started]) / _DAY_S,
        alarms=tuple(spans),
        train_scores=_distribution(scores[prepared.train]),
        score_difference=None if reference is None else _difference(scores / ucl, reference),
        table=table,
    )
    return timeline, scores / ucl


def _alarms(scored: NDArray[np.float64], ucl: float, plan: BuildPlan) -> NDArray[np.bool_]:
    """The streaming rule over all rows `(n_rows,)`, those learned from among them."""
    settings = plan.settings.alarm
    rule = AlarmRule(ucl, settings.k, settings.n, settings.clear_ratio)
    alarms = np.zeros(len(scored), bool)
    for row, score in enumerate(scored.tolist()):
        if score == score:  # noqa: PLR0124  not NaN
            alarms[row] = rule.update(score)
        else:
            rule.reset()
    return alarms


def _span(
    recording: Recording,
    levels: NDArray[np.float64],
    contributions: NDArray[np.float32],
    start: int,
    end: int,
) -> AlarmSpan:
    sums = np.nansum(contributions[start:end].astype(np.float64), axis=0)
    names = [channel.name for channel in recording.channels]
    total = max(float(sums.sum()), np.finfo(np.float64).tiny)
    return AlarmSpan(
        start=_stamp(recording.times[start]),
        end=_stamp(recording.times[end - 1]),
        rows=end - start,
        peak=float(np.nanmax(levels[start:end])),
        channel=names[int(sums.argmax())],
        shares=dict(zip(names, (sums / total).tolist(), strict=True)),
    )


def _distribution(scores: NDArray[np.float64]) -> Distribution:
    counts, edges = np.histogram(scores, _N_BINS)
    return Distribution(tuple(edges.tolist()), tuple(counts.tolist()), score_quantiles(scores))


def _difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float, float]:
    both = np.isfinite(ours) & np.isfinite(theirs)
    errors = np.abs(ours[both] - theirs[both]) / np.maximum(theirs[both], 1)
    return float(np.median(errors)), float(np.percentile(errors, 99)), float(errors.max())


def _table(
    recording: Recording,
    scored: NDArray[np.float64],
    ucl: float,
    exceeds: NDArray[np.bool_],
    alarms: NDArray[np.bool_],
    contributions: NDArray[np.float32],
) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    shares = [f"contribution of {channel.name}" for channel in recording.channels]
    writer.writerow(["time", "loss", "threshold", "anomaly", "alarm", "in_train", *shares])
    rows = zip(recording.times, scored, exceeds, alarms, recording.in_train, contributions, strict=True)
    for time, score, over, alarm, learned, parts in rows:
        cells = ["" if np.isnan(value) else f"{value:.9g}" for value in (score, *parts)]
        flags = [str(int(flag)) for flag in (over, alarm, learned)]
        writer.writerow([_stamp(time), cells[0], f"{ucl:.9g}", *flags, *cells[1:]])
    return text.getvalue()


def timeline_lines(report: BuildReport) -> list[str]:
    """For people: a line for each asset and variant."""
    lines = []
    for found in report.timelines:
        first = found.first_alarm
        if first is None or found.lead_time_days is None:
            told = "no sustained alarm"
        else:
            told = (
                f"alarm from {first.start} on, {found.lead_time_days:.2f} days before the end; "
                f"{first.channel} has {first.shares[first.channel]:.0%} of its score"
            )
        in_train = found.alarms_in_train or "none"
        lines.append(
            f"{found.asset} {found.variant}: {told}; {len(found.alarms)} alarms in all, {in_train} in the "
            f"training rows; UCL {found.ucl:g}"
        )
    left_out = sum(map(len, report.skipped.values()))
    if left_out:
        lines.append(f"{left_out} snapshot files were left out; report.json names them")
    return lines


def _stamp(time: float) -> str:
    return datetime.fromtimestamp(float(time), timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
