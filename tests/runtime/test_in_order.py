import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.runtime.sources import in_order as module
from edge_ad.runtime.sources.csv_lines import Sample
from edge_ad.runtime.sources.in_order import InOrder


def stream(*times):
    return [Sample(float(t), [0.0], str(t), i) for i, t in enumerate(times)]


def times_of(samples):
    return [sample.time for sample in samples]


def test_overtaken_samples_get_their_place_back():
    assert times_of(InOrder(stream(1, 3, 2, 4, 6, 5, 7), 2.0)) == [1, 2, 3, 4, 5, 6, 7]


def test_samples_go_as_soon_as_they_may():
    samples = iter(stream(1, 2, 3, 4, 5))
    ordered = iter(InOrder(samples, 2.0))
    assert next(ordered).time == 1
    assert next(samples).time == 4


def test_equal_times_keep_their_order():
    assert [sample.line for sample in InOrder(stream(1, 2, 2, 2, 1, 3), 5.0)] == [0, 4, 1, 2, 3, 5]


def test_a_garbled_line_keeps_its_place():
    samples = stream(1, 2, math.nan, 3, 4)
    assert [sample.line for sample in InOrder(samples, 2.0)] == [0, 1, 2, 3, 4]


def test_a_clock_that_was_set_back():
    assert times_of(InOrder(stream(100, 102, 101, 10, 12, 11, 13), 2.0)) == [100, 101, 102, 10, 11, 12, 13]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_HELD", 5)
    taken = 0

    def samples():
        nonlocal taken
        for sample in stream(*range(50)):
            taken += 1
            yield sample

    ordered = iter(InOrder(samples(), 1e6))
    assert next(ordered).time == 0
    assert taken == 6
    assert times_of(ordered) == list(range(1, 50))


@given(st.lists(st.floats(0, 100, width=32), max_size=60), st.floats(0, 30))
def test_nothing_is_lost_and_what_is_in_time_is_InOrder(times, hold):
    ordered = list(InOrder(stream(*times), hold))
    assert sorted(sample.line for sample in ordered) == list(range(len(times)))
    newest = [max(times[: i + 1]) for i in range(len(times))]
    if all(time >= so_far - hold for time, so_far in zip(times, newest, strict=True)):
        assert times_of(ordered) == sorted(times)


def test_a_stream_that_is_stopped_gives_what_it_holds():
    def stopped():
        yield from stream(1, 3, 2)
        raise KeyboardInterrupt

    ordered = InOrder(stopped(), 5.0)
    with pytest.raises(KeyboardInterrupt):
        list(ordered)
    assert times_of(ordered.rest()) == [1, 2, 3]
    assert list(ordered.rest()) == []
