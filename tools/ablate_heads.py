"""What each part of the detector for SKAB earns: one change at a time, by valve1, and beside it by the rest.

Heads of windows only, which need no network, so that the table takes a minute. The columns named `others` are
told and were not chosen by; docs/detection.md says what was looked at when.

With LONG_FOLDER, what make_long_normal.py wrote, also how much of hours of normal operation is flagged by
each of them, fitted on the first 4,000 rows; and what becomes of faults that grow slowly (slow_faults.py).

Usage: ablate_heads.py SKAB_FOLDER OUTPUT.json [LONG_FOLDER]
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slow_faults import SlowFault, slow_faults

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle.codec import encode
from edge_ad.detect.admitted import admitted_windows
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.rules import AlarmRule, leaderboard_flags
from edge_ad.detect.scaler import ScalerKind, fit_scaler
from edge_ad.detect.window import sliding_windows
from edge_ad.runtime.detector import quality_rules
from edge_ad.toolchain.datasets.formats import SKAB, TrainSpan
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.detector_settings import HeadSettings
from edge_ad.toolchain.episodes import detection_delays, episodes
from edge_ad.toolchain.head_oracle import head_shares
from edge_ad.toolchain.heads import ScoredWindows, fit_detector, streamed_scores
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.settings import SKAB_BEST_SETTINGS

GROUPS = ("valve1", "valve2", "other")
_SOON_S = 60.0
_LONG_TRAIN_ROWS = 4000
_HELD = 0.5
"""A slow fault counts as found where more of the rows at its full size are alarmed."""
_RULE = LimitRule(100.0, 1.0)  # a scale of its own is not needed by a detector of one head


@dataclass(frozen=True)
class Detector:
    """A detector of one head of the window alone, as it is fitted."""

    name: str
    head: HeadSettings
    window_length: int = SKAB_BEST_SETTINGS.window_length
    fit_share: float = SKAB_BEST_SETTINGS.fit_share
    factor: float = SKAB_BEST_SETTINGS.limit.factor
    k: int = SKAB_BEST_SETTINGS.alarm.k
    scaler: ScalerKind = SKAB_BEST_SETTINGS.scaler


@dataclass
class SlowFigures:
    """Of faults that grow slowly."""

    names: list[str] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    """Share of the rows at the full size of each fault that are alarmed."""
    grown: list[float | None] = field(default_factory=list)
    """How far each fault had grown at its first alarm; None where there was none."""
    before: list[float] = field(default_factory=list)
    """Share of the normal rows before each fault that are alarmed."""

    def in_words(self) -> str:
        """A cell of the table."""
        held = [(share, grown) for share, grown in zip(self.held, self.grown, strict=True) if share > _HELD]
        grown = np.median([grown for _, grown in held]) if held else np.nan
        return f"{len(held)} of {len(self.held)}, {grown:.0%}, {np.mean(self.before):.1%}"


@dataclass
class Figures:
    """Of a group of recordings."""

    leaderboard: Confusion = field(default_factory=Confusion)
    streaming: Confusion = field(default_factory=Confusion)
    anomalies: int = 0
    soon: int = 0
    false_episodes: int = 0
    normal_rows: int = 0


def main() -> None:
    """Measure, write, print a table."""
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    recordings = [(group, path) for group in GROUPS for path in sorted((folder / group).glob("*.csv"))]
    read = [(group, read_recording(path, SKAB, f"{group}-{path.stem}")) for group, path in recordings]
    long_format = replace(SKAB, train=TrainSpan(rows=_LONG_TRAIN_ROWS))
    long_files = sorted(Path(sys.argv[3]).glob("*.csv")) if len(sys.argv) > 3 else []
    long = [read_recording(path, long_format, path.stem) for path in long_files]
    slow = slow_faults() if long else []
    rows = []
    print(
        "detector | valve1: leaderboard F1 FAR/MAR, streaming F1 FAR/MAR, soon, false/h | others | all | "
        "long | slow faults: alarmed at full size, grown at the first alarm, alarmed before"
    )
    for detector in detectors():
        found = {name: Figures() for name in ("valve1", "others", "all")}
        for group, recording in read:
            judge(detector, recording, [found["valve1" if group == "valve1" else "others"], found["all"]])
        rows.append({"detector": encode(detector), **{name: summed_up(f) for name, f in found.items()}})
        told = [in_words(rows[-1][name]) for name in found]
        for recording in long:
            figures = Figures()
            judge(detector, recording, [figures])
            rows[-1][recording.name] = summed = summed_up(figures)
            told.append(f"{summed['streaming_far']:.1%}, {summed['false_episodes_per_hour']:.1f}")
        if slow:
            rows[-1]["slow faults"] = found_slow = judge_slow(detector, slow)
            told.append(found_slow.in_words())
        print(" | ".join([detector.name, *told]), flush=True)
    record = {"schema": "1.1", "machine": encode(machine_facts()), "rows": encode(rows)}
    output.write_text(json.dumps(record, indent=1))


def detectors() -> list[Detector]:
    """The preset's, what it came from, and it with one thing changed at a time."""
    (best,) = SKAB_BEST_SETTINGS.detector.heads
    means = replace(best, of="window-mean")
    drifting = ("Temperature", "Thermocouple")
    differenced = replace(means, channels=(), baseline=10, drifting=drifting)
    plain = HeadSettings("t2", covariance="plain")
    preset = Detector("preset", best)
    return [
        Detector("T2 of means, 10 rows, x1.5", plain, 10, 1.0, 1.5, 3),
        Detector("the same, limit windows apart", plain, 10, 0.75, 1.5, 3),
        preset,
        replace(preset, name="with the temperatures", head=replace(best, channels=())),
        replace(
            preset, name="with Temperature", head=replace(best, channels=(*best.channels, "Temperature"))
        ),
        replace(preset, name="means alone", head=means),
        replace(
            preset,
            name="means, temperatures less their first 10 of 30 rows",
            head=differenced,
            window_length=30,
        ),
        replace(preset, name="covariance plain", head=replace(best, covariance="plain", ridge=1e-6)),
        replace(preset, name="covariance Ledoit-Wolf", head=replace(best, covariance="ledoit-wolf")),
        replace(preset, name="fitted and limited on the same windows", fit_share=1.0),
        *(replace(preset, name=f"windows of {n} rows", window_length=n) for n in (10, 20, 30)),
        *(replace(preset, name=f"limit x{factor:g}", factor=factor) for factor in (1.0, 1.25, 1.5, 2.0)),
        *(replace(preset, name=f"alarm after {k}", k=k) for k in (3, 8, 12)),
        replace(preset, name="robust scaler", scaler="robust"),
        replace(
            preset,
            name="Ledoit-Wolf, robust scaler",
            head=replace(best, covariance="ledoit-wolf"),
            scaler="robust",
        ),
        *following(preset),
        *following(replace(preset, name="with the temperatures", head=replace(best, channels=()))),
    ]


def following(detector: Detector) -> list[Detector]:
    """It with a center that stays, and that follows: time constants, guards and caps that are tried."""
    tried: list[dict[str, Any]] = [
        *({"follow": rows} for rows in (0, 300, 600, 1800, 3600)),
        {"follow_cap": 1.0},
        {"follow_cap": 10.0},
        {"follow_below": 0.9},
        {"follow_below": 1.0, "follow_cap": 100.0},
    ]
    return [
        replace(
            detector,
            name=f"{detector.name}, {', '.join(f'{key} {value:g}' for key, value in changes.items())}",
            head=replace(detector.head, **changes),
        )
        for changes in tried
    ]


def judge(detector: Detector, recording: Recording, groups: list[Figures]) -> None:
    """Fit the detector on a recording's train span, and count its alarms on the rest."""
    labels = recording.labels[recording.train_rows :]
    leaderboard, alarms = decided(detector, recording)
    for figures in groups:
        count(figures, labels, leaderboard, alarms, recording.times[recording.train_rows :])


def judge_slow(detector: Detector, faults: list[SlowFault]) -> SlowFigures:
    """Whether faults that grow slowly are found, how far they have grown by then, and whether it lasts."""
    figures = SlowFigures()
    for fault in faults:
        _, alarms = decided(detector, fault.recording)
        grown = fault.grown[fault.recording.train_rows :]
        labels = fault.recording.labels[fault.recording.train_rows :]
        found = np.flatnonzero(alarms & labels)
        figures.names.append(fault.recording.name)
        figures.grown.append(float(grown[found[0]]) if len(found) else None)
        figures.held.append(float(alarms[grown == 1].mean()))
        figures.before.append(float(alarms[~labels].mean()))
    return figures


def decided(detector: Detector, recording: Recording) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Alarms `(n_test,)` by both rules of a detector that is fitted on a recording's train span."""
    length, n_train = detector.window_length, recording.train_rows
    scaled = fit_scaler(detector.scaler, recording.samples[:n_train]).transform(recording.samples)
    windows = sliding_windows(scaled, length)
    quality = quality_rules(
        recording.channels,
        sample_period_s=SKAB.sample_period_s,
        largest_gap_s=SKAB.largest_gap_s,
        rate_tolerance=SKAB.rate_tolerance,
    )
    whole = admitted_windows(quality, recording.times, recording.samples, length)
    train = np.flatnonzero(whole[: n_train - length + 1])
    fit = train[: int(len(train) * detector.fit_share)]
    limit = train if detector.fit_share == 1 else train[train >= fit[-1] + 2 * length]
    names = [channel.name for channel in recording.channels]
    settings = replace(SKAB_BEST_SETTINGS.detector, heads=(detector.head,))
    heads = fit_detector(settings, names, *(pair(windows[rows]) for rows in (fit, limit)), _RULE)
    scores = head_shares(heads.heads[0], windows, windows).sum(axis=1)
    ucl = LimitRule(99.0, detector.factor).limit(scores[limit])
    if heads.follows:
        unscaled = replace(heads, heads=(replace(heads.heads[0], scale=1.0),))
        rule = AlarmRule(ucl, detector.k)
        scores = streamed_scores(unscaled, pair(windows), scores, whole, rule)
    leaderboard = leaderboard_flags(scores[n_train:] > ucl, length, len(recording) - n_train)
    return leaderboard, streaming(np.where(whole, scores, np.nan), ucl, detector.k, length)[n_train:]


def pair(windows: NDArray[np.float32]) -> ScoredWindows:
    """Windows that no network looks at."""
    return ScoredWindows(windows, windows)


def streaming(scores: NDArray[np.float64], ucl: float, k: int, length: int) -> NDArray[np.bool_]:
    """Alarms `(n_rows,)` of the rule that devices decide by; NaN breaks the window."""
    rule = AlarmRule(ucl, k)
    alarms = np.zeros(len(scores) + length - 1, bool)
    for row, score in enumerate(scores.tolist(), length - 1):
        if np.isnan(score):
            rule.reset()
        else:
            alarms[row] = rule.update(score)
    return alarms


def count(
    figures: Figures,
    labels: NDArray[np.bool_],
    leaderboard: NDArray[np.bool_],
    alarms: NDArray[np.bool_],
    times: NDArray[np.float64],
) -> None:
    """Add a recording's test rows."""
    figures.leaderboard += confusion(labels, leaderboard)
    figures.streaming += confusion(labels, alarms)
    for (start, _), delay in zip(episodes(labels), detection_delays(labels, alarms), strict=True):
        figures.anomalies += 1
        figures.soon += delay is not None and times[start + delay] - times[start] <= _SOON_S
    figures.false_episodes += sum(not labels[start:end].any() for start, end in episodes(alarms))
    figures.normal_rows += int((~labels).sum())


def summed_up(figures: Figures) -> dict[str, float | None]:
    """What is written of a group."""
    both = (("leaderboard", figures.leaderboard), ("streaming", figures.streaming))
    rules = {f"{rule}_{name}": getattr(c, name) for rule, c in both for name in ("f1", "far", "mar")}
    hours = figures.normal_rows * SKAB.sample_period_s / 3600
    return rules | {
        "found_within_60_s": figures.soon / figures.anomalies if figures.anomalies else None,
        "false_episodes_per_hour": figures.false_episodes / hours,
    }


def in_words(found: dict[str, float]) -> str:
    """A cell of the table."""
    rules = (
        f"{found[f'{rule}_f1']:.3f} {found[f'{rule}_far'] * 100:.1f}/{found[f'{rule}_mar'] * 100:.1f}"
        for rule in ("leaderboard", "streaming")
    )
    soon, false = found["found_within_60_s"], found["false_episodes_per_hour"]
    return f"{', '.join(rules)}, {soon:.0%}, {false:.0f}"


if __name__ == "__main__":
    main()
