"""What a reader must know beside the figures: how everything was chosen, and what an F1 is worth here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edge_ad.bundle.manifest import Manifest
from edge_ad.detect.fusion import Scoring, needs_network
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.evaluation.examine import Examined
from edge_ad.toolchain.evaluation.inputs import Run, Source
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.report.summary import caveats, limit_caveats
from edge_ad.toolchain.settings import BuildSettings, ProtocolSettings
from edge_ad.toolchain.workspace import AssetSource, BuildPlan

_MOST_NAMED = 5


def choices(
    protocol: ProtocolSettings,
    recording_format: RecordingFormat,
    judged: Sequence[Examined],
    runs: Sequence[Run],
    scoring: Scoring,
    *,
    with_position: bool,
) -> list[str]:
    """How each choice was made, a sentence for each kind."""
    stated = protocol.chosen_on or (
        "not stated; say it in [protocol] chosen_on of the build's settings, or with --chosen-on"
    )
    found = [
        _learned(recording_format, judged),
        f"Everything else (window, network, score, rule of the limit, alarm rule): {stated}",
    ]
    if protocol.labels_of:
        found.append(
            f"Labels of {', '.join(protocol.labels_of)} were looked at to choose, those of others were not."
        )
    if with_position:
        found.append(
            "Baselines: nothing was chosen on labels, but for the position, which is made to fit all of them."
        )
    drawn = needs_network(scoring)
    if len(runs) > 1:
        found.append(
            f"{len(runs)} builds that differ by their seeds alone: the median, and in brackets the range."
        )
    elif drawn and runs[0].plan is not None:
        found.append(
            "A single build: with other seeds the figures would be others. Give --seeds, or --build again."
        )
    if not drawn:
        found.append("Nothing that the score is made of is drawn at random: all seeds have these figures.")
    return found


def _learned(recording_format: RecordingFormat, judged: Sequence[Examined]) -> str:
    """What the bundles were made from, as far as it is among what was judged."""
    what = "Weights, scaler and limit of a bundle"
    rows = {found.learned_rows for found in judged if found.learned_rows is not None}
    n_own = sum(found.learned_rows is not None for found in judged)
    if not rows:
        return (
            f"{what}: on other recordings than those judged here, whose rows count as normal, without labels."
        )
    by_count = len(rows) == 1 and recording_format.train.rows is not None
    span = f"the first {min(rows)} rows" if by_count else "the train span"
    own = f"{what}: on {span} of its recording, which count as normal, without labels"
    if n_own == len(judged):
        return f"{own}."
    return (
        f"{own}; {len(judged) - n_own} of the {len(judged)} recordings are judged by a bundle from another."
    )


def evaluation_caveats(
    plan: BuildPlan | None,
    preset: str | None,
    recording_format: RecordingFormat,
    manifest: Manifest,
    examined: Sequence[Examined],
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
        tuple(AssetSource(f.source.name, str(f.source.path), f.digest, 0) for f in examined),
        preset,
    )
    limits = {key: limit for found in examined for key, limit in found.limits.items()}
    return [
        *limit_caveats(manifest.sampling, list(limits.values())),
        *caveats(judged, counts, unknown_share, n_unlabelled),
    ]


def left_over(runs: Sequence[Run], sources: Sequence[Source]) -> list[str]:
    """Bundles that belong to none of the recordings, a sentence for each folder that has any.

    Raises ConfigurationError where a recording has no bundle.
    """
    notes = []
    for run in runs:
        used = {run.bundle_of(source) for source in sources}
        names = [name for name, path in run.bundles.items() if path not in used]
        if names:
            shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
            notes.append(
                f"Bundles of {run.name} that belong to no recording here and were not judged: "
                f"{len(names)} of {len(run.bundles)} ({shown})."
            )
    return notes
