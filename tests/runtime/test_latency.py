import math
import struct
from fractions import Fraction

import numpy as np
import pytest

from edge_ad.runtime.arrivals import ArrivalRecorder
from edge_ad.runtime.journal import FLUSH_EVERY, Journal
from edge_ad.runtime.latency import STAGES, LatencyRecorder

PERCENTILES = ((50, "p50_us"), (95, "p95_us"), (99, "p99_us"), (99.9, "p999_us"))
NOTHING = (0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def durations():
    rng = np.random.default_rng(0)
    return rng.lognormal(10, 1.2, (5000, len(STAGES))).astype(np.int64)


def record(recorder, durations, start=10**18):
    """As a sample loop does, on a clock that has run for decades: no digit may be lost."""
    for i, row in enumerate(durations):
        marks = (start + np.concatenate([[0], np.cumsum(row)])).tolist()
        recorder.add(*marks, float(i), 1.0)
    return recorder


def exact_percentile(values, percent):
    """The smallest value that so many percent of all do not exceed."""
    rank = math.ceil(Fraction(str(percent)) / 100 * len(values))
    return sorted(values.tolist())[rank - 1]


def columns_of(durations):
    return {name: durations[:, i] for i, name in enumerate(STAGES)} | {"total": durations.sum(axis=1)}


def test_percentiles_are_within_one_percent_and_the_rest_is_exact(durations):
    summary = record(LatencyRecorder(), durations).summary()
    columns = columns_of(durations)
    assert list(summary) == list(columns)
    for name, column in columns.items():
        figures = summary[name]
        assert figures.count == len(column)
        assert figures.max_us == column.max() / 1000
        assert figures.mean_us == pytest.approx(column.mean() / 1000, rel=1e-12)
        assert figures.jitter_us == pytest.approx(np.abs(np.diff(column)).mean() / 1000, rel=1e-12)
        for percent, field in PERCENTILES:
            exact = exact_percentile(column, percent) / 1000
            assert getattr(figures, field) == pytest.approx(exact, rel=0.01)


def test_the_loop_may_append_by_itself(durations):
    by_add, by_append = record(LatencyRecorder(), durations), LatencyRecorder()
    pending = by_append.pending
    for i, row in enumerate(durations):
        marks = (10**18 + np.concatenate([[0], np.cumsum(row)])).tolist()
        pending.append((*marks, float(i), 1.0))
        if len(pending) >= FLUSH_EVERY:
            by_append.flush()
    assert by_append.summary() == by_add.summary()
    assert pending == []
    assert by_append.pending is pending


def test_extremes():
    recorder = LatencyRecorder()
    recorder.add(*NOTHING)
    recorder.add(0, 0, 1, 1, 1, 2**60)
    summary = recorder.summary()
    assert summary["admit"].max_us == 0
    assert summary["scale"].max_us == 0.001
    assert summary["total"].max_us == 2**60 / 1000


def test_one_sample_has_no_jitter():
    recorder = LatencyRecorder()
    recorder.add(0, 1000, 2000, 3000, 4000, 5000)
    assert recorder.summary()["total"].jitter_us == 0
    assert recorder.summary()["total"].mean_us == 5


def test_empty():
    assert LatencyRecorder().summary() == {}
    assert LatencyRecorder().missed_deadlines is None
    assert LatencyRecorder(1.0).missed_deadlines == 0


def test_missed_deadlines(durations):
    totals = durations.sum(axis=1)
    deadline_ns = int(np.median(totals))
    recorder = record(LatencyRecorder(deadline_ns / 1e9), durations)
    assert recorder.missed_deadlines == np.count_nonzero(totals > deadline_ns)


def test_merged_is_as_if_one_had_seen_all(durations):
    half = len(durations) // 2
    merged = record(LatencyRecorder(1e-4), durations[:half])
    merged.merge(record(LatencyRecorder(1e-4), durations[half:]))
    whole = record(LatencyRecorder(1e-4), durations)
    assert merged.missed_deadlines == whole.missed_deadlines
    for name, column in columns_of(durations).items():
        got, expected = merged.summary()[name], whole.summary()[name]
        # from the last sample of one stream to the first of another there is no step
        steps = np.abs(np.diff(column))
        assert got.jitter_us == pytest.approx(np.delete(steps, half - 1).mean() / 1000)
        for field in ("count", "mean_us", "p50_us", "p95_us", "p99_us", "p999_us", "max_us"):
            assert getattr(got, field) == getattr(expected, field)


def test_reset(durations):
    recorder = record(LatencyRecorder(1e-9), durations[:100])
    recorder.reset()
    assert recorder.summary() == {}
    assert recorder.missed_deadlines == 0
    record(recorder, durations[100:200])
    assert recorder.summary() == record(LatencyRecorder(), durations[100:200]).summary()


def test_the_journal_hands_everything_to_every_reader():
    journal, first, second = Journal(), [], []
    journal.subscribe(first.append)
    for i in range(3):
        journal.pending.append((2**62 + i, 1, 2, 3, 4, 5, i + 0.5, -i / 3))
    journal.subscribe(second.append)
    journal.pending.append((7, 7, 7, 7, 7, 7, math.nan, math.inf))
    journal.flush()
    journal.flush()
    assert [len(batch.times) for batch in first] == [3, 1]
    assert [len(batch.times) for batch in second] == [1]
    assert first[0].marks_ns.tolist() == [[2**62 + i, 1, 2, 3, 4, 5] for i in range(3)]
    assert first[0].times.tolist() == [0.5, 1.5, 2.5]
    assert first[0].scores.tolist() == [0, -1 / 3, -2 / 3]
    assert math.isnan(second[0].times[0])


def test_an_entry_that_is_none():
    journal = Journal()
    journal.pending.append((1, 2, 3))
    with pytest.raises(struct.error):
        journal.flush()


def test_arrivals():
    rng = np.random.default_rng(1)
    intervals = np.rint(rng.lognormal(0, 0.5, 4000) * 1e9)
    recorder = ArrivalRecorder(1.0)
    times = np.concatenate([[0], np.cumsum(intervals)]) / 1e9
    for time in times.tolist():
        recorder.add(time)
    summary = recorder.summary()
    deviations = np.abs(intervals - 1e9)
    assert summary.count == 4000
    assert summary.nominal_ms == 1000
    assert summary.mean_ms == pytest.approx(intervals.mean() / 1e6)
    assert summary.jitter_ms == pytest.approx(deviations.mean() / 1e6)
    assert summary.longest_silence_ms == pytest.approx(intervals.max() / 1e6)
    for value, exact in (
        (summary.p50_ms, exact_percentile(intervals, 50)),
        (summary.p99_ms, exact_percentile(intervals, 99)),
        (summary.jitter_p99_ms, exact_percentile(deviations, 99)),
    ):
        assert value == pytest.approx(exact / 1e6, rel=0.01)
    assert recorder.summary(times[-1] + 1).longest_silence_ms == summary.longest_silence_ms
    assert recorder.summary(times[-1] + 100).longest_silence_ms == pytest.approx(100_000)


def test_no_interval_yet():
    recorder = ArrivalRecorder(1.0)
    assert recorder.summary() is None
    recorder.add(5.0)
    assert recorder.summary(9.0) is None
    recorder.add(6.5)
    assert recorder.summary().count == 1
    assert recorder.summary().longest_silence_ms == 1500
