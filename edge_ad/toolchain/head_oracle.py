"""Detector heads in float64, many windows at once: what they are fitted by, and devices are held against.

Independent of `edge_ad.detect.fusion`, which computes one window after the other on a device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.heads import Head, Heads

Array = NDArray[np.floating]
_LARGEST_SHARE = 1e30  # where the device cuts


def head_means(
    windows: Array, reconstructions: Array, *, of: str, baseline: int, drifting: tuple[bool, ...]
) -> NDArray[np.float64]:
    """What `t2` and `z-max` look at, `(n, n_channels)` or twice as many for moments.

    Windows and reconstructions are `(n, window_length, n_channels)`.
    """
    values = np.asarray(windows, np.float64)
    if of == "window-moments":
        return np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1)
    if of == "residual-mean":
        values = values - reconstructions
    means: NDArray[np.float64] = values.mean(axis=1)
    if baseline:
        mask = np.array(drifting or (True,) * windows.shape[2])
        means = means - np.where(mask, values[:, :baseline].mean(axis=1), 0)
    return means


def head_shares(head: Head, windows: Array, reconstructions: Array) -> NDArray[np.float64]:
    """The channels' shares of a head's statistic, `(n, n_channels)`, before scale and weight."""
    if head.kind in ("l1", "q"):
        residuals = np.asarray(windows, np.float64) - reconstructions
        shares: NDArray[np.float64] = (np.abs(residuals) if head.kind == "l1" else np.square(residuals)).mean(
            axis=1
        )
    else:
        means = head_means(
            windows, reconstructions, of=head.of, baseline=head.baseline, drifting=head.drifting
        )
        away = means - np.array(head.center)
        if head.kind == "t2":
            lower = np.zeros((len(head.root),) * 2)
            for index, row in enumerate(head.root):
                lower[index, : index + 1] = row
            shares = np.square(away @ (lower + np.tril(lower, -1).T))
            shares = shares.reshape(len(shares), head.per_channel, -1).sum(axis=1)
        else:
            z = np.abs(away) / np.array(head.spread)
            if head.channels:
                z = np.where(head.channels, z, 0)
            shares = np.where(np.arange(z.shape[1]) == z.argmax(axis=1)[:, np.newaxis], z, 0)
    return np.where(head.channels, shares, 0) if head.channels else shares


def fused_scores(heads: Heads, windows: Array, reconstructions: Array) -> NDArray[np.float64]:
    """The scores `(n,)` of windows and their reconstructions, `(n, window_length, n_channels)` each."""
    with np.errstate(over="ignore", invalid="ignore"):
        statistics = [
            np.minimum(
                head_shares(head, windows, reconstructions) * (head.weight / head.scale), _LARGEST_SHARE
            ).sum(axis=1)
            for head in heads.heads
        ]
        fuse = np.max if heads.fusion == "max" else np.sum
        scores: NDArray[np.float64] = fuse(statistics, axis=0)
    return scores
