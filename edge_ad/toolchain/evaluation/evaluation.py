"""Evaluating bundles on labelled recordings: every recording through everything, then the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from edge_ad.bundle.manifest import Manifest
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.toolchain.build import Progress
from edge_ad.toolchain.evaluation.baselines import ALWAYS_ON, BASELINES, POSITION
from edge_ad.toolchain.evaluation.examine import Examined, Judge, Task, check_variant, examine
from edge_ad.toolchain.evaluation.figures import figures, spreads
from edge_ad.toolchain.evaluation.inputs import (
    Reading,
    Run,
    Source,
    check_alike,
    choose_reading,
    find_sources,
    groups_of,
    open_bundle,
    require_labels,
)
from edge_ad.toolchain.evaluation.protocol import choices, evaluation_caveats, left_over
from edge_ad.toolchain.evaluation.result import (
    ALL,
    UNTOUCHED,
    AssetResult,
    DetectorResult,
    Evaluation,
    RuleResult,
    RunResult,
    ScopeResult,
)
from edge_ad.toolchain.evaluation.tally import LabelledRows, Tally, continuous, tally
from edge_ad.toolchain.parity import RULES
from edge_ad.toolchain.pool import run_tasks
from edge_ad.toolchain.report.baselines import AssetBaselines, best_position
from edge_ad.toolchain.settings import ProtocolSettings

_TIME_LIMIT_S = 3600.0


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for, besides data and bundles."""

    variant: str | None = None
    """Form to evaluate; None: the default of the first bundle."""
    preset: str | None = None
    format_file: Path | None = None
    label: str | None = None
    train_rows: int | None = None
    chosen_on: str | None = None
    """Instead of what the build's settings say; so is the next."""
    labels_of: tuple[str, ...] | None = None
    with_baselines: bool = True


@dataclass(frozen=True)
class Inputs:
    """The recordings that are judged, and how they are read."""

    sources: tuple[Source, ...]
    reading: Reading


def check_inputs(data: Path, run: Run, wanted: Wanted, beside: Sequence[Run] = ()) -> Inputs:
    """What can be told to be wrong before any work is done: recordings, their bundles, labels, groups, form.

    Raises BundleError, ConfigurationError, DataError.
    """
    sources = find_sources(data)
    reading = choose_reading(sources, run, wanted.preset, wanted.format_file, wanted.label, wanted.train_rows)
    groups = groups_of(sources)
    if unknown := sorted(set(wanted.labels_of or ()) - set(groups)):
        raise ConfigurationError(
            f"--labels-of {', '.join(unknown)}: no such folder of recordings in {data}; "
            f"there are: {', '.join(groups) or 'none'}"
        )
    require_labels(sources, reading)
    for each in (run, *beside):
        for source in sources:
            each.bundle_of(source)
    if wanted.variant is not None:
        path = run.bundle_of(sources[0])
        check_variant(open_bundle(path).manifest, wanted.variant, path)
    return Inputs(sources, reading)


def evaluate_bundles(
    data: Path,
    runs: Sequence[Run],
    wanted: Wanted,
    jobs: int,
    progress: Progress,
    beside: Sequence[Run] = (),
) -> Evaluation:
    """Judge the bundles of all runs on the recordings at `data`; other bundles, and baselines, beside them.

    Raises BundleError, ConfigurationError, DataError, InterpreterError.
    """
    check_alike(runs)
    inputs = check_inputs(data, runs[0], wanted, beside)
    sources, reading = inputs.sources, inputs.reading
    path = runs[0].bundle_of(sources[0])
    manifest = open_bundle(path).manifest
    chosen = [
        Chosen(name, "the bundle" if i == 0 else "another model of the same build", name, tuple(runs))
        for i, name in enumerate(_variants(manifest, wanted.variant, path))
    ]
    chosen += _beside(beside, sources[0])
    tasks = [
        Task(
            source,
            reading.format,
            tuple(
                Judge(detector.name, i, run.bundle_of(source), detector.variant)
                for detector in chosen
                for i, run in enumerate(detector.runs)
            ),
            wanted.with_baselines,
        )
        for source in sources
    ]
    examined = _examine_all(tasks, jobs, progress)
    labelled = [(found, found.rows) for found in examined if found.rows is not None]
    if not any(rows.labels.any() for _, rows in labelled):
        raise DataError(
            f"no row of {data} after the train spans is labelled as anomalous, so there is nothing to find; "
            "'edge-ad replay BUNDLE FILE' counts the alarms"
        )
    if wanted.with_baselines:
        _add_unscored(labelled)
    return _evaluation(data, wanted, sources, reading, manifest, chosen, examined, labelled)


@dataclass(frozen=True)
class Chosen:
    """A detector out of bundles that is to be judged."""

    name: str
    what: str
    variant: str
    runs: tuple[Run, ...]


def _variants(manifest: Manifest, wanted: str | None, path: Path) -> tuple[str, ...]:
    """The form that is evaluated, and one of each other model in the bundle, if possible as precise."""
    name = wanted or manifest.default_variant
    chosen = manifest.variant(name)
    beside: dict[str, str] = {}
    for entry in manifest.variants:
        if entry.model != chosen.model and (entry.model not in beside or entry.precision == chosen.precision):
            beside[entry.model] = entry.name
    return (name, *beside.values())


def _beside(runs: Sequence[Run], first: Source) -> list[Chosen]:
    """The default form of other bundles, and one of each of their other models."""
    found = []
    for run in runs:
        path = run.bundle_of(first)
        for variant in _variants(open_bundle(path).manifest, None, path):
            found.append(Chosen(f"{variant} of {run.name}", "beside", variant, (run,)))
    return found


def _examine_all(tasks: Sequence[Task], jobs: int, progress: Progress) -> list[Examined]:
    found: dict[str, Examined] = {}
    progress.start("evaluate", len(tasks), 0)
    try:
        if jobs == 1 or len(tasks) == 1:
            for task in tasks:
                found[task.source.name] = examine(task)
                progress.advance(task.source.name, _line(found[task.source.name]))
        else:
            outcomes = run_tasks(
                examine,
                tasks,
                jobs=min(jobs, len(tasks)),
                time_limit_s=_TIME_LIMIT_S,
                describe=lambda task: task.source.name,
            )
            for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error
                if outcome.result is not None:
                    found[outcome.task.source.name] = outcome.result
                    progress.advance(outcome.task.source.name, _line(outcome.result))
    finally:
        progress.finish()
    return [found[task.source.name] for task in tasks]


def _line(found: Examined) -> str:
    if found.rows is None:
        return "no labels, left out"
    first = next(iter(found.tallies.values()))
    f1 = first["streaming"].counts.f1
    return f"{len(found.rows.labels)} rows" + ("" if f1 is None else f", streaming F1 {f1:.3f}")


def _add_unscored(labelled: Sequence[tuple[Examined, LabelledRows]]) -> None:
    """The baselines that need no scores; the position is that which fits all labels best."""
    start, end, _ = best_position(
        [AssetBaselines(rows.labels, found.train_rows, {}) for found, rows in labelled]
    )
    for found, rows in labelled:
        places = found.train_rows + 1 + np.arange(len(rows.labels))
        always, at_place = (
            tally(rows, continuous(flags))
            for flags in (np.ones(len(places), bool), (places >= start) & (places <= end))
        )
        found.tallies[ALWAYS_ON.name, 0] = dict.fromkeys(RULES, always)
        found.tallies[POSITION.name, 0] = dict.fromkeys(RULES, at_place)


def _evaluation(
    data: Path,
    wanted: Wanted,
    sources: Sequence[Source],
    reading: Reading,
    manifest: Manifest,
    chosen: Sequence[Chosen],
    examined: Sequence[Examined],
    labelled: Sequence[tuple[Examined, LabelledRows]],
) -> Evaluation:
    runs = chosen[0].runs
    protocol = _protocol(runs[0], wanted)
    groups = groups_of([found.source for found, _ in labelled])
    touched = set(protocol.labels_of) & set(groups)
    untouched = tuple(group for group in groups if group not in touched) if touched else ()
    detectors = tuple(_detectors(chosen, labelled, wanted.with_baselines))
    scopes: dict[str, set[str]] = {ALL: {found.source.group for found, _ in labelled}}
    if untouched:
        scopes[UNTOUCHED] = set(untouched)
    if len(groups) > 1:
        scopes |= {group: {group} for group in groups}
    n_rows = sum(len(rows.labels) for _, rows in labelled)
    counts = _together(detectors[0].runs[0], scopes[ALL], "streaming").counts
    return Evaluation(
        data=str(data),
        preset=reading.preset,
        variant=chosen[0].variant,
        alarm=manifest.alarm_rule.text(),
        n_recordings=len(labelled),
        n_rows=n_rows,
        n_anomalies=len(_together(detectors[0].runs[0], scopes[ALL], "streaming").detection.anomalies),
        anomalous_share=sum(int(rows.labels.sum()) for _, rows in labelled) / n_rows,
        groups=groups,
        untouched=untouched,
        choices=tuple(
            choices(
                protocol,
                reading.format,
                [found for found, _ in labelled],
                runs,
                manifest.scoring(chosen[0].variant),
                with_position=wanted.with_baselines,
            )
        ),
        caveats=(
            *evaluation_caveats(
                runs[0].plan,
                reading.preset,
                reading.format,
                manifest,
                examined,
                counts,
                unknown_share=sum(found.n_unknown for found, _ in labelled) / n_rows,
                n_unlabelled=len(sources) - len(labelled),
            ),
            *left_over(list({run.name: run for found in chosen for run in found.runs}.values()), sources),
        ),
        scopes=tuple(
            ScopeResult(
                scope,
                detector.name,
                rule,
                spreads([figures(_together(run, members, rule)) for run in detector.runs]),
            )
            for scope, members in scopes.items()
            for detector in detectors
            for rule in RULES
        ),
        detectors=detectors,
    )


def _protocol(run: Run, wanted: Wanted) -> ProtocolSettings:
    """What the build says of itself, with what is added: labels that were looked at cannot be unseen."""
    stated = run.plan.settings.protocol if run.plan is not None else ProtocolSettings()
    return ProtocolSettings(
        stated.chosen_on if wanted.chosen_on is None else wanted.chosen_on,
        tuple(dict.fromkeys((*stated.labels_of, *(wanted.labels_of or ())))),
    )


def _detectors(
    chosen: Sequence[Chosen],
    labelled: Sequence[tuple[Examined, LabelledRows]],
    with_baselines: bool,
) -> list[DetectorResult]:
    found = []
    for detector in chosen:
        results = tuple(
            _run_result(
                run.name, run.plan.settings.training.seed if run.plan else None, (detector.name, i), labelled
            )
            for i, run in enumerate(detector.runs)
        )
        found.append(DetectorResult(detector.name, detector.what, is_baseline=False, runs=results))
    for baseline in BASELINES if with_baselines else ():
        result = _run_result("", None, (baseline.name, 0), labelled)
        found.append(DetectorResult(baseline.name, baseline.what, is_baseline=True, runs=(result,)))
    return found


def _run_result(
    source: str,
    seed: int | None,
    key: tuple[str, int],
    labelled: Sequence[tuple[Examined, LabelledRows]],
) -> RunResult:
    return RunResult(
        source,
        seed,
        tuple(
            AssetResult(
                found.source.name,
                found.source.group,
                {rule: RuleResult(raw, figures(raw)) for rule, raw in found.tallies[key].items()},
            )
            for found, _ in labelled
        ),
    )


def _together(run: RunResult, groups: set[str], rule: str) -> Tally:
    return reduce(add, (asset.rules[rule].raw for asset in run.assets if asset.group in groups), Tally())
