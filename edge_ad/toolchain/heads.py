"""Fitting detector heads: centers, roots and spreads from the fit windows, scales from the limit windows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.fusion import HeadScorer
from edge_ad.detect.heads import LARGEST_SCALE, Follow, Head, Heads
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.rules import AlarmRule
from edge_ad.errors import TrainingError
from edge_ad.toolchain.detector_settings import DetectorSettings, HeadSettings
from edge_ad.toolchain.head_oracle import head_means, head_shares

_DIGITS = 8
"""Significant ones of a fitted number: a bundle's size is mostly these, and no detector needs more."""
_STILL = 1e-9
"""A channel whose mean varies less, in scaled units, does not vary; its spread is then its scaler's."""


@dataclass(frozen=True)
class ScoredWindows:
    """Scaled windows and what a network makes of them."""

    windows: NDArray[np.float32]
    """`(n, window_length, n_channels)`."""
    reconstructions: NDArray[np.float32]
    """As the windows."""


def fit_detector(
    settings: DetectorSettings,
    names: Sequence[str],
    fit: ScoredWindows,
    limit: ScoredWindows,
    rule: LimitRule,
) -> Heads:
    """The heads of a model whose channels have these names.

    A head's scale is `percentile(statistics, rule.percentile) * rule.factor` over the limit windows, so that
    1 stands for a head at its own limit. Raises ConfigurationError, and TrainingError for windows that a head
    cannot be fitted on.
    """
    heads = (_fit(head, names, fit) for head in settings.heads)
    return Heads(tuple(_scaled(head, limit, rule) for head in heads), settings.fusion)


def streamed_scores(
    heads: Heads,
    scored: ScoredWindows,
    scores: NDArray[np.float64],
    whole: NDArray[np.bool_],
    rule: AlarmRule,
) -> NDArray[np.float64]:
    """The scores `(n,)` of a recording's windows in a stream, where a head follows.

    `scores` `(n,)` are those of the windows each on its own, which those have that are not `whole` `(n,)`: a
    stream does not score these.
    """
    _, window_length, n_channels = scored.windows.shape
    scorer = HeadScorer(window_length, n_channels, heads, following=True)
    found = scores.copy()
    for index in range(len(scores)):
        if not whole[index]:
            rule.reset()
            continue
        _, score = scorer.score(scored.windows[index], scored.reconstructions[index])
        found[index] = score
        if not rule.update(score):
            scorer.follow(score / rule.ucl)
    return found


def _fit(settings: HeadSettings, names: Sequence[str], fit: ScoredWindows) -> Head:
    channels = settings.mask(names, settings.channels)
    plain: dict[str, Any] = {
        "kind": settings.kind,
        "of": settings.input,
        "weight": settings.weight,
        "channels": channels,
    }
    if settings.kind in ("l1", "q"):
        return Head(**plain)
    drifting = settings.mask(names, settings.drifting)
    means = head_means(
        fit.windows, fit.reconstructions, of=settings.input, baseline=settings.baseline, drifting=drifting
    )
    if not np.isfinite(means).all():
        raise TrainingError(f"a head {settings.kind} cannot be fitted: not every reconstruction is finite")
    per_channel = means.shape[1] // len(names)
    seen = np.array((channels or (True,) * len(names)) * per_channel)
    plain |= {"baseline": settings.baseline, "drifting": drifting}
    center = np.where(seen, means.mean(axis=0), 0)
    if settings.kind == "z-max":
        deviation = means.std(axis=0)
        spread = np.where(deviation > _STILL, deviation, 1.0)
        return Head(**plain, center=_rounded(center), spread=_rounded(spread))
    root = np.zeros((means.shape[1],) * 2)
    root[np.ix_(seen, seen)] = precision_root(means[:, seen], int(seen.sum()) // per_channel, settings)
    triangle = tuple(_rounded(row[: index + 1]) for index, row in enumerate(root))
    follow = None
    if settings.follow:
        reach = np.where(seen, settings.follow_cap * means.std(axis=0), 0)
        distance = settings.follow_cap * math.sqrt(
            np.count_nonzero(seen)
        )  # of a corner, were all independent
        follow = Follow(settings.follow, settings.follow_below, _rounded(reach), distance)
    return Head(**plain, center=_rounded(center), root=triangle, follow=follow)


def precision_root(
    means: NDArray[np.float64], n_channels: int, settings: HeadSettings
) -> NDArray[np.float64]:
    """The symmetric root `(n, n)` of the inverse of the covariance of `(n_windows, n)` means.

    Number `i` belongs to channel `i % n_channels`.
    """
    covariance = ledoit_wolf(means) if settings.covariance == "ledoit-wolf" else np.cov(means.T, bias=True)
    covariance = np.atleast_2d(covariance)
    channel = np.arange(len(covariance)) % n_channels
    apart = (settings.covariance == "per-channel") & (channel != channel[:, np.newaxis])
    covariance = np.where(apart, 0, covariance)
    mean_variance = float(np.trace(covariance)) / len(covariance)
    if mean_variance <= _STILL**2:
        raise TrainingError("a head t2 cannot be fitted: no channel's mean changes in the fit windows")
    values, vectors = np.linalg.eigh(covariance + settings.ridge * mean_variance * np.eye(len(covariance)))
    # what rounding leaves of a variance of nothing may be below zero
    values = np.maximum(values, np.finfo(np.float64).eps * len(values) * values.max())
    root = (vectors / np.sqrt(values)) @ vectors.T
    return np.where(apart, 0, root)  # what rounding leaves there would only take room


def ledoit_wolf(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance `(n, n)` of `(n_samples, n)` samples, shrunk towards a multiple of the identity.

    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004. It takes
    samples for independent; windows that overlap are not, and are shrunk too little rather than too much.
    """
    away = samples - samples.mean(axis=0)
    n, p = away.shape
    covariance = away.T @ away / n
    mean_variance = np.trace(covariance) / p
    distance = np.square(covariance).sum() / p - mean_variance**2
    noise = (np.square(away).T @ np.square(away)).sum() / n / p - np.square(covariance).sum() / p
    share = min(noise / n, distance) / distance if distance > 0 else 0.0
    shrunk: NDArray[np.float64] = (1 - share) * covariance + share * mean_variance * np.eye(p)
    return shrunk


def _scaled(head: Head, limit: ScoredWindows, rule: LimitRule) -> Head:
    with np.errstate(over="ignore", invalid="ignore"):
        statistics = head_shares(head, limit.windows, limit.reconstructions).sum(axis=1)
    scale = float(np.percentile(statistics, rule.percentile)) * rule.factor
    if not 1 / LARGEST_SCALE <= scale <= LARGEST_SCALE:
        raise TrainingError(f"the head {head.text()} has a limit of {scale:g} on the limit windows: unusable")
    return dataclasses.replace(head, scale=_rounded(np.array([scale]))[0])


def _rounded(numbers: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{number:.{_DIGITS}g}") for number in numbers.tolist())
