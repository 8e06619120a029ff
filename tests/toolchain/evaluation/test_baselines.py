"""Baselines of an evaluation against slow, obvious ones."""

import numpy as np
import pytest

from edge_ad.bundle.manifest import AlarmRuleEntry
from edge_ad.detect.window import sliding_windows
from edge_ad.errors import DataError
from edge_ad.toolchain.datasets.formats import SKAB
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluation.baselines import (
    BASELINES,
    amplitude,
    baseline_alarms,
    isolation_forest,
    learn,
    t_squared,
)

LENGTH = 5


def recording(n=300, n_train=120, fault=(200, 240), seed=0):
    random = np.random.default_rng(seed)
    mixed = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 0.0], [0.3, 0.0, 0.0]])
    samples = random.normal(size=(n, 3)) @ mixed + [10, -3, 7]
    samples[:, 2] = 7.0  # a channel that never changes while it is trained on
    labels = np.zeros(n, bool)
    labels[slice(*fault)] = True
    samples[labels, 0] += 8
    in_train = np.arange(n) < n_train
    return Recording("pump", np.arange(float(n)), samples, SKAB.channels[:3], labels, in_train, "")


@pytest.fixture(scope="module")
def learned():
    return learn(recording(), np.ones(300 - LENGTH + 1, bool), LENGTH)


def test_only_windows_of_the_train_span_are_learned_from(learned):
    assert learned.train.tolist() == list(range(120 - LENGTH + 1))
    scaled = learned.windows[learned.train].reshape(-1, 3)
    assert np.abs(scaled).max() < 5


def test_t_squared_is_the_distance_of_the_means(learned):
    scores, limit = t_squared(learned.windows, learned.train)
    means = [np.mean(window.astype(float), axis=0) for window in learned.windows]
    n_fit = len(learned.train) * 3 // 4
    fitted = np.array([means[i] for i in learned.train[:n_fit]])
    covariance = np.cov(fitted.T) + 1e-6 * np.eye(3)
    for i in (0, 50, 150, 210, 295):
        apart = means[i] - fitted.mean(axis=0)
        assert scores[i] == pytest.approx(np.sqrt(apart @ np.linalg.solve(covariance, apart)))
    held_back = [i for i in learned.train if i >= n_fit - 1 + LENGTH]
    assert limit == pytest.approx(1.5 * np.percentile(scores[held_back], 99))
    assert not set(range(n_fit - 1 + LENGTH)) & set(held_back)


def test_a_train_span_too_short_to_hold_back_from_limits_by_all_of_it():
    short = learn(recording(n_train=60), np.ones(300 - LENGTH + 1, bool), LENGTH)
    scores, limit = t_squared(short.windows, short.train)
    assert limit == pytest.approx(1.5 * np.percentile(scores[short.train], 99))


def test_every_baseline_that_scores_sees_an_obvious_fault(learned):
    data = recording()
    for baseline in BASELINES:
        if baseline.score is None:
            continue
        alarms = baseline_alarms(
            baseline, learned, data, np.ones(len(learned.windows), bool), AlarmRuleEntry(k=3)
        )
        for rule, found in alarms.items():
            assert len(found.on) == 180
            # in the middle of the fault, whichever rule
            assert found.on[90:110].all(), (baseline.name, rule)
        assert alarms["streaming"].on[:60].mean() < 0.5, baseline.name


def test_windows_without_numbers_have_no_score():
    data = recording()
    data.samples[250, 1] = np.nan
    whole = ~np.isnan(sliding_windows(data.samples, LENGTH)).any(axis=(1, 2))
    found = learn(data, whole, LENGTH)
    for score in (amplitude, t_squared, isolation_forest):
        scores, limit = score(found.windows, found.train)
        assert np.isnan(scores).sum() == LENGTH
        assert np.isfinite(limit)


def test_a_train_span_of_too_few_windows_is_refused_with_the_next_step():
    with pytest.raises(DataError, match=r"has 6 whole windows of 5 rows.*--train-rows, or --no-baselines"):
        learn(recording(n_train=10), np.ones(300 - LENGTH + 1, bool), LENGTH)
