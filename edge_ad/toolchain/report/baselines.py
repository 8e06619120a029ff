"""What can be had without a model: figures that a detector has to beat before its own mean anything.

Computed on the recordings of the build, and judged as the models are: by the same rules, over the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.rules import AlarmRule
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.parity import decide
from edge_ad.toolchain.preparation import Prepared
from edge_ad.toolchain.workspace import BuildPlan

_MOST_PLACES = 600
"""Places at which a span of rows may begin or end."""


@dataclass(frozen=True)
class Baseline:
    """An alarm that no model was needed for."""

    name: str
    what: str
    """How it decides."""
    rule: str
    """`leaderboard`, `streaming`, or `-` where it makes no difference."""
    counts: Confusion


@dataclass(frozen=True)
class AssetBaselines:
    """Of one labelled recording, to be added up."""

    labels: NDArray[np.bool_]
    """`(n_test,)`."""
    train_rows: int
    amplitude: dict[str, Confusion]
    """By rule: an alarm while the mean |z| of the window is above a UCL of its own."""


def asset_baselines(prepared: Prepared, plan: BuildPlan) -> AssetBaselines | None:
    """What one recording contributes; None without labels.

    |z| is the scaled value. Its mean over a window takes the place of the score, and its UCL comes from the
    limit windows by the build's own rule.
    """
    recording = prepared.recording
    if recording.labels is None:
        return None
    labels = recording.labels[recording.tested]
    scores = mean_amplitude(prepared.windows)
    alarm = plan.settings.alarm
    rule = AlarmRule(
        plan.settings.limit.limit(scores[prepared.limit], plan.sampling), alarm.k, alarm.n, alarm.clear_ratio
    )
    alarms = decide(
        scores,
        prepared.whole,
        rule,
        window_length=plan.settings.window_length,
        tested=recording.tested,
    )
    judged = {rule: confusion(labels, flags) for rule, flags in alarms.items()}
    return AssetBaselines(labels, recording.train_rows, judged)


def mean_amplitude(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean |z| `(n_windows,)` of `(n_windows, window_length, n_channels)` scaled windows."""
    with np.errstate(invalid="ignore", over="ignore"):
        scores: NDArray[np.float64] = np.abs(windows).mean(axis=(1, 2), dtype=np.float64)
    return scores


def baselines(assets: list[AssetBaselines]) -> list[Baseline]:
    """Over all labelled recordings of a build together; none where there is no labelled row."""
    n_rows = sum(len(asset.labels) for asset in assets)
    if not n_rows:
        return []
    anomalous = sum(int(asset.labels.sum()) for asset in assets)
    found = [
        Baseline("always on", "an alarm on every row", "-", Confusion(anomalous, n_rows - anomalous, 0, 0))
    ]
    for rule in assets[0].amplitude:
        counts = sum((asset.amplitude[rule] for asset in assets), Confusion())
        found.append(Baseline("no model", "mean |z| of the window above a UCL of its own", rule, counts))
    start, end, counts = best_position(assets)
    what = f"an alarm on rows {start} to {end} of every recording, the span that fits the labels best"
    found.append(Baseline("position alone", what, "-", counts))
    return found


def best_position(assets: list[AssetBaselines]) -> tuple[int, int, Confusion]:
    """First and last row, counted from 1 in each recording, between which a constant alarm has the best F1.

    It is chosen with the labels in sight, and shows how much of them the place in the file tells.
    """
    longest = max(asset.train_rows + len(asset.labels) for asset in assets)
    anomalous, rows = np.zeros(longest + 1), np.zeros(longest + 1)
    for asset in assets:
        span = slice(asset.train_rows + 1, asset.train_rows + len(asset.labels) + 1)
        anomalous[span] += asset.labels
        rows[span] += 1
    anomalous, rows = anomalous.cumsum(), rows.cumsum()
    places = np.unique(np.linspace(0, longest, min(longest + 1, _MOST_PLACES)).astype(int))
    # from place i (not counted) to place j (counted)
    hits = anomalous[places][None, :] - anomalous[places][:, None]
    alarms = rows[places][None, :] - rows[places][:, None]
    f1 = np.where(alarms > 0, 2 * hits / np.maximum(alarms + anomalous[-1], 1), -1)
    i, j = np.unravel_index(int(f1.argmax()), f1.shape)
    hit, alarmed = int(hits[i, j]), int(alarms[i, j])
    total, missed = int(rows[-1]), int(anomalous[-1]) - hit
    counts = Confusion(hit, alarmed - hit, missed, total - alarmed - missed)
    return int(places[i]) + 1, int(places[j]), counts
