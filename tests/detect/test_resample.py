import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.detect.resample import ResampledWindow
from edge_ad.detect.scaler import Scaler
from edge_ad.detect.window import Window
from tests.naive_stream import interpolated

SCALER = Scaler("standard", np.array([5.0, -3.0]), np.array([2.0, 0.5]))


@given(st.lists(st.floats(0.3, 3.0), min_size=1, max_size=60), st.integers(1, 8), st.floats(0.5, 2.0))
def test_rows_are_interpolated_one_period_apart(steps, length, period):
    window = ResampledWindow(length, SCALER, period)
    times = (1000 + np.cumsum(steps)).tolist()
    values = np.random.default_rng(0).normal(size=(len(times), 2), scale=10)
    for i, (time, row) in enumerate(zip(times, values.tolist(), strict=True)):
        got = window.push(row, time)
        held = slice(max(0, i + 1 - (4 * length + 2)), i + 1)
        grid = [time - period * back for back in range(length - 1, -1, -1)]
        if times[held][0] > grid[0] + 1e-6:
            assert got is None
            assert window.filled < length
            continue
        expected = [
            [interpolated(times[held], values[held, c], max(at, times[held][0])) for c in range(2)]
            for at in grid
        ]
        np.testing.assert_allclose(got[0], SCALER.transform(np.array(expected)), atol=1e-4)
        assert window.filled == length


def test_at_the_nominal_rate_it_is_the_plain_window():
    plain, resampled = Window(5, SCALER), ResampledWindow(5, SCALER, 1.0)
    for i, row in enumerate(np.random.default_rng(1).normal(size=(30, 2)).tolist()):
        expected, got = plain.push(row, 100.0 + i), resampled.push(row, 100.0 + i)
        assert (expected is None) == (got is None)
        if expected is not None:
            np.testing.assert_array_equal(expected, got)


def test_clear_forgets():
    window = ResampledWindow(3, SCALER, 1.0)
    assert [window.push((0.0, 0.0), float(t)) is None for t in range(4)] == [True, True, False, False]
    window.clear()
    assert window.filled == 0
    assert window.push((0.0, 0.0), 4.0) is None


@pytest.mark.parametrize("step", [0.1, 0.2])
def test_samples_that_come_far_too_fast_make_no_window(step):
    window = ResampledWindow(10, SCALER, 1.0)
    assert all(window.push((0.0, 0.0), step * i) is None for i in range(500))
