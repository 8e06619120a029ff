import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.detect.limit import LimitRule
from edge_ad.detect.rules import ConsecutiveRule, leaderboard_flags
from tests import naive


@given(st.lists(st.sampled_from([True, True, True, False]), max_size=80), st.integers(2, 12))
def test_leaderboard_rule_is_the_notebooks_loop(exceeds, length):
    n_rows = len(exceeds) + length - 1
    flags = leaderboard_flags(np.array(exceeds, bool), length, n_rows)
    assert flags.tolist() == naive.notebook_flags(exceeds, length, n_rows)


def test_leaderboard_rule_by_hand():
    # Windows of 3: row i needs the windows starting at i-2 and i-1.
    exceeds = np.array([True, True, True, False, True, True, True, True])
    flags = leaderboard_flags(exceeds, 3, 10)
    assert np.flatnonzero(flags).tolist() == [2, 3]


@given(st.lists(st.sampled_from([True, True, False, None]), max_size=60), st.integers(1, 5))
def test_streaming_rule(exceeds, k):
    rule = ConsecutiveRule(k)
    flags = []
    for value in exceeds:
        if value is None:
            rule.reset()
            flags.append(False)
        else:
            flags.append(rule.update(value))
    assert flags == naive.streaming_flags(exceeds, k)


def test_limit_is_the_notebooks_formula():
    scores = np.random.default_rng(0).gamma(2, size=391)
    assert LimitRule().limit(scores) == np.percentile(scores, 0.99 * 100) * 3 / 2
