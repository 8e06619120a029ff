import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.detect.window import WindowRing, sliding_windows, whole_windows
from tests import naive


@given(st.integers(1, 12), st.integers(1, 4), st.lists(st.booleans(), max_size=80))
def test_ring_holds_the_last_rows_in_order(length, channels, clears):
    ring = WindowRing(length, channels)
    rows = []
    for number, clear in enumerate(clears):
        if clear and number % 7 == 0:
            ring.clear()
            rows = []
        row = np.arange(channels, dtype=np.float64) + 10 * number
        rows.append(row)
        window = ring.push(row)
        assert (window is None) == (len(rows) < length)
        if window is not None:
            np.testing.assert_array_equal(window, rows[-length:])
            assert window.flags.c_contiguous


@given(st.integers(0, 30), st.integers(1, 12), st.integers(1, 3))
def test_sliding_windows(n, length, channels):
    rows = np.arange(n * channels, dtype=np.float32).reshape(n, channels)
    expected = naive.windows(rows, length)
    got = sliding_windows(rows, length)
    assert got.shape == (len(expected), length, channels)
    assert got.tolist() == expected


steps = st.sampled_from([1.0, 1.0, 1.0, 2.0, 5.5, 5.6, 247.0])
cells = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan, np.inf])


@given(st.lists(st.tuples(steps, cells), max_size=60), st.integers(1, 6))
def test_whole_windows(rows, length):
    times = np.cumsum([step for step, _ in rows]) if rows else np.array([])
    samples = np.array([[1.0, cell] for _, cell in rows]).reshape(len(rows), 2)
    expected = [
        naive.is_whole(times[i : i + length], samples[i : i + length], 5.5)
        for i in range(len(rows) - length + 1)
    ]
    assert whole_windows(times, samples, length, 5.5).tolist() == expected
