import math

import numpy as np
import pytest

from edge_ad.detect.score import WindowScorer
from tests import naive


@pytest.mark.parametrize("shape", [(1, 1), (10, 8), (30, 64), (200, 3)])
def test_equals_the_definition(shape):
    rng = np.random.default_rng(0)
    scorer = WindowScorer(*shape)
    for scale in (1, 1e-3, 1e4):
        window = rng.normal(size=shape, scale=scale).astype(np.float32)
        reconstruction = rng.normal(size=shape, scale=scale).astype(np.float32)
        shares, score = scorer.score(window, reconstruction)
        expected_shares, expected = naive.score(window, reconstruction)
        np.testing.assert_allclose(shares, expected_shares, rtol=1e-5)
        assert score == pytest.approx(expected, rel=1e-5)
        assert score == math.fsum(shares.tolist())


@pytest.mark.parametrize("shape", [(1, 1), (10, 8), (11, 1), (30, 64), (200, 3)])
def test_many_windows_score_as_one_by_one_to_the_bit(shape):
    rng = np.random.default_rng(1)
    windows = rng.normal(size=(50, 1, *shape)).astype(np.float32)
    reconstructions = rng.normal(size=(50, 1, *shape)).astype(np.float32)
    scorer = WindowScorer(*shape)
    shares = np.empty((50, shape[1]), np.float32)
    scores = scorer.score_each(windows, windows - reconstructions, shares)
    expected = [scorer.score(*pair) for pair in zip(windows, reconstructions, strict=True)]
    assert scores == [score for _, score in expected]
    np.testing.assert_array_equal(shares, [shares for shares, _ in expected])


def test_mean_is_the_windows_mean_absolute_error():
    window = np.array([[1, 2], [3, 4]], np.float32)
    _, score = WindowScorer(2, 2, "mean").score(window, np.zeros_like(window))
    assert score == pytest.approx(2.5)


def test_results_do_not_share_the_scorers_buffers():
    scorer = WindowScorer(2, 2)
    first, _ = scorer.score(np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32))
    scorer.score(np.full((2, 2), 9, np.float32), np.zeros((2, 2), np.float32))
    assert first.tolist() == [1, 1]
