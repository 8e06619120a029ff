"""Percentiles, spread, drift, and when they are over-interpreted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bench.figures import disagreement, drift, enough_for, percentiles, spread
from tests import naive

VALUES = st.lists(st.integers(0, 10**12), min_size=1, max_size=50)


@given(st.lists(VALUES, min_size=1, max_size=4), st.sampled_from([0, 50, 95, 99, 99.9, 100]))
def test_percentiles_are_of_all_processes_together(series, percent):
    together = [value for values in series for value in values]
    assert percentiles(series, [percent])[0] == pytest.approx(naive.percentile(together, percent), rel=1e-9)


@pytest.mark.parametrize(
    ("percent", "n", "enough"),
    [
        (50, 20, True),
        (50, 19, False),
        (95, 200, True),
        (99, 999, False),
        (99, 1000, True),
        (99.9, 9999, False),
    ],
)
def test_a_percentile_needs_values_beyond_it(percent, n, enough):
    assert enough_for(n, percent) is enough


def test_spread_is_of_the_middle_half():
    assert spread([100] * 80 + [10_000] * 20) == 0
    assert spread([90, 100, 110, 90, 100, 110]) == pytest.approx(0.15)


def test_drift_is_from_half_to_half():
    assert drift([100] * 10 + [150] * 10) == pytest.approx(0.5)
    assert drift([100, 150] * 10) == 0
    assert drift([7]) == 0


def test_processes_disagree_by_their_medians():
    assert disagreement([[100, 100, 9_000], [120, 120, 1]]) == pytest.approx(0.2)
    assert disagreement([[5]]) == 0
