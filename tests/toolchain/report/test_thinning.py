"""A long recording in few points, of which none that matters is lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.toolchain.report.thinning import joined, shown_rows

SCORES = st.lists(st.one_of(st.floats(0, 1e6), st.just(float("nan"))), min_size=1, max_size=400)


@given(SCORES, st.integers(8, 64))
def test_the_highest_score_is_always_shown(scores, most):
    scores = np.array(scores)
    rows = shown_rows(scores, most)
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert rows[-1] == len(scores) - 1
    assert len(rows) <= most + 1
    if np.isfinite(scores).any():
        assert np.nanmax(scores[rows]) == np.nanmax(scores)
        assert np.nanmin(scores[rows]) == np.nanmin(scores)
    if not np.isfinite(scores).all():
        assert not np.isfinite(scores[rows]).all()


def test_few_rows_are_all_shown():
    assert shown_rows(np.arange(4000.0)).tolist() == list(range(4000))


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 1)), min_size=1, max_size=60), st.integers(1, 20))
def test_too_many_spans_become_few_that_cover_them(steps, most):
    ends = np.cumsum([gap + length for gap, length in steps]).tolist()
    spans = [(end - length, end) for end, (_, length) in zip(ends, steps, strict=True)]
    found = joined(spans, most)
    assert len(found) == min(most, len(spans))
    for start, end in spans:
        assert any(a <= start and end <= b for a, b in found)


def test_the_nearest_spans_are_joined():
    assert joined([(0, 1), (2, 3), (10, 11)], 2) == [(0, 3), (10, 11)]


def test_nothing_is_joined_needlessly():
    assert joined([], 5) == []
    assert joined([(0, 1)], 5) == [(0, 1)]
    assert len(shown_rows(np.array([]))) == 0
