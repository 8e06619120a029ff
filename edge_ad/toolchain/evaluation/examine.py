"""One recording through every bundle and baseline: a piece of work that can go to another process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.manifest import ControlLimit, Manifest
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.sources.csv_lines import CsvLines
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.datasets.recording import Recording, read_recording
from edge_ad.toolchain.evaluation.baselines import BASELINES, baseline_alarms, learn
from edge_ad.toolchain.evaluation.inputs import CHANGEPOINTS, Source, header, open_bundle
from edge_ad.toolchain.evaluation.judging import Judgement, judge_recording
from edge_ad.toolchain.evaluation.tally import LabelledRows, Tally, tally


@dataclass(frozen=True)
class Judge:
    """A form of a bundle that is to judge a recording."""

    detector: str
    """What it is called; the same for all runs of a detector."""
    run: int
    path: Path
    """Of the bundle."""
    variant: str


@dataclass(frozen=True)
class Task:
    """A recording and what is to judge it."""

    source: Source
    format: RecordingFormat
    judges: tuple[Judge, ...]
    """The first one is of the bundle that is evaluated."""
    with_baselines: bool


@dataclass(frozen=True)
class Examined:
    """What came of a recording."""

    source: Source
    rows: LabelledRows | None
    """Of the test rows; None where nobody labelled them."""
    train_rows: int
    n_unknown: int
    """Test rows on which the first run's form had no whole window."""
    tallies: dict[tuple[str, int], dict[str, Tally]]
    """By name and run; then by rule. Baselines, which are the same for all runs, are of run 0."""
    learned_rows: int | None = None
    """First rows of this very recording that the bundle which is evaluated was made from; None where it was
    made from another one."""
    limits: dict[tuple[Path, str], ControlLimit] = dataclasses.field(default_factory=dict)
    """By bundle and form, of the detector that is evaluated."""
    digest: str = ""
    """SHA-256 of the recording."""


def examine(task: Task) -> Examined:
    """Raises BundleError, ConfigurationError, DataError, InterpreterError."""
    bundles = {judge.path: open_bundle(judge.path) for judge in task.judges}
    path = task.judges[0].path
    manifest = bundles[path].manifest
    recording = _read(task, manifest, path)
    if recording.labels is None:
        return Examined(task.source, None, recording.train_rows, 0, {}, digest=recording.sha256)
    tested = recording.tested
    rows = LabelledRows(
        recording.times[tested],
        recording.labels[tested],
        _changepoints(task, recording),
        task.format.sample_period_s,
    )
    judged = [_judgement(judge, bundles[judge.path], recording) for judge in task.judges]
    tallies = {
        (judge.detector, judge.run): {rule: tally(rows, alarms) for rule, alarms in found.alarms.items()}
        for judge, found in zip(task.judges, judged, strict=True)
    }
    if task.with_baselines:
        _add_baselines(tallies, rows, recording, judged[0], manifest)
    provenance, evaluated = manifest.provenance, task.judges[0].detector
    return Examined(
        task.source,
        rows,
        recording.train_rows,
        judged[0].n_unknown,
        tallies,
        learned_rows=provenance.train_rows if provenance.data_sha256 == recording.sha256 else None,
        limits={
            (judge.path, judge.variant): bundles[judge.path].manifest.variant(judge.variant).limit
            for judge in task.judges
            if judge.detector == evaluated
        },
        digest=recording.sha256,
    )


def _add_baselines(
    tallies: dict[tuple[str, int], dict[str, Tally]],
    rows: LabelledRows,
    recording: Recording,
    first: Judgement,
    manifest: Manifest,
) -> None:
    learned = learn(recording, first.whole, manifest.window_length)
    for baseline in BASELINES:
        if baseline.score is not None:
            alarms = baseline_alarms(baseline, learned, recording, first.whole, manifest.alarm_rule)
            tallies[baseline.name, 0] = {rule: tally(rows, found) for rule, found in alarms.items()}


def _judgement(judge: Judge, bundle: Bundle, recording: Recording) -> Judgement:
    manifest = bundle.manifest
    check_variant(manifest, judge.variant, judge.path)
    names = [channel.name for channel in manifest.channels]
    if names != [channel.name for channel in recording.channels]:
        raise ConfigurationError(
            f"{judge.path} has other channels than the first bundle, or in another order: {', '.join(names)}"
        )
    learned = manifest.provenance
    if learned.data_sha256 == recording.sha256 and learned.train_rows > recording.train_rows:
        raise ConfigurationError(
            f"{judge.path} has learned from the first {learned.train_rows} rows of this very recording, and "
            f"only {recording.train_rows} are not judged: give --train-rows {learned.train_rows} or more"
        )
    detector, hold_off_s = Detector.load(bundle, judge.variant), manifest.alarm_rule.hold_off_s
    return judge_recording(detector, recording, manifest.window_length, hold_off_s)


def check_variant(manifest: Manifest, variant: str, path: Path) -> None:
    """Raises ConfigurationError for a form that the bundle does not have."""
    names = [entry.name for entry in manifest.variants]
    if variant not in names:
        raise ConfigurationError(f"{path} has no variant {variant!r}; it has: {', '.join(names)}")


def _read(task: Task, manifest: Manifest, path: Path) -> Recording:
    """The recording with the bundle's channels, in the bundle's order."""
    columns = header(task.source.path, task.format.input)
    missing = [channel.name for channel in manifest.channels if channel.name not in columns]
    if missing:
        raise DataError(
            f"{path} is for other channels than {task.source.path} has: line 1 lacks "
            f"{', '.join(map(repr, missing))}; it has: {', '.join(columns)}"
        )
    try:
        read_as = dataclasses.replace(task.format, channels=manifest.channels, snapshots=None, marks=())
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    recording = read_recording(task.source.path, read_as, task.source.name)
    if not recording.tested.any() or len(recording) < manifest.window_length:
        raise DataError(
            f"{task.source.path}: {len(recording)} rows leave nothing to judge after the train span of "
            f"{recording.train_rows}; give a shorter one with --train-rows"
        )
    return recording


def _changepoints(task: Task, recording: Recording) -> NDArray[np.bool_] | None:
    """SKAB's second column of labels on the test rows; None where the file has none, or uses it otherwise."""
    path, layout = task.source.path, task.format.input
    if CHANGEPOINTS not in header(path, layout) or task.format.label_column == CHANGEPOINTS:
        return None
    with path.open(encoding="utf-8", newline="\n") as file:
        lines = list(CsvLines(file, layout, [CHANGEPOINTS], name=str(path), strict=True))
    values = np.array([line.values[0] for line in lines])
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{path}, line {lines[row].line}: {CHANGEPOINTS!r} is {values[row]}, not 0 or 1")
    used = values[len(values) - len(recording) :]
    found: NDArray[np.bool_] = used[recording.tested] == 1
    return found
