import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.bundle import bundle as bundles
from edge_ad.detect.window import usable
from edge_ad.runtime import Detector
from edge_ad.runtime.sources.csv_lines import CsvLines
from tests import naive
from tests.conftest import DATA


@pytest.fixture(scope="module")
def toy(toy_bundle_path):
    return bundles.read(toy_bundle_path)


@pytest.fixture(scope="module")
def detector(toy):
    return Detector.load(toy)


@pytest.fixture(scope="module")
def normal(toy):
    """A normal sample."""
    return np.array(toy.manifest.scaler.offset)


def samples_of(toy, path):
    columns = [channel.name for channel in toy.manifest.channels]
    with path.open(encoding="utf-8") as file:
        return list(CsvLines(file, toy.manifest.input, columns, name=str(path), strict=False))


@pytest.mark.parametrize("variant", ["tiny-float32", "tiny-int8"])
def test_decides_as_the_workstation_did(toy, toy_csv, toy_decisions, variant):
    detector = Detector.load(toy, variant)
    decisions = [
        (decision, sample.stamp)
        for sample in samples_of(toy, toy_csv)
        if (decision := detector.push(sample.time, sample.values, sample.problem))
    ]
    expected = [json.loads(line) for line in toy_decisions]
    assert [(d.state, stamp) for d, stamp in decisions] == [(e["state"], e["time"]) for e in expected]
    assert {e["state"] for e in expected} == {"normal", "alarm", "unknown"}
    for (decision, _), line in zip(decisions, expected, strict=True):
        if decision.score is None:
            assert (decision.reason, decision.contributions) == (line["reason"], None)
        else:
            # the other precision's score, near the limit; far above it the two go their own ways
            far = 2 * line["ucl"]
            assert min(decision.score, far) == pytest.approx(min(line["score"], far), rel=0.1)
            assert decision.contributions.sum() == pytest.approx(decision.score, rel=1e-6)


def test_first_decision_comes_with_the_first_full_window(detector, normal):
    detector.reset()
    states = [detector.push(float(t), normal) for t in range(12)]
    assert [decision is None for decision in states] == [True] * 9 + [False] * 3


def test_reset_makes_it_as_newly_loaded(toy, toy_csv):
    detector = Detector.load(toy)
    samples = samples_of(toy, toy_csv)
    runs = []
    for _ in range(2):
        detector.reset()
        decisions = [detector.push(s.time, s.values, s.problem) for s in samples]
        runs.append([None if d is None else (d.state, d.score, d.reason) for d in decisions])
    assert runs[0] == runs[1]


@pytest.mark.parametrize("variant", ["tiny-float32", "tiny-int8"])
def test_a_score_does_not_depend_on_the_windows_before(toy, variant):
    detector = Detector.load(toy, variant)
    windows = toy.golden_windows()
    order = np.random.default_rng(0).permutation(len(windows))
    assert (detector.score_windows(windows[order]) == detector.score_windows(windows)[order]).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sample": (2, math.nan)}, "not-finite: Current"),
        ({"sample": (2, math.inf)}, "not-finite: Current"),
        ({"sample": (0, -math.inf)}, "not-finite: Accelerometer1RMS"),
        ({"sample": (2, 1e300)}, "not-finite: Current"),
        ({"time": math.nan}, "unreadable: the time stamp"),
        ({"time": math.inf}, "unreadable: the time stamp"),
        ({"time": 19.0}, "time-repeated"),
        ({"time": 15.0}, "time-backwards: 4 s"),
        ({"time": 24.6}, "gap: 5.6 s, the largest allowed is 5.5 s"),
        ({"problem": "3 cells"}, "unreadable: 3 cells"),
    ],
)
def test_reasons(detector, normal, change, reason):
    detector.reset()
    before = [detector.push(float(t), normal) for t in range(20)][-1]
    assert before.state == "normal"
    sample = normal.copy()
    if "sample" in change:
        channel, value = change["sample"]
        sample[channel] = value
    decision = detector.push(change.get("time", 20.0), sample, change.get("problem"))
    assert decision.state == "unknown"
    assert reason in decision.reason
    assert (decision.score, decision.contributions, decision.alarm) == (None, None, False)


def test_a_gap_of_just_the_largest_size_is_none(detector, normal):
    detector.reset()
    for t in range(10):
        detector.push(float(t), normal)
    assert detector.push(14.5, normal).state == "normal"


events = st.tuples(
    st.sampled_from([1.0] * 12 + [2.0, 5.5, 5.6, 0.0, -3.0, 300.0, math.nan, math.inf]),
    st.sampled_from([0.0] * 12 + [1.0, 30.0, -4.0, math.nan, math.inf, -math.inf, 1e40, 1e300]),
    st.sampled_from([None] * 15 + ["garbled"]),
)


@given(st.lists(events, max_size=90))
@settings(max_examples=150, deadline=None)
def test_any_stream_gets_the_decisions_of_the_oracle(stream):
    """Never an exception, never a score of a window that is not whole, and all the right ones."""
    toy = bundles.read(DATA / "toy.edgead")
    detector = Detector.load(toy)
    length, gap = toy.manifest.window_length, toy.manifest.largest_gap_s
    offset, scale = np.array(toy.manifest.scaler.offset), np.array(toy.manifest.scaler.scale)
    accepted, exceeds, clock, last = [], [], 0.0, -math.inf
    for number, (step, z, problem) in enumerate(stream):
        time = clock + step
        sample = offset + scale * np.array([z, 0, 0, -z, 0, 0, 0, z / 2])
        decision = detector.push(time, sample, problem)

        delta = time - last
        usable = problem is None and math.isfinite(time) and abs(z) < 1e25
        repeated = problem is None and delta == 0
        if repeated:
            pass
        elif not usable:
            accepted = []
        else:
            accepted = [*accepted, sample] if 0 < delta <= gap else [sample]
        if math.isfinite(time) and not repeated and (delta > 0 or problem is None):
            last = time
        clock = time if math.isfinite(time) else clock

        scored = usable and not repeated and len(accepted) >= length
        if number < length - 1:
            assert decision is None
            exceeds.append(None)
            continue
        assert (decision.score is not None) == scored
        if not scored:
            assert decision.state == "unknown"
            assert decision.reason
            exceeds.append(None)
            continue
        expected = detector.score_windows(np.array([accepted[-length:]]))[0]
        assert decision.score == pytest.approx(expected, rel=1e-6)
        exceeds.append(decision.score > detector.ucl)
        assert decision.alarm == naive.streaming_flags(exceeds, toy.manifest.alarm_rule.k)[-1]


@pytest.mark.parametrize("size", [2e29, 4e29, 9.9e29, 1e30, 1e308, np.inf, np.nan])
def test_a_stream_and_a_recording_agree_on_what_is_usable(toy, size):
    """Many large values at once are as usable as one."""
    detector = Detector.load(toy)
    row = np.full(8, size)
    for time in range(9):
        detector.push(float(time), toy.manifest.scaler.offset)
    decision = detector.push(9.0, row)
    refused = (decision.reason or "").startswith("not-finite: Accelerometer1RMS, ")
    assert refused != bool(usable(row[None])[0])
