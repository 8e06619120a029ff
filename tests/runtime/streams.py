"""Streams with everything in them that can go wrong, and decisions as comparable values."""

import dataclasses

import numpy as np

from edge_ad.bundle import bundle as bundles
from tests.conftest import DATA


def plain(decision):
    """A decision as comparable values; NaN equals NaN."""
    shares = None if decision.contributions is None else decision.contributions.tolist()
    return repr(decision._replace(contributions=shares, latency_ns=0))


def bundle(name="toy.edgead", **alarm):
    """The toy with stuck channels watched."""
    toy = bundles.read(DATA / name)
    channels = tuple(
        dataclasses.replace(channel, low=None, high=None, flat_after=30) for channel in toy.manifest.channels
    )
    rule = dataclasses.replace(toy.manifest.alarm_rule, **alarm)
    return dataclasses.replace(
        toy, manifest=dataclasses.replace(toy.manifest, channels=channels, alarm_rule=rule)
    )


def recording(toy, n, seed=0):
    """Mostly normal samples with stretches of everything that can be wrong."""
    rng = np.random.default_rng(seed)
    offset, scale = np.array(toy.manifest.scaler.offset), np.array(toy.manifest.scaler.scale)
    times = np.cumsum(rng.choice([1.0] * 200 + [2.0, 5.5, 0.0, -2.0, 60.0, -60.0, np.nan, 1e5], n))
    times = np.where(np.isnan(times), np.nan, np.arange(n) + np.nan_to_num(times - np.arange(n)))
    samples = offset + scale * rng.normal(size=(n, len(offset)))
    for _ in range(n // 100):
        at = slice(start := int(rng.integers(n)), start + int(rng.integers(60)))
        kind = rng.integers(4)
        if kind == 0:
            samples[at, rng.integers(8)] = rng.choice([np.nan, np.inf, 1e300, 1e29])
        elif kind == 1:
            samples[at, 3] = samples[start, 3]
        else:
            samples[at] += 5 * scale
    return samples, times
