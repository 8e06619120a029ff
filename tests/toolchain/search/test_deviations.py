"""Synthetic deviations: what is put where, and how much of it."""

import numpy as np
import pytest

from edge_ad.toolchain.datasets.formats import SKAB
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.search.deviations import (
    DRIFT_S,
    KINDS,
    LARGEST,
    SMALLEST,
    Deviation,
    draw_deviations,
    with_deviation,
)

N, LEARNED = 400, 300


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(0)
    samples = rng.normal([5, 100, 7], [0.5, 20, 0], size=(N, 3))
    in_train = np.arange(N) < LEARNED
    return Recording("pump", np.arange(float(N)), samples, SKAB.channels[:3], None, in_train, "a" * 64)


def test_every_kind_for_every_channel_that_changes(recording):
    drawn = draw_deviations(recording, 0)
    assert [(one.channel, one.kind) for one in drawn] == [(c, kind) for c in (0, 1) for kind in KINDS]
    assert all(SMALLEST <= abs(one.size) <= LARGEST for one in drawn)
    assert {np.sign(one.size) for one in drawn} == {-1.0, 1.0}
    assert all(LEARNED + 10 <= one.start < LEARNED + 40 for one in drawn)
    assert drawn == draw_deviations(recording, 0)
    assert drawn != draw_deviations(recording, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_channel_behind_the_start_changes(recording, kind):
    start, before = 320, recording.samples.copy()
    changed = with_deviation(recording, Deviation(kind, 1, start, -2.0, 5))
    np.testing.assert_array_equal(recording.samples, before)
    np.testing.assert_array_equal(changed[:start], before[:start])
    np.testing.assert_array_equal(changed[:, [0, 2]], before[:, [0, 2]])
    sigma = before[:LEARNED, 1].std()
    values, normal = changed[start:, 1], before[start:, 1]
    if kind == "shift":
        np.testing.assert_allclose(values - normal, -2 * sigma)
    elif kind == "gain":
        mean = before[:LEARNED, 1].mean()
        np.testing.assert_allclose(values - mean, 3 * (normal - mean))
    elif kind == "noise":
        assert 1.5 * sigma < (values - normal).std() < 2.5 * sigma
    elif kind == "stuck":
        assert (values == before[start - 1, 1]).all()
    else:
        elapsed = np.arange(N - start)
        np.testing.assert_allclose(values - normal, -2 * sigma * np.minimum(elapsed / DRIFT_S, 1))
