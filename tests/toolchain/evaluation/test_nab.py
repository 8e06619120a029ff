"""SKAB's changepoint score: by hand, and against a slow reading of its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.toolchain.evaluation.nab import PROFILES, Changepoints, changepoints

SECONDS = np.arange(200.0)


def at(*rows, n=200):
    flags = np.zeros(n, bool)
    flags[list(rows)] = True
    return flags


def between(*spans, n=200):
    flags = np.zeros(n, bool)
    for start, end in spans:
        flags[start:end] = True
    return flags


def scores(found):
    return [found.score(profile) for profile in PROFILES.values()]


def test_all_perfect_is_100():
    found = changepoints(SECONDS, at(40, 120), between((40, 120)))
    assert found == Changepoints((0.0, 0.0), 0, 0)
    assert scores(found) == pytest.approx([100, 100, 100])


def test_a_detector_that_says_nothing_is_0():
    assert scores(changepoints(SECONDS, at(40, 120), at())) == pytest.approx([0, 0, 0])


def test_by_hand():
    # on at 50, 10 s into the first window of 60 s; off at 150, 30 s into the second; false at 5 and 6
    found = changepoints(SECONDS, at(40, 120), between((5, 6), (50, 150)))
    assert found == Changepoints((10 / 60, 0.5), 0, 2)
    # in the middle of a window, a prediction is worth the mean of a hit and a false alarm
    early = 1.11 / 2 * (1 + math.tanh(math.pi / 3) / math.tanh(math.pi / 2)) - 0.11
    standard = early + (1 - 0.11) / 2 - 2 * 0.11
    assert found.score(PROFILES["standard"]) == pytest.approx(100 * (standard + 2) / 4)


def test_a_window_has_both_its_ends():
    assert changepoints(SECONDS, at(40), at(100)).places == (1.0,)
    assert changepoints(SECONDS, at(40), between((101, 200))) == Changepoints((), 1, 1)


def test_an_alarm_from_the_first_row_on_is_a_predicted_changepoint():
    assert changepoints(SECONDS, at(40), between((0, 200))) == Changepoints((), 1, 1)


def test_without_labelled_changepoints_there_is_no_score():
    assert scores(changepoints(SECONDS, at(), at(3))) == [None, None, None]


def slow(times, labelled, alarms, profile):
    """The definition, word by word."""
    predicted = [times[i] for i in range(len(times)) if alarms[i] != (alarms[i - 1] if i else False)]
    windows, before = [], None
    for i in range(len(times)):
        if labelled[i]:
            windows.append((max(times[i], before) if before is not None else times[i], times[i] + 60))
            before = times[i] + 60
    score = 0.0
    for start, end in windows:
        within = [t for t in predicted if start <= t <= end]
        if not within:
            score += profile.false_negative
            continue
        x = -math.pi / 2 + math.pi * (within[0] - start) / (end - start)
        high, low = profile.true_positive, profile.false_positive
        score += (high - low) / 2 * -math.tanh(x) / math.tanh(math.pi / 2) + (high - low) / 2 + low
    score += profile.false_positive * sum(
        all(not start <= t <= end for start, end in windows) for t in predicted
    )
    null, perfect = len(windows) * profile.false_negative, len(windows) * profile.true_positive
    return 100 * (score - null) / (perfect - null)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.sampled_from(list(PROFILES.values())),
)
def test_against_the_definition(rows, profile):
    steps, labelled, alarms = (np.array(column) for column in zip(*rows, strict=True))
    times = np.cumsum(steps).astype(float)
    found = changepoints(times, labelled.astype(bool), alarms.astype(bool)).score(profile)
    if labelled.any():
        assert found == pytest.approx(slow(times.tolist(), labelled, alarms, profile))
    else:
        assert found is None


def test_recordings_add_up_before_they_are_scored():
    first = changepoints(SECONDS, at(40), between((40, 200)))
    second = changepoints(SECONDS, at(40), at())
    assert (first + second).score(PROFILES["standard"]) == pytest.approx(50)
