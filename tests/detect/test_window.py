import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.detect.scaler import Scaler
from edge_ad.detect.window import Window, sliding_windows, usable_windows
from tests import naive


def scaler(channels):
    rng = np.random.default_rng(channels)
    return Scaler("standard", rng.normal(size=channels, scale=100), rng.gamma(1, size=channels))


def samples_of(n, channels):
    return np.random.default_rng(n).normal(size=(n, channels), scale=1000)


@given(st.integers(1, 12), st.integers(1, 4), st.lists(st.booleans(), max_size=80))
def test_window_holds_the_last_rows_in_order_scaled(length, channels, clears):
    window = Window(length, scaler(channels))
    rows = []
    samples = samples_of(len(clears), channels)
    for number, (clear, sample) in enumerate(zip(clears, samples, strict=True)):
        if clear and number % 7 == 0:
            window.clear()
            rows = []
        rows.append(sample)
        got = window.push(tuple(sample.tolist()), float(number))
        assert (got is None) == (len(rows) < length)
        assert window.filled == min(len(rows), length)
        if got is not None:
            np.testing.assert_array_equal(got[0], scaler(channels).transform(np.array(rows[-length:])))
            assert got.flags.c_contiguous


@given(st.integers(1, 12), st.integers(1, 4), st.lists(st.integers(1, 30), max_size=8))
def test_rows_in_bulk_are_rows_one_by_one(length, channels, blocks):
    one_by_one, in_bulk = Window(length, scaler(channels)), Window(length, scaler(channels))
    for n in blocks:
        samples = samples_of(n, channels)
        expected = []
        for row in samples.tolist():
            window = one_by_one.push(row, 0.0)
            expected += [] if window is None else [window.copy()]
        np.testing.assert_array_equal(list(in_bulk.extend(samples)), expected)
        assert in_bulk.filled == one_by_one.filled


@given(st.integers(0, 30), st.integers(1, 12), st.integers(1, 3))
def test_sliding_windows(n, length, channels):
    rows = np.arange(n * channels, dtype=np.float32).reshape(n, channels)
    expected = naive.windows(rows, length)
    got = sliding_windows(rows, length)
    assert got.shape == (len(expected), length, channels)
    assert got.tolist() == expected


cells = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan, np.inf, 1e30])


@given(st.lists(cells, max_size=60), st.integers(1, 6))
def test_usable_windows(column, length):
    samples = np.array([[1.0, cell] for cell in column]).reshape(len(column), 2)
    expected = [all(abs(x) < 1e30 for x in column[i : i + length]) for i in range(len(column) - length + 1)]
    assert usable_windows(samples, length).tolist() == expected
