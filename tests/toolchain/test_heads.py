"""Fitting heads: beside scikit-learn and scipy, the plain definition, and the device's own arithmetic."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from edge_ad.detect.fusion import make_scorer
from edge_ad.detect.heads import Heads
from edge_ad.detect.limit import LimitRule
from edge_ad.errors import ConfigurationError, TrainingError
from edge_ad.toolchain.detector_settings import DetectorSettings, HeadSettings
from edge_ad.toolchain.head_oracle import fused_scores, head_shares
from edge_ad.toolchain.heads import ScoredWindows, fit_detector, ledoit_wolf, precision_root
from edge_ad.toolchain.oracle import window_scores
from tests import naive

NAMES = ("Pressure", "Flow", "Current", "Dead")
RULE = LimitRule()


def some_windows(n=300, length=10, seed=0):
    """Correlated channels that wander, and one that never changes; with reconstructions."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(3, 3))
    samples = np.zeros((n + length - 1, 4), np.float32)
    samples[:, :3] = rng.normal(size=(len(samples), 3)) @ mix + np.sin(np.arange(len(samples)) / 9)[:, None]
    windows = np.lib.stride_tricks.sliding_window_view(samples, length, axis=0).transpose(0, 2, 1)
    return ScoredWindows(
        windows, (windows * 0.8 + rng.normal(size=windows.shape, scale=0.1)).astype(np.float32)
    )


ALL = (
    HeadSettings("l1"),
    HeadSettings("q", weight=0.5),
    HeadSettings("t2"),
    HeadSettings("t2", of="residual-mean", covariance="plain", ridge=1e-3),
    HeadSettings("t2", baseline=3, drifting=("Flow",), channels=("Flow", "Current")),
    HeadSettings("z-max", of="residual-mean"),
    HeadSettings("z-max", baseline=4, channels=("Pressure",)),
)


@pytest.mark.parametrize("fusion", ["max", "sum"])
def test_device_and_workstation_score_fitted_heads_alike(fusion):
    data = some_windows()
    heads = fit_detector(DetectorSettings(ALL, fusion), NAMES, data, data, RULE)
    others = some_windows(50, seed=1)
    expected = window_scores(others.windows, others.reconstructions, heads)
    scorer = make_scorer(10, 4, heads)
    found = [scorer.score(*pair)[1] for pair in zip(others.windows, others.reconstructions, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    slow = [
        naive.fused(heads, w.tolist(), r.tolist())[1]
        for w, r in zip(*dataclasses.astuple(others), strict=True)
    ]
    np.testing.assert_allclose(expected, slow, rtol=1e-9)


def test_a_scale_is_the_heads_own_limit_on_the_limit_windows():
    fit, limit = some_windows(), some_windows(200, seed=2)
    for settings in ALL:
        (head,) = fit_detector(DetectorSettings((settings,)), NAMES, fit, limit, RULE).heads
        unit = Heads((dataclasses.replace(head, weight=1.0),))
        scores = fused_scores(unit, limit.windows, limit.reconstructions)
        assert naive.percentile(scores.tolist(), 99) * 1.5 == pytest.approx(1, rel=1e-7)


def test_t2_is_the_squared_mahalanobis_distance():
    data = some_windows()
    settings = HeadSettings("t2", covariance="plain", ridge=0.0, channels=NAMES[:3])
    (head,) = fit_detector(DetectorSettings((settings,)), NAMES, data, data, RULE).heads
    means = data.windows.astype(float).mean(axis=1)[:, :3]
    inverse = np.linalg.inv(np.cov(means.T, bias=True))
    expected = [mahalanobis(row, means.mean(axis=0), inverse) ** 2 for row in means]
    shares = head_shares(head, data.windows, data.reconstructions)
    np.testing.assert_allclose(shares.sum(axis=1), expected, rtol=1e-5)
    assert not shares[:, 3].any()
    # in the fit windows themselves it is, on average, the number of channels
    assert shares.sum(axis=1).mean() == pytest.approx(3, rel=1e-5)


@pytest.mark.parametrize("shape", [(300, 8), (20, 8), (9, 30), (50, 1)])
def test_shrunk_covariance_is_scikit_learns(shape):
    rng = np.random.default_rng(3)
    samples = rng.normal(size=shape) @ rng.normal(size=(shape[1], shape[1])) + 5
    np.testing.assert_allclose(
        ledoit_wolf(samples), LedoitWolf().fit(samples).covariance_, rtol=1e-9, atol=1e-12
    )


def test_a_root_is_symmetric_and_squares_to_the_precision():
    rng = np.random.default_rng(4)
    means = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    root = precision_root(means, means.shape[1], HeadSettings("t2", covariance="plain", ridge=0.0))
    np.testing.assert_allclose(root, root.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(root @ root @ np.cov(means.T, bias=True), np.eye(5), atol=1e-8)


def test_channels_that_say_the_same_twice_can_be_fitted():
    means = np.random.default_rng(5).normal(size=(100, 2))[:, [0, 1, 0]]
    for ridge in (0.0, 1e-6):
        root = precision_root(means, means.shape[1], HeadSettings("t2", covariance="plain", ridge=ridge))
        assert np.isfinite(root).all()


def test_what_cannot_be_fitted_is_refused_in_words():
    still = ScoredWindows(np.ones((50, 10, 4), np.float32), np.ones((50, 10, 4), np.float32))
    with pytest.raises(TrainingError, match="no channel's mean changes"):
        fit_detector(DetectorSettings((HeadSettings("t2"),)), NAMES, still, still, RULE)
    with pytest.raises(TrainingError, match="l1 of residual has a limit of 0"):
        fit_detector(DetectorSettings((HeadSettings("l1"),)), NAMES, still, still, RULE)
    data = some_windows()
    lost = dataclasses.replace(data, reconstructions=np.full_like(data.reconstructions, np.nan))
    with pytest.raises(TrainingError, match="not every reconstruction is finite"):
        fit_detector(DetectorSettings((HeadSettings("t2", of="residual-mean"),)), NAMES, lost, lost, RULE)
    with pytest.raises(ConfigurationError, match="no channel is called 'Presure'; there are: Pressure, "):
        DetectorSettings((HeadSettings("t2", channels=("Presure",)),)).check(NAMES, 10)
    with pytest.raises(ConfigurationError, match="leaves nothing of a window of 10"):
        DetectorSettings((HeadSettings("t2", baseline=10),)).check(NAMES, 10)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "l1", "of": "window-mean"}, "of can be residual"),
        ({"kind": "t2", "of": "residual"}, "of can be window-mean or residual-mean"),
        ({"kind": "q", "baseline": 2}, "a baseline is for t2 and z-max"),
        ({"kind": "t2", "drifting": ("Flow",)}, "drifting needs one"),
        ({"kind": "t2", "ridge": -1.0}, "ridge must lie"),
        ({"kind": "t2", "weight": 0.0}, "weight must lie"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        HeadSettings(**fields)


def test_moments_of_a_channel_are_weighed_together_and_channels_apart():
    rng = np.random.default_rng(8)
    common = rng.normal(size=(5000, 1))
    moments = np.hstack([common, common, 2 * common, rng.normal(size=(5000, 1))]) + rng.normal(size=(5000, 4))
    settings = HeadSettings("t2", of="window-moments", covariance="per-channel", ridge=0.0)
    root = precision_root(moments, 2, settings)
    for channel in (0, 1):
        pair = [channel, channel + 2]  # its mean and its standard deviation
        own = np.linalg.inv(np.cov(moments[:, pair].T, bias=True))
        np.testing.assert_allclose((root @ root)[np.ix_(pair, pair)], own, rtol=1e-9)
        np.testing.assert_allclose(root[np.ix_(pair, [1 - channel, 3 - channel])], 0, atol=1e-12)
