import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.detect.drift import DriftMonitor

STEPS = np.linspace(0, 1, 21)


def naive_psi(quantiles, scores):
    """Bin by bin, over the bins between different quantiles, the outer ones open."""
    n_steps = len(quantiles) - 1
    edges = sorted(set(quantiles[1:]))
    shares, below = [], 0.0
    for edge in edges:
        up_to = max(i for i, q in enumerate(quantiles) if q == edge) / n_steps
        shares.append(up_to - below)
        below = up_to
    if len(shares) < 2:
        return None
    counts = [0] * len(edges)
    for score in scores:
        counts[next((i for i, edge in enumerate(edges[:-1]) if score <= edge), len(edges) - 1)] += 1
    half = 0.5 * len(edges)
    actual = [(n + half * e) / (len(scores) + half) for n, e in zip(counts, shares, strict=True)]
    return sum((a - e) * math.log(a / e) for a, e in zip(actual, shares, strict=True))


def naive_ks(quantiles, scores):
    """At every quantile, and just below the smallest one."""
    n_steps, n = len(quantiles) - 1, len(scores)
    differences = [sum(s < quantiles[0] for s in scores) / n]
    for quantile in quantiles[1:]:
        expected = max(i for i, q in enumerate(quantiles) if q == quantile) / n_steps
        differences.append(abs(sum(s <= quantile for s in scores) / n - expected))
    return max(differences)


def figures(quantiles, scores, n_train=100_000, window_length=1):
    monitor = DriftMonitor(quantiles, n_train, window_length)
    monitor.add(np.arange(len(scores), dtype=float), np.array(scores, float))
    return monitor.figures()


values = st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 7.0])


@given(st.lists(values, min_size=2, max_size=12), st.lists(values, min_size=1, max_size=60))
def test_figures_are_those_of_plain_loops(quantiles, scores):
    quantiles = sorted(quantiles)
    result = figures(quantiles, scores)
    expected = naive_psi(quantiles, scores)
    assert result.psi == (None if expected is None else pytest.approx(expected, abs=1e-12))
    assert result.ks == pytest.approx(naive_ks(quantiles, scores), abs=1e-12)
    assert result.beyond_share == sum(s > quantiles[-1] for s in scores) / len(scores)
    assert result.n_windows == len(scores)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_levels(rng):
    training = rng.gamma(2, size=20_000)
    quantiles = np.quantile(training, STEPS)
    same = figures(quantiles, rng.gamma(2, size=20_000))
    assert same.level == "stable"
    assert same.psi < 0.01
    assert same.ks < 0.02
    shifted = figures(quantiles, rng.gamma(2, size=20_000) * 1.35)
    assert shifted.level == "moderate"
    assert 0.1 < shifted.psi < 0.25
    far = figures(quantiles, rng.gamma(2, size=20_000) * 3)
    assert far.level == "major"
    assert far.ks > 0.4
    assert far.beyond_share > 0.01


def test_few_windows_tell_nothing(rng):
    quantiles = np.quantile(rng.gamma(2, size=20_000), STEPS)
    monitor = DriftMonitor(quantiles, 20_000, 10)
    assert monitor.fewest_windows == 5 * 20 * 10
    monitor.add(np.arange(999.0), np.full(999, 100.0))
    assert monitor.figures().level == "unclear"
    monitor.add(np.array([999.0]), np.array([100.0]))
    assert monitor.figures().level == "major"


def test_noise_is_what_samples_without_drift_stay_below(rng):
    n_train, n = 800, 4000
    over = 0
    for _ in range(300):
        quantiles = np.quantile(rng.gamma(2, size=n_train), STEPS)
        result = figures(quantiles, rng.gamma(2, size=n), n_train)
        over += result.psi > result.psi_noise
    assert over <= 12  # three are to be expected


def test_after_little_training_a_large_psi_may_be_noise(rng):
    training = rng.gamma(2, size=391)
    scores = rng.gamma(2, size=20_000) * 1.35
    small = figures(np.quantile(training, STEPS), scores, n_train=391, window_length=10)
    assert small.psi > 0.1
    assert small.psi_noise > small.psi
    assert small.level == "unclear"


def test_training_scores_that_are_all_equal():
    result = figures([2.0] * 21, [2.0] * 150 + [1.0] * 30 + [3.0] * 20)
    assert result.psi is None
    assert result.psi_noise is None
    assert result.level == "unclear"
    assert result.ks == pytest.approx(0.15)
    assert result.beyond_share == pytest.approx(0.1)


def test_only_the_last_day_counts(rng):
    quantiles = np.quantile(rng.gamma(2, size=20_000), STEPS)
    monitor = DriftMonitor(quantiles, 20_000, 1)
    for day, factor in enumerate((3, 1)):
        scores = rng.gamma(2, size=8640) * factor
        monitor.add(day * 86400 + np.arange(8640) * 10.0, scores)
        assert monitor.figures().level == ("major", "stable")[day]
        assert monitor.figures().n_windows == 8640


def test_batches_do_not_matter(rng):
    quantiles = np.quantile(rng.gamma(2, size=1000), STEPS)
    scores, times = rng.gamma(2, size=5000), np.cumsum(rng.exponential(40, 5000))
    whole, parts = (DriftMonitor(quantiles, 1000, 10) for _ in range(2))
    whole.add(times, scores)
    for at in range(0, 5000, 700):
        parts.add(times[at : at + 700], scores[at : at + 700])
    assert whole.figures() == parts.figures()


def test_what_is_not_finite_is_left_out():
    monitor = DriftMonitor([0, 1, 2], 100, 1)
    monitor.add(np.array([1.0, math.nan, 3.0, math.inf]), np.array([1.0, 1.0, math.nan, 1.0]))
    assert monitor.figures().n_windows == 1


def test_nothing_yet():
    result = DriftMonitor([0, 1, 2], 100, 1).figures()
    assert dataclasses.astuple(result) == (0, "unclear", None, None, None, None)


@pytest.mark.parametrize("quantiles", [[], [1.0], [1.0, 0.5], [0.0, math.nan, 1.0]])
def test_quantiles_that_are_none(quantiles):
    with pytest.raises(ValueError, match="quantiles"):
        DriftMonitor(quantiles, 100, 1)
