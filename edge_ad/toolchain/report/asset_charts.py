"""The charts of one asset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.report.chart import Chart, Limit, Series, styles
from edge_ad.toolchain.report.course import Course, contributions, timeline
from edge_ad.toolchain.report.distribution import distribution_chart
from edge_ad.toolchain.report.facts import AssetFacts


def asset_charts(facts: AssetFacts) -> Iterator[Chart]:
    """In the order in which they are to be read."""
    yield timeline(course(facts))
    yield contributions(course(facts))
    yield from other_charts(facts)


def other_charts(facts: AssetFacts) -> Iterator[Chart]:
    """Those that are not over time."""
    yield score_distribution(facts)
    for model in facts.trainings:
        yield training_curves(facts, model)
    yield from headrooms(facts)


def course(facts: AssetFacts) -> Course:
    """The recording with its scores, in units of each form's own limit."""
    default = facts.default
    ordered = [default, *(variant for variant in facts.variants if variant is not default)]
    return Course(
        name=facts.name,
        channels=facts.channels,
        times=facts.recording.times,
        ratios={variant.name: variant.scores / variant.ucl for variant in ordered},
        contributions=facts.contributions / default.ucl,
        alarms=facts.default.alarms,
        unknown=facts.default.unknown,
        labels=facts.recording.labels,
        in_train=facts.recording.in_train,
        period_s=facts.period_s,
        score=facts.score,
    )


def score_distribution(facts: AssetFacts) -> Chart:
    """How the scores of training, normal and anomalous windows lie about the limit."""
    return distribution_chart(
        f"{facts.name}-scores", f"of {facts.name} by {facts.default.name}", facts.score, score_classes(facts)
    )


def score_classes(facts: AssetFacts) -> dict[str, NDArray[np.float64]]:
    """Scores over the UCL by what their rows are, as far as that is known."""
    recording, scores = facts.recording, facts.default.scores / facts.default.ucl
    in_train, tested = recording.in_train, recording.tested
    if recording.labels is None:
        found = {"training": scores[in_train], "test": scores[tested]}
    else:
        found = {
            "training": scores[in_train],
            "test, normal": scores[tested & ~recording.labels],
            "test, anomalous": scores[tested & recording.labels],
        }
    return {name: values[np.isfinite(values)] for name, values in found.items()}


def training_curves(facts: AssetFacts, model: str) -> Chart:
    """Losses by epoch."""
    record = facts.trainings[model]
    losses, validation = np.array(record.losses), np.array(record.validation_losses)
    best = int(validation.argmin())
    return Chart(
        name=f"{facts.name}-training-{model}",
        title=f"Training of {model}",
        text=f"Loss of {facts.name} {model} over {len(losses)} epochs. On the training windows it goes "
        f"from {losses[0]:.3g} to {losses[-1]:.3g}; on those held out it is lowest in epoch {best + 1}: "
        f"{validation[best]:.3g}.",
        x_label="epoch",
        y_label="training loss (mean absolute error)",
        x=np.arange(1.0, len(losses) + 1),
        series=(Series("training", losses, 0), Series("validation", validation, 1, 1)),
        marks=(Limit(best + 1.0, "lowest"),),
    )


def headrooms(facts: AssetFacts) -> Iterator[Chart]:
    """The search for the ranges of each integer-only form."""
    for variant in facts.variants:
        calibration = variant.conversion.calibration
        if calibration is None:
            continue
        groups = list(dict.fromkeys(point.group for point in calibration.curve))
        factors = sorted({point.headroom for point in calibration.curve})
        tried = {(point.group, point.headroom): point.error for point in calibration.curve}
        lines = {
            group: np.array([tried.get((group, factor), np.nan) for factor in factors]) for group in groups
        }
        chosen = ", ".join(f"{group} {factor:g}" for group, factor in calibration.headrooms.items())
        yield Chart(
            name=f"{facts.name}-headroom-{variant.model}",
            title=f"Calibration of {variant.name}",
            text=f"How far the alarm levels of {variant.name} are from the network's for each headroom that "
            f"was tried, one group of quantities after the other. Chosen: {chosen}, with an error of "
            f"{calibration.error:.3g}.",
            x_label="headroom (factor on the training windows)",
            y_label="mean error of score / UCL",
            x=np.array(factors),
            series=tuple(
                Series(group, lines[group], *style)
                for group, style in zip(groups, styles(len(groups)), strict=True)
            ),
        )
