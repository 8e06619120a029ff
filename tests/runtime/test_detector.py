import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.manifest import Channel
from edge_ad.detect import quality
from edge_ad.detect.window import usable
from edge_ad.errors import BundleMismatchError
from edge_ad.runtime import Detector
from edge_ad.runtime.sources.csv_lines import CsvLines
from tests.conftest import DATA
from tests.naive_stream import NaiveGate, alarms


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


def changed(bundle, **fields):
    """The bundle with another manifest; nothing is packed or verified."""
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, **fields))


def with_channels(bundle, **fields):
    """The bundle with nothing said of its channels, but for the first one."""
    first, *others = (Channel(channel.name, channel.unit) for channel in bundle.manifest.channels)
    return changed(bundle, channels=(dataclasses.replace(first, **fields), *others))


def samples_of(toy, path):
    columns = [channel.name for channel in toy.manifest.channels]
    with path.open(encoding="utf-8") as file:
        return list(CsvLines(file, toy.manifest.input, columns, name=str(path), strict=False))


def comparable(decision):
    """A decision without what is measured, and with plain numbers."""
    shares = None if decision.contributions is None else decision.contributions.tolist()
    return decision._replace(contributions=shares, latency_ns=0)


@pytest.mark.parametrize("variant", ["tiny-float32", "tiny-int8"])
def test_decides_as_the_workstation_did(toy, toy_csv, toy_decisions, variant):
    detector = Detector.load(toy, variant)
    samples = samples_of(toy, toy_csv)
    decisions = [detector.push(sample.values, sample.time, sample.problem) for sample in samples]
    expected = [json.loads(line) for line in toy_decisions]
    assert [(d.state, s.stamp) for d, s in zip(decisions, samples, strict=True)] == [
        (e["state"], e["time"]) for e in expected
    ]
    assert {e["state"] for e in expected} == {"normal", "alarm", "unknown", "warming"}
    for decision, line in zip(decisions, expected, strict=True):
        if decision.score is None:
            assert (decision.reason, decision.contributions) == (line["reason"], None)
        else:
            # the other precision's score, near the limit; far above it the two go their own ways
            far = 2 * line["ucl"]
            assert min(decision.score, far) == pytest.approx(min(line["score"], far), rel=0.1)
            assert decision.contributions.sum() == pytest.approx(decision.score, rel=1e-6)
            assert decision.margin == decision.ucl - decision.score
            assert decision.latency_ns > 0


def test_first_score_comes_with_the_first_full_window(detector, normal):
    detector.reset()
    decisions = [detector.push(normal, float(t)) for t in range(12)]
    assert [d.state for d in decisions] == ["warming"] * 9 + ["normal"] * 3
    assert decisions[3].reason == "warming: 4 of 10 samples"
    assert (decisions[3].score, decisions[3].margin, decisions[3].contributions) == (None, None, None)


def test_reset_makes_it_as_newly_loaded(toy, toy_csv):
    detector = Detector.load(toy)
    samples = samples_of(toy, toy_csv)
    runs = []
    for _ in range(2):
        detector.reset()
        runs.append([comparable(detector.push(s.values, s.time, s.problem)) for s in samples])
    assert runs[0] == runs[1]
    detector.close()
    assert detector.push(samples[0].values, samples[0].time).state == "warming"


@pytest.mark.parametrize("variant", ["tiny-float32", "tiny-int8"])
def test_a_score_does_not_depend_on_the_windows_before(toy, variant):
    detector = Detector.load(toy, variant)
    windows = toy.golden_windows()
    order = np.random.default_rng(0).permutation(len(windows))
    assert (detector.score_windows(windows[order]) == detector.score_windows(windows)[order]).all()


WHOLE = ["normal"]


@pytest.mark.parametrize(
    ("change", "states", "reason"),
    [
        ({"sample": (2, math.nan)}, ["unknown"] * 10, "missing: Current"),
        ({"sample": (2, math.inf)}, ["unknown"] * 10, "not-finite: Current"),
        ({"sample": (0, -math.inf)}, ["unknown"] * 10, "not-finite: Accelerometer1RMS"),
        ({"sample": (2, 1e300)}, ["unknown"] * 10, "not-finite: Current"),
        ({"sample": (0, 99.0)}, ["unknown"] * 10, "out-of-range: Accelerometer1RMS 99, plausible is -5 to 5"),
        ({"time": math.nan}, ["unknown"] * 10, "unreadable: the time stamp"),
        ({"time": math.inf}, ["unknown"] * 10, "unreadable: the time stamp"),
        ({"problem": "3 cells"}, ["unknown"] * 10, "unreadable: 3 cells"),
        ({"time": 19.0}, ["unknown", "normal"], "duplicate"),
        ({"time": 15.0}, ["unknown", "normal"], "late: left out, it is 4 s older"),
        ({"time": 24.6}, ["unknown", "normal"], "gap: 5.6 s, the largest allowed is 5.5 s"),
        ({"time": 1e9}, ["unknown", "normal"], "gap"),
        ({"time": -1e9}, ["unknown", "normal"], "clock-back"),
        ({"shift": 5.0}, ["unknown"] * 9, "gap: 6 s"),
        ({"shift": 1e6}, ["unknown"] * 9, "gap: 1e+06 s"),
        ({"shift": -1e6}, ["unknown"] * 9, "clock-back: 999999 s"),
    ],
)
def test_what_one_sample_does(toy, normal, change, states, reason):
    """One bad sample among good ones: its state and reason, and what follows until all is well again."""
    detector = Detector.load(with_channels(toy, low=-5.0, high=5.0))
    before = [detector.push(normal, float(t)) for t in range(20)][-1]
    assert before.state == "normal"
    sample, shift = normal.copy(), change.get("shift", 0.0)
    if "sample" in change:
        channel, value = change["sample"]
        sample[channel] = value
    decisions = [detector.push(sample, change.get("time", 20.0 + shift), change.get("problem"))]
    decisions += [detector.push(normal, shift + t) for t in range(21, 40)]
    assert reason in decisions[0].reason
    assert [d.state for d in decisions[: len(states)]] == states
    assert {d.state for d in decisions[len(states) :]} == {"normal"}
    for decision in decisions[: len(states)]:
        if decision.state == "unknown":
            assert (decision.score, decision.contributions, decision.alarm) == (None, None, False)
            assert decision.reason
    kinds = {d.reason.partition(":")[0] for d in decisions if d.reason}
    assert sum(detector.faults.values()) == sum(d.state == "unknown" for d in decisions)
    assert set(detector.faults) == kinds


def test_a_stuck_channel(toy, normal):
    detector = Detector.load(with_channels(toy, flat_after=15))
    rng = np.random.default_rng(0)
    samples = normal + 0.01 * rng.normal(size=(60, 8))
    samples[20:40, 0] = samples[20, 0]
    decisions = [detector.push(sample, float(t)) for t, sample in enumerate(samples)]
    expected = ["warming"] * 9 + ["normal"] * 25 + ["unknown"] * (6 + 9) + ["normal"] * 11
    assert [d.state for d in decisions] == expected
    assert decisions[34].reason == f"stuck: Accelerometer1RMS {samples[20, 0]:g} for 15 samples or more"
    assert decisions[40].reason.startswith("refilling: 1 of 10 samples since stuck: Accelerometer1RMS")


def test_another_rate_is_unknown_or_resampled(toy, normal):
    n = quality.RATE_BLOCK + 20
    samples = normal + 0.01 * np.array(toy.manifest.scaler.scale) * (np.arange(n) % 7)[:, None]
    plain, resampled = Detector.load(toy), Detector.load(toy, resample=True)
    for detector in (plain, resampled):
        decisions = [detector.push(sample, 1.8 * t) for t, sample in enumerate(samples)]
        assert decisions[200].state == "normal"
        assert (decisions[-1].state == "unknown") == (detector is plain)
        assert decisions[-1].resampled == (detector is resampled)
    assert decisions[200].resampled
    faster = Detector.load(toy, resample=True)
    states = [faster.push(sample, 0.4 * t).state for t, sample in enumerate(samples)]
    assert (states[200], states[-1]) == ("normal", "unknown")


def test_duplicates_do_not_hide_an_alarm(toy, normal):
    detector = Detector.load(with_channels(toy))
    far = normal + 30 * np.array(toy.manifest.scaler.scale)
    states = []
    for t in range(25):
        sample = normal if t < 15 else far
        states.append(detector.push(sample, float(t)).state)
        detector.push(sample, float(t))
        detector.push(sample, t - 0.5)
    assert states[15:18] == ["normal", "normal", "alarm"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [({}, "warning"), ({"severities": [("low", 0.0), ("high", 1.5)]}, "high")],
)
def test_severity(toy, normal, rule, expected):
    from edge_ad.bundle.manifest import SeverityEntry

    if rule:
        rule = {"severities": tuple(SeverityEntry(*entry) for entry in rule["severities"])}
    alarm = dataclasses.replace(toy.manifest.alarm_rule, **rule)
    detector = Detector.load(changed(toy, alarm_rule=alarm))
    scale = np.array(toy.manifest.scaler.scale)
    decisions = [detector.push(normal + (t > 15) * 2.5 * scale, float(t)) for t in range(40)]
    alarmed = [d for d in decisions if d.state == "alarm"]
    assert 1.5 < alarmed[-1].score / alarmed[-1].ucl < 3
    assert alarmed[-1].severity == expected
    assert {d.severity for d in decisions if d.state == "normal"} == {None}


values = st.sampled_from([0.0] * 12 + [1.0, 30.0, -4.0, math.nan, math.inf, -math.inf, 1e29, 1e40, 1e300])
steps = st.sampled_from([1.0] * 14 + [2.0, 5.5, 5.6, 0.0, -3.0, -6.0, 300.0, -300.0, math.nan, math.inf])
events = st.tuples(steps, values, st.sampled_from([None] * 15 + ["garbled"]), st.booleans())


@given(st.lists(events, max_size=90), st.sampled_from([(3, 3, 1.0), (2, 5, 0.6)]))
@settings(max_examples=150, deadline=None)
def test_any_stream_gets_the_decisions_of_the_oracle(stream, rule):
    """Never an exception, never a score of a window that is not whole, and all the right ones."""
    k, n, clear_ratio = rule
    toy = bundles.read(DATA / "toy.edgead")
    alarm = dataclasses.replace(toy.manifest.alarm_rule, kind="k-of-n", k=k, n=n, clear_ratio=clear_ratio)
    detector = Detector.load(changed(with_channels(toy, low=-1.0, flat_after=25), alarm_rule=alarm))
    length = toy.manifest.window_length
    offset, scale = np.array(toy.manifest.scaler.offset), np.array(toy.manifest.scaler.scale)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "RATE_BLOCK", 20)
        oracle = NaiveGate(detector._gate.rules, 20)
        scores, clock = [], 0.0
        for number, (step, z, problem, is_stray) in enumerate(stream):
            time = clock + step
            clock = time if math.isfinite(time) and not is_stray else clock
            sample = offset + scale * np.array([z, 0, 0, -z, 0, 0, 0, z / 2 + number % 5])
            decision = detector.push(sample, time, problem)
            kind = oracle.push(tuple(sample.tolist()), time, problem)
            assert math.isnan(time) or decision.time == time
            if kind is not None or len(oracle.window) < length:
                assert (decision.score, decision.contributions) == (None, None)
                assert decision.state in ("unknown", "warming")
                assert decision.reason.partition(":")[0] in (kind, "refilling", "warming")
                if kind not in ("duplicate", "late", "gap", "clock-back"):
                    scores.append(None)
                continue
            expected = detector.score_windows(np.array([oracle.window[-length:]]))[0]
            if not math.isfinite(expected):
                assert decision.reason.startswith("not-finite: the score")
                scores.append(None)
                continue
            assert decision.score == expected
            scores.append(expected)
            assert decision.alarm == alarms(scores, decision.ucl, k, n, clear_ratio)[-1]


@pytest.mark.parametrize("size", [2e29, 4e29, 9.9e29, 1e30, 1e308, np.inf, np.nan])
def test_a_stream_and_a_recording_agree_on_what_is_usable(toy, size):
    """Many large values at once are as usable as one."""
    detector = Detector.load(with_channels(toy))
    for time in range(9):
        detector.push(toy.manifest.scaler.offset, float(time))
    reason = detector.push(np.full(8, size), 9.0).reason or ""
    refused = reason.startswith(("not-finite: Accelerometer1RMS, ", "missing: Accelerometer1RMS, "))
    assert refused != bool(usable(np.full((1, 8), size))[0])


def test_values_that_leave_float32_when_scaled_are_not_plausible(toy):
    tiny = dataclasses.replace(toy.manifest.scaler, scale=(1e-20,) * 8)
    detector = Detector.load(changed(with_channels(toy), scaler=tiny))
    for time in range(15):
        decision = detector.push(np.array(toy.manifest.scaler.offset) + 1e25, float(time))
        assert decision.state == "unknown"


def test_memory_does_not_grow(toy, toy_csv):
    """A year of nothing new: whatever a detector holds on to, it holds as much after as before."""
    import tracemalloc

    detector = Detector.load(with_channels(toy, flat_after=50))
    samples = [(s.values, s.problem) for s in samples_of(toy, toy_csv)]

    def rounds(first, last):
        for turn in range(first, last):
            for i, (values, problem) in enumerate(samples):
                detector.push(values, 1000.0 * turn + i, problem)

    rounds(0, 12)
    tracemalloc.start()
    rounds(12, 14)
    before = tracemalloc.take_snapshot()
    rounds(14, 44)
    detector.latency.flush()
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    grown = sum(stat.size_diff for stat in after.compare_to(before, "filename"))
    assert grown < 200_000


def test_a_model_of_another_window_is_refused(toy):
    with pytest.raises(BundleMismatchError, match="the model's window is 10, the manifest's 9"):
        Detector.load(changed(toy, window_length=9))


def test_memory_does_not_grow_without_a_gap_either(toy, normal):
    import tracemalloc

    detector = Detector.load(with_channels(toy, flat_after=50))
    samples = normal + 0.1 * np.random.default_rng(0).normal(size=(500, 8)) * np.array(
        toy.manifest.scaler.scale
    )
    tick = 0

    def feed(n):
        nonlocal tick
        for _ in range(n):
            detector.push(samples[tick % 500], float(tick))
            tick += 1

    feed(3000)
    tracemalloc.start()
    feed(100)
    before = tracemalloc.get_traced_memory()[0]
    feed(4000)
    detector.latency.flush()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000  # four thousand samples would be more


@pytest.mark.parametrize("broken", [math.inf, math.nan])
def test_a_score_that_is_not_finite_ends_an_alarm_and_counts_anew(toy, normal, monkeypatch, broken):
    """As of a network that overflows, which the toy does not on any value that passes the gate."""
    reason = "not-finite: the score, from values far out of range"
    far = normal + 30 * np.array(toy.manifest.scaler.scale)

    def alarmed():
        detector = Detector.load(with_channels(toy))
        assert [detector.push(far, float(t)).state for t in range(14)][-1] == "alarm"
        return detector

    pushed = alarmed()
    with monkeypatch.context() as patch:
        patch.setattr(pushed, "_score", lambda window, reconstruction: (np.zeros(8, np.float32), broken))
        assert pushed.push(far, 14.0).reason == reason
    assert [pushed.push(far, t).state for t in (15.0, 16.0, 17.0)] == ["normal", "normal", "alarm"]

    replayed = alarmed()
    score_each = replayed._model.score_each

    def overflow(windows, contributions):
        return [broken, *score_each(windows, contributions)[1:]]

    monkeypatch.setattr(replayed._model, "score_each", overflow)
    replay = replayed.replay(np.array([far] * 4), np.arange(14.0, 18.0))
    assert [d.state for d in replay] == ["unknown", "normal", "normal", "alarm"]
    assert replay.decision(0).reason == reason
    assert np.isnan(replay.scores[0])
    assert np.isnan(replay.contributions[0]).all()


def test_faster_than_can_be_resampled_is_unknown_and_ends_the_alarm(toy, normal):
    detector = Detector.load(with_channels(toy), resample=True)
    far = normal + 30 * np.array(toy.manifest.scaler.scale)
    assert [detector.push(far, float(t)).state for t in range(14)][-1] == "alarm"
    decisions = [detector.push(far, 13 + 0.1 * t) for t in range(1, 60)]
    fast = [d for d in decisions if d.state != "alarm"]
    assert {d.state for d in fast} == {"unknown"}
    assert fast[0].reason.startswith("rate: ")
    again = [detector.push(far, 19.0 + t).state for t in range(30)]
    assert again[again.index("normal") :][:3] == ["normal", "normal", "alarm"]


def test_a_score_of_nothing_in_an_alarm(toy, normal, monkeypatch):
    rule = dataclasses.replace(toy.manifest.alarm_rule, kind="k-of-n", k=2, n=30)
    detector = Detector.load(changed(with_channels(toy), alarm_rule=rule))
    far = normal + 30 * np.array(toy.manifest.scaler.scale)
    for t in range(15):
        detector.push(far, float(t))
    monkeypatch.setattr(detector, "_score", lambda window, reconstruction: (np.zeros(8, np.float32), 0.0))
    decision = detector.push(normal, 15.0)
    assert (decision.state, decision.score, decision.severity) == ("alarm", 0.0, "warning")


@pytest.mark.parametrize(
    ("samples", "times"),
    [
        (np.zeros((3, 1)), np.arange(3.0)),
        (np.zeros((3, 7)), np.arange(3.0)),
        (np.zeros((3, 8)), np.arange(2.0)),
        (np.zeros(8), np.arange(1.0)),
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_a_replay_of_another_shape_is_refused(toy, normal, samples, times, warm):
    detector = Detector.load(toy)
    if warm:
        detector.replay(np.array([normal] * 12), np.arange(-12.0, 0.0))
    with pytest.raises(ValueError, match="samples of 8 channels"):
        detector.replay(samples, times)


def test_a_replay_does_not_depend_on_its_arrays_afterwards(toy, normal):
    times = np.arange(12.0)
    replay = Detector.load(toy).replay(np.array([normal] * 12), times)
    times[:] = 0
    assert replay.decision(11).time == 11.0


def test_masked_values_are_missing(toy, normal):
    samples = np.ma.array([normal] * 12)
    samples[11, 2] = np.ma.masked
    replay = Detector.load(toy).replay(samples, np.arange(12.0))
    assert replay.decision(11).reason == "missing: Current"
