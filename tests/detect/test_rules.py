import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.manifest import AlarmRuleEntry, SeverityEntry
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.rules import AlarmRule, leaderboard_flags
from tests import naive
from tests.naive_stream import alarms


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


def flags_of(rule, scores):
    flags = []
    for score in scores:
        if score is None:
            rule.reset()
        flags.append(False if score is None else rule.update(score))
    return flags


scores = st.lists(st.sampled_from([0.5, 0.79, 0.8, 0.81, 1.0, 1.01, 2.0, 3.0, None]), max_size=60)


@given(scores, st.integers(1, 5))
def test_the_consecutive_rule(scores, k):
    exceeds = [None if score is None else score > 1 for score in scores]
    assert flags_of(AlarmRule(1.0, k), scores) == naive.streaming_flags(exceeds, k)


@given(scores, st.integers(1, 5), st.integers(0, 5), st.sampled_from([1.0, 0.8, 0.1]))
def test_k_of_n_with_hysteresis(scores, k, more, clear_ratio):
    expected = alarms(scores, 1.0, k, k + more, clear_ratio)
    assert flags_of(AlarmRule(1.0, k, k + more, clear_ratio), scores) == expected


@given(scores, st.floats(0, 3), st.integers(1, 4), st.integers(0, 4), st.sampled_from([1.0, 0.5]))
def test_a_quiet_rule_stays_quiet(scores, highest, k, more, clear_ratio):
    rule = AlarmRule(1.0, k, k + more, clear_ratio)
    flags_of(rule, scores)
    if rule.is_quiet(highest):
        assert not any(flags_of(rule, [highest, highest / 2, highest]))
        assert rule.is_quiet(highest)


def test_a_quiet_rule_by_hand():
    rule = AlarmRule(1.0, 2)
    assert rule.is_quiet(1.0)
    assert not rule.is_quiet(1.1)
    assert not rule.is_quiet(float("nan"))
    rule.update(2.0)
    assert not rule.is_quiet(0.5)
    rule.update(0.5)
    rule.update(0.5)
    assert rule.is_quiet(0.5)


def test_the_shipped_default_is_the_consecutive_rule():
    entry = AlarmRuleEntry()
    assert (entry.kind, entry.k, entry.n, entry.clear_ratio, entry.hold_off_s) == ("consecutive", 3, 0, 1, 0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"n": 4}, "consecutive rule has no n"),
        ({"kind": "k-of-n", "n": 2}, "k must be at most n"),
        ({"kind": "k-of-n", "n": 10_001}, "n at most 10000"),
        ({"clear_ratio": 0.0}, "clear_ratio"),
        ({"clear_ratio": 1.1}, "clear_ratio"),
        ({"hold_off_s": -1.0}, "hold_off_s"),
        ({"severities": ()}, "severities must start"),
        ({"severities": (SeverityEntry("a", 1.0),)}, "severities must start"),
        ({"severities": (SeverityEntry("a", 0.0), SeverityEntry("b", 0.0))}, "rise"),
        ({"severities": (SeverityEntry("a", 0.0), SeverityEntry("a", 2.0))}, "same name"),
    ],
)
def test_rules_that_make_no_sense(change, problem):
    with pytest.raises(ValueError, match=problem):
        AlarmRuleEntry(**change)


def test_limit_is_the_notebooks_formula():
    scores = np.random.default_rng(0).gamma(2, size=391)
    assert LimitRule().limit(scores) == np.percentile(scores, 0.99 * 100) * 3 / 2
