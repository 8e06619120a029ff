"""Baselines against slow, obvious counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.report.baselines import AssetBaselines, baselines, best_position


def asset(labels, train_rows=0):
    nothing = confusion(np.array(labels, bool), np.zeros(len(labels), bool))
    return AssetBaselines(np.array(labels, bool), train_rows, {"leaderboard": nothing, "streaming": nothing})


def slow_best(assets):
    """F1 of the best span of rows, by trying all."""
    longest = max(a.train_rows + len(a.labels) for a in assets)
    best = 0.0
    for start in range(longest):
        for end in range(start + 1, longest + 1):
            counts = Confusion()
            for a in assets:
                rows = np.arange(a.train_rows, a.train_rows + len(a.labels))
                counts += confusion(a.labels, (rows >= start) & (rows < end))
            best = max(best, counts.f1 or 0.0)
    return best


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 4)),
        min_size=1,
        max_size=3,
    )
)
def test_the_best_position_is_the_best_of_all(given_assets):
    assets = [asset(labels, train_rows) for labels, train_rows in given_assets]
    start, end, counts = best_position(assets)
    again = Confusion()
    for a in assets:
        rows = np.arange(a.train_rows, a.train_rows + len(a.labels)) + 1
        again += confusion(a.labels, (rows >= start) & (rows <= end))
    if any(a.labels.any() for a in assets):
        assert counts == again
        assert counts.f1 == pytest.approx(slow_best(assets))
    assert counts.n_rows == sum(len(a.labels) for a in assets)


def test_an_alarm_that_never_ends_is_counted_on_every_row():
    always_on = baselines([asset([0, 1, 1]), asset([0, 0])])[0]
    assert always_on.name == "always on"
    assert always_on.counts == Confusion(2, 3, 0, 0)


def test_without_labels_there_is_nothing_to_beat():
    assert baselines([]) == []


def test_the_labels_of_a_recording_too_long_for_every_row_are_still_found():
    labels = np.zeros(5000, bool)
    labels[1000:2000] = True
    _, _, counts = best_position([asset(labels, 400)])
    assert counts.f1 > 0.98
