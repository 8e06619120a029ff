import dataclasses
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_ad.detect import quality
from edge_ad.detect.admitted import admitted_windows
from edge_ad.detect.quality import Fault, QualityRules, SampleGate
from tests.naive_stream import NaiveGate

RULES = QualityRules(
    names=("a", "b"),
    low=(-10.0, -math.inf),
    high=(10.0, math.inf),
    flat_after=(4, 0),
    sample_period_s=1.0,
    largest_gap_s=5.5,
    rate_tolerance=0.5,
)


def kinds(stream, rules=RULES):
    """What becomes of every sample: the fault, "ok", or "ok+1" where the one before counts after all."""
    gate = SampleGate(rules)
    found = []
    for sample in stream:
        result = gate.admit(*sample)
        if isinstance(result, Fault):
            n_new = len(result.new_window)
            found.append(f"ok+{n_new - 1}" if n_new else result.kind)
        else:
            found.append("ok")
    return found


def at(*times):
    """Good samples, never the same value twice."""
    return [((0.01 * i, float(i)), t) for i, t in enumerate(times)]


A, B = (1.0, 2.0), (1.5, 2.5)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(at(0, 1, 2), "ok ok ok", id="whole"),
        pytest.param([(A, 0), ((math.nan, 2.0), 1), (B, 2)], "ok missing ok", id="nan"),
        pytest.param([(A, 0), ((None, 2.0), 1), (B, 2)], "ok missing ok", id="none"),
        pytest.param([(A, 0), ((2.0,), 1), (B, 2)], "ok missing ok", id="too few"),
        pytest.param([(A, 0), ((1.0, 2.0, 3.0), 1), (B, 2)], "ok missing ok", id="too many"),
        pytest.param([(A, 0), (None, 1), (B, 2)], "ok missing ok", id="no sample"),
        pytest.param([(A, 0), ("ab", 1), (B, 2)], "ok missing ok", id="text"),
        pytest.param([(A, 0), (("x", 2.0), 1), (B, 2)], "ok missing ok", id="text among numbers"),
        pytest.param([(A, 0), (np.ones((2, 2)), 1), (B, 2)], "ok missing ok", id="matrix"),
        pytest.param([(A, 0), ((1.0, math.inf), 1), (B, 2)], "ok not-finite ok", id="inf"),
        pytest.param([(A, 0), ((1.0, -1e30), 1), (B, 2)], "ok not-finite ok", id="absurd"),
        pytest.param([(A, 0), ((10.1, 2.0), 1), (B, 2)], "ok out-of-range ok", id="too high"),
        pytest.param([(A, 0), ((-10.1, 2.0), 1), (B, 2)], "ok out-of-range ok", id="too low"),
        pytest.param([(A, 0), ((10, -10.0), 1), (B, 2)], "ok ok ok", id="on the bound"),
        pytest.param([(A, 0), (A, 1, "3 cells"), (B, 2)], "ok unreadable ok", id="unreadable"),
        pytest.param([(A, 0), (A, math.nan), (B, 2)], "ok unreadable ok", id="time nan"),
        pytest.param([(A, 0), (A, math.inf), (B, 2)], "ok unreadable ok", id="time inf"),
        pytest.param([(A, 0), (A, None), (B, 2)], "ok unreadable ok", id="no time"),
        pytest.param([(A, 0), (A, "noon"), (B, 2)], "ok unreadable ok", id="time as text"),
        pytest.param(at(0, 1, 1, 2), "ok ok duplicate ok", id="duplicate"),
        pytest.param(at(0, 1, 3, 2, 4), "ok ok ok late ok", id="out of order"),
        pytest.param(at(9, 3.5, 10), "ok late ok", id="as late as may be"),
        pytest.param(at(0, 5.5), "ok ok", id="largest gap"),
        pytest.param(at(0, 1, 301, 302, 303), "ok ok gap ok+1 ok", id="gap"),
        pytest.param(at(0, 1, 301, 2, 3), "ok ok gap ok ok", id="a stray time ahead"),
        pytest.param(at(0, 300, 600, 900), "ok gap gap gap", id="nothing but gaps"),
        pytest.param(at(500, 501, 101, 102, 103), "ok ok clock-back ok+1 ok", id="clock set back"),
        pytest.param(at(500, 501, 101, 502), "ok ok clock-back ok", id="a stray time behind"),
        pytest.param(at(500, 494, 495, 496), "ok clock-back ok+1 ok", id="back by a little more than late"),
        pytest.param(at(0, 300, 0.5, 301), "ok gap ok gap", id="two clocks in turns"),
        pytest.param(at(0, 300, 300, 301), "ok gap gap ok+1", id="a jump, repeated"),
        pytest.param(
            [*at(0), (A, 300, "garbled"), (A, 301), (B, 302)], "ok unreadable gap ok+1", id="garbled jump"
        ),
        pytest.param(
            [*at(0, 300), (A, 301, "garbled"), *at(302, 303)],
            "ok gap unreadable gap ok+1",
            id="jump, garbled",
        ),
        pytest.param(
            [*at(0), ((99.0, 1.0), 300), (A, 301), (B, 302)], "ok gap ok+0 ok", id="jump to a bad value"
        ),
        pytest.param(
            [*at(0, 300), ((99.0, 1.0), 301), (B, 302)], "ok gap out-of-range ok", id="jump, then a bad value"
        ),
        pytest.param(
            [((1.0, i), i) for i in range(5)] + [((2.0, 9.0), 5), ((2.0, 9.5), 6)],
            "ok ok ok stuck stuck ok ok",
            id="stuck",
        ),
        pytest.param(
            [((1.0, i), i) for i in range(3)] + [((1.0, math.nan), 3), ((1.0, 9.0), 4)],
            "ok ok ok missing stuck",
            id="stuck, with a hole in another channel",
        ),
        pytest.param(
            [((1.0, 0.0), 0), ((1.0, 1.0), 1), ((math.nan, 2.0), 2), ((1.0, 3.0), 3), ((1.0, 4.0), 4)],
            "ok ok missing ok ok",
            id="a hole ends a flat run",
        ),
        pytest.param(
            [((1.0, i), t) for i, t in enumerate((0, 1, 2, 300, 301, 302, 303))],
            "ok ok ok gap ok+1 stuck stuck",
            id="a flat run goes on over a jump",
        ),
    ],
)
def test_what_becomes_of_a_sample(stream, expected):
    assert kinds(stream) == expected.split()


def test_a_clock_set_forward_is_told_from_a_gap_by_a_clock_that_is_never_set():
    gate = SampleGate(RULES)
    assert not isinstance(gate.admit(A, 0, None, 50.0), Fault)
    assert gate.admit(B, 3600, None, 51.0).kind == "clock-forward"
    gate.reset()
    assert not isinstance(gate.admit(A, 0, None, 50.0), Fault)
    assert gate.admit(B, 3600, None, 3650.0).kind == "gap"


@pytest.mark.parametrize(("step", "expected"), [(1.49, None), (1.51, "rate"), (0.67, None), (0.66, "rate")])
def test_drift_of_the_rate(step, expected):
    gate = SampleGate(dataclasses.replace(RULES, flat_after=(0, 0)))
    results = [gate.admit((0.0, i), i * step) for i in range(quality.RATE_BLOCK + 2)]
    assert not any(isinstance(result, Fault) for result in results[:-2])
    assert [getattr(result, "kind", None) for result in results[-2:]] == [expected] * 2


def test_gaps_do_not_hide_another_rate():
    gate = SampleGate(dataclasses.replace(RULES, flat_after=(0, 0)))
    times = np.concatenate([1000.0 * part + 2.0 * np.arange(100) for part in range(8)])
    found = [gate.admit((0.0, float(i)), t) for i, t in enumerate(times.tolist())]
    kinds = [f.kind for f in found if isinstance(f, Fault) and not f.new_window]
    assert kinds.count("gap") == 7
    assert kinds.count("rate") > 400


def test_the_rate_recovers():
    gate = SampleGate(dataclasses.replace(RULES, flat_after=(0, 0)))
    times = np.concatenate([np.arange(300) * 2.0, 600 + np.arange(600.0)])
    found = [isinstance(gate.admit((0.0, i), t), Fault) for i, t in enumerate(times.tolist())]
    faulty = np.flatnonzero(found)
    # One block until it shows, one (the mixed one) still too slow, then good again.
    assert faulty[0] == quality.RATE_BLOCK
    assert found[-1] is False
    assert len(faulty) in (quality.RATE_BLOCK, 2 * quality.RATE_BLOCK)


def test_reasons_name_the_channels():
    gate = SampleGate(RULES)
    bad = [(None, math.nan), (math.inf, 1.0), (11.0, 0.0), (1.0,)]
    assert [gate.admit(sample, time).reason for time, sample in enumerate(bad)] == [
        "missing: a, b",
        "not-finite: a",
        "out-of-range: a 11, plausible is -10 to 10",
        "missing: 1 values for 2 channels",
    ]


def test_a_reused_buffer_is_not_taken_for_a_stuck_sensor():
    gate = SampleGate(RULES)
    for buffer in ([0.0, 0.0], np.zeros(2)):
        gate.reset()
        for i in range(10):
            buffer[0] = i
            assert not isinstance(gate.admit(buffer, i), Fault)


def test_numbers_of_other_kinds():
    gate = SampleGate(RULES)
    for i, sample in enumerate(
        [(1, 2), (np.float32(1.5), np.int64(3)), np.array([2, 3], np.float32), [True, 4]]
    ):
        assert not isinstance(gate.admit(sample, i), Fault)


streams = st.lists(
    st.tuples(
        st.sampled_from(
            [1.0] * 16 + [0.4, 2.0, 5.5, 5.6, 0.0, -1.0, -3.0, -5.6, 300.0, -300.0, math.nan, math.inf]
        ),
        st.tuples(
            st.sampled_from([0.0, 0.0, 1.0, 2.0, 10.0, 10.5, math.nan]),
            st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf, 1e31, math.nan]) | st.integers(0, 999).map(float),
        ),
        st.sampled_from([None] * 15 + ["garbled"]),
    ),
    max_size=70,
)


def timed(stream):
    """Samples with times, from steps; some time stamps are stray, after which things go on as before."""
    clock = 1000.0
    for step, values, problem in stream:
        time = clock + step
        if math.isfinite(time) and (abs(step) < 10 or values[1] < 2):
            clock = time
        yield values, time, problem


@given(streams, st.sampled_from([0, 3, 5]), st.sampled_from([0, 2, 4]), st.sampled_from([0.0, 0.2]))
@example([], 0, 0, 0.0)
@settings(max_examples=300, deadline=None)
def test_any_stream_is_judged_as_by_the_oracle(stream, flat_a, flat_b, tolerance):
    rules = dataclasses.replace(RULES, flat_after=(flat_a, flat_b), rate_tolerance=tolerance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "RATE_BLOCK", 6)
        gate, oracle = SampleGate(rules), NaiveGate(rules, 6)
        window = []
        for values, time, problem in timed(stream):
            result, expected = gate.admit(values, time, problem), oracle.push(values, time, problem)
            if isinstance(result, Fault):
                window = [row for row, _ in result.new_window] if result.breaks else window
                assert (None if result.new_window else result.kind) == expected
            else:
                window = [*window, result]
                assert expected is None
            assert window == oracle.window


@given(
    st.lists(st.sampled_from([1.0] * 10 + [0.5, 5.5, 6.0, 300.0]), min_size=1, max_size=80),
    st.data(),
    st.integers(1, 6),
)
@settings(max_examples=150, deadline=None)
def test_the_windows_of_a_recording_are_those_of_a_stream(steps, data, length):
    times = np.cumsum(steps)
    values = st.sampled_from([0.0, 0.0, 1.0, 2.0, 11.0, math.nan])
    samples = np.array([[data.draw(values), float(i)] for i in range(len(times))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "RATE_BLOCK", 7)
        oracle = NaiveGate(RULES, 7)
        scored = []
        for row, time in zip(samples.tolist(), times.tolist(), strict=True):
            scored.append(oracle.push(tuple(row), time) is None and len(oracle.window) >= length)
        assert admitted_windows(RULES, times, samples, length).tolist() == scored[length - 1 :]


@pytest.mark.parametrize("short", [None, (), (1.0,), (1.0, 2.0, 3.0), "text"])
def test_a_sample_without_all_channels_in_a_flat_run_harms_nothing(short):
    gate = SampleGate(RULES)
    found = [gate.admit((1.0, float(t)), t) for t in range(3)]
    found.append(gate.admit(short, 3))
    found += [gate.admit((1.0, float(t)), t) for t in range(4, 20)]
    assert [getattr(f, "kind", "ok") for f in found] == ["ok"] * 3 + ["missing"] + ["ok"] * 3 + ["stuck"] * 13


@pytest.mark.parametrize(
    "sample",
    [
        (10**400, 2.0),
        (np.array([1.0, 2.0]), 2.0),
        b"ab",
        {"a": 1.0, "b": 2.0},
        np.ma.array([1.0, 2.0], mask=[True, False]),
    ],
)
def test_what_is_no_sample_is_missing(sample):
    gate = SampleGate(RULES)
    assert not isinstance(gate.admit(A, 0), Fault)
    assert gate.admit(sample, 1).kind == "missing"


@pytest.mark.parametrize("time", [10**400, np.timedelta64(5), "1", None, [1.0], math.nan])
def test_what_is_no_time_is_unreadable(time):
    gate = SampleGate(RULES)
    assert not isinstance(gate.admit(A, 0), Fault)
    assert gate.admit(B, time).kind == "unreadable"


def test_every_number_is_taken_for_what_it_is():
    gate = SampleGate(RULES)
    for t, sample in enumerate(
        [(1, 2), [np.float32(0.1), Decimal("2.5")], np.array([1, 2]), np.float16([0.5, 1])]
    ):
        row = gate.admit(sample, np.uint64(t))
        assert row == tuple(map(float, sample))
        assert {type(value) for value in row} <= {float, int}
    assert gate.admit(A, np.uint64(1)).kind == "late"


def test_how_long_ago_the_sample_before_came_is_known_after_many():
    gate = SampleGate(RULES)
    gate.admit_many(np.arange(5.0), np.random.default_rng(0).normal(size=(5, 2)))
    for t in range(5, 10):
        gate.admit((t / 10, float(t)), t, None, 100.0 + t)
    assert gate.admit(A, 500, None, 110.0).kind == "clock-forward"
    gate.admit((0.05, 2.0), 10, None, 111.0)
    assert gate.admit(A, 500, None, 390.0).kind == "gap"


def test_a_jump_in_a_block_is_forgotten_where_the_block_ends_with_a_fault():
    gate = SampleGate(dataclasses.replace(RULES, flat_after=(4, 0)))
    for t in range(3):
        gate.admit((1.0, float(t)), t)
    assert gate.admit(A, 1000).kind == "gap"
    n, fault = gate.admit_many(np.array([3.0, 4.0]), np.array([[1.0, 3.0], [1.0, 4.0]]))
    assert (n, fault.kind) == (0, "stuck")
    assert gate.admit((2.0, 5.0), 1001).kind == "gap"


@given(streams, st.lists(st.integers(0, 9), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_stream_in_blocks_is_judged_as_one_by_one(stream, sizes):
    rules = dataclasses.replace(RULES, flat_after=(3, 0))
    samples = [(values, time) for values, time, _ in timed(stream)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "RATE_BLOCK", 6)
        single, blocks = SampleGate(rules), SampleGate(rules)
        expected = [single.admit(*sample) for sample in samples]
        got, row = [], 0
        for size in [*sizes, len(samples)]:
            part = samples[row : row + size]
            if not part:
                continue
            times, rows = np.array([t for _, t in part]), np.array([v for v, _ in part])
            n, fault = blocks.admit_many(times, rows)
            got += [tuple(r) for r in rows[:n].tolist()]
            row += n
            if fault is not None:
                got.append(fault)
                row += 1
            elif row < len(samples):
                got.append(blocks.admit(*samples[row]))
                row += 1
        got += [blocks.admit(*sample) for sample in samples[row:]]
    assert repr(got) == repr(expected)
