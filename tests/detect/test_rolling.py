import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.detect.rolling import RollingDay

N_COLUMNS = 3


class NaiveDay:
    """Remembers every event; an hour drives out the one that had its place in the ring."""

    def __init__(self):
        self.events = []
        self.ever = [0] * N_COLUMNS
        self.newest = None

    def add(self, time, column):
        self.ever[column] += 1
        self.newest = hour = math.floor(time / 3600)
        self.events = [e for e in self.events if e[0] == hour or (e[0] - hour) % 24]
        self.events.append((hour, column))

    def day(self):
        in_day = [c for hour, c in self.events if self.newest - 24 < hour <= self.newest]
        return [in_day.count(c) for c in range(N_COLUMNS)]


steps = st.sampled_from([0.0, 1.0, 600.0, 3600.0, 7000.0, 86400.0, -1.0, -5000.0, -86400.0, 1e9, -2e9])
events = st.lists(st.tuples(steps, st.integers(0, N_COLUMNS - 1), st.booleans()), min_size=1, max_size=60)


@given(events)
def test_the_day_is_what_a_list_of_all_events_says(events):
    day, naive, time = RollingDay(N_COLUMNS), NaiveDay(), 1.7e9
    times, columns = [], []

    def flush():
        day.add_many(np.array(times), np.array(columns, np.int64))
        times.clear()
        columns.clear()

    for step, column, in_bulk in events:
        time += step
        naive.add(time, column)
        if in_bulk:
            times.append(time)
            columns.append(column)
        else:
            flush()
            day.add(time, column)
    flush()
    assert day.day().tolist() == naive.day()
    assert day.ever.tolist() == naive.ever


def test_the_day_rolls():
    day = RollingDay(1)
    for hour in range(100):
        day.add(hour * 3600.0, 0)
        assert day.day().tolist() == [min(hour + 1, 24)]
    assert day.ever.tolist() == [100]


def test_a_stray_time_costs_one_hour_at_most():
    day = RollingDay(1)
    for hour in range(48):
        day.add(hour * 3600.0, 0)
    day.add(1e12, 0)
    assert day.day().tolist() == [1]
    day.add(47 * 3600.0, 0)
    assert day.day().tolist() == [24 - 1 + 1]


def test_times_that_are_no_numbers_belong_to_the_newest_hour():
    day = RollingDay(1)
    day.add(math.nan, 0)
    assert day.day().tolist() == [0]
    day.add(7200.0, 0)
    day.add(math.inf, 0)
    assert day.day().tolist() == [2]
    assert day.ever.tolist() == [3]


def test_nothing():
    day = RollingDay(2)
    day.add_many(np.array([]), np.array([], np.int64))
    assert day.day().tolist() == [0, 0]
