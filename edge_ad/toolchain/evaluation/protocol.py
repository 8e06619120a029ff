"""What a reader must know beside the figures: how everything was chosen, and what an F1 is worth here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edge_ad.bundle.manifest import Manifest
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.evaluation.inputs import Source
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.report.summary import caveats
from edge_ad.toolchain.settings import BuildSettings, ProtocolSettings
from edge_ad.toolchain.workspace import AssetSource, BuildPlan


def choices(
    protocol: ProtocolSettings, recording_format: RecordingFormat, *, with_position: bool, n_runs: int
) -> list[str]:
    """How each choice was made, a sentence for each kind."""
    rows = recording_format.train.rows
    span = (
        f"the first {rows} rows of its recording" if rows is not None else "the train span of its recording"
    )
    found = [f"Weights, scaler and limit of a bundle: on {span}, which count as normal, without labels."]
    stated = protocol.chosen_on or (
        "not stated; say it in [protocol] chosen_on of the build's settings, or with --chosen-on"
    )
    found.append(f"Everything else (window, network, score, rule of the limit, alarm rule): {stated}")
    if protocol.labels_of:
        found.append(
            f"Labels of {', '.join(protocol.labels_of)} were looked at to choose, those of others were not."
        )
    if with_position:
        found.append(
            "Baselines: nothing was chosen on labels, but for the position, which is made to fit all of them."
        )
    if n_runs > 1:
        found.append(
            f"{n_runs} builds that differ by their seeds alone: the median, and in brackets the range."
        )
    else:
        found.append(
            "A single build: with other seeds the figures would be others. Give --build more than once."
        )
    return found


def evaluation_caveats(
    plan: BuildPlan | None,
    preset: str | None,
    recording_format: RecordingFormat,
    manifest: Manifest,
    sources: Sequence[Source],
    counts: Confusion,
    *,
    unknown_share: float,
    n_unlabelled: int,
) -> list[str]:
    """Those of every report beside an F1 (`report.summary`), of the rows that were judged here."""
    settings = plan.settings if plan is not None else BuildSettings()
    settings = dataclasses.replace(settings, window_length=manifest.window_length, alarm=manifest.alarm_rule)
    judged = BuildPlan(
        recording_format,
        settings,
        tuple(AssetSource(source.name, str(source.path), "", 0) for source in sources),
        preset,
    )
    return caveats(judged, counts, unknown_share, n_unlabelled)
