import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.bundle import read
from edge_ad.bundle.codec import encode
from edge_ad.detect.decision import Decision
from edge_ad.detect.drift import DriftMonitor
from edge_ad.detect.episodes import EpisodeTracker
from edge_ad.runtime.health import MAX_REASON_KINDS, OTHER_REASONS, Health
from edge_ad.runtime.journal import Journal

UCL = 2.0
QUANTILES = np.linspace(0, 1, 21).tolist()
REASONS = ("gap: 9 s, the largest allowed is 5 s", "missing: Pressure", "refilling: 3 of 10 since gap: 9 s")


def decision(time, state, reason=None):
    if state in ("unknown", "warming"):
        return Decision(time, state, None, UCL, None, reason)
    score = 4.0 if state == "alarm" else 0.5
    return Decision(time, state, score, UCL, np.array([score]), severity="warning")


def run(decisions, slow=(), period=1.0, drift=None):
    """What the sample loop does with decisions; those at the places `slow` take twice the period."""
    journal = Journal()
    health = Health(journal, period, drift)
    tracker = EpisodeTracker(["a"], ["warning"])
    for place, d in enumerate(decisions):
        if d.score is not None:
            taken = round(period * 1e9 * (2 if place in slow else 0.5))
            journal.pending.append((0, 0, 0, 0, 0, taken, d.time, d.score))
            if len(journal.pending) >= 16:
                journal.flush()
        if d.state != "normal":
            health.note(d)
        change = tracker.update(d)
        if change is not None:
            health.note_change(change)
    return health.summary()


def naive_counts(decisions):
    states = [d.state for d in decisions]
    kinds = [d.reason.split(":")[0] for d in decisions if d.reason]
    return {
        "decisions": len(decisions),
        **{state: states.count(state) for state in ("normal", "alarm", "unknown", "warming")},
        "reasons": {kind: kinds.count(kind) for kind in set(kinds)},
    }


rows = st.lists(
    st.tuples(
        st.sampled_from([1.0, 60.0, 1800.0, 5000.0, 40_000.0]),
        st.sampled_from(["normal", "normal", "alarm", "unknown", "warming"]),
        st.sampled_from(REASONS),
        st.booleans(),
    ),
    max_size=80,
)


@given(rows)
def test_counts_are_those_of_plain_lists(rows):
    time, decisions = 1.7e9, []
    for step, state, reason, _ in rows:
        time += step
        decisions.append(decision(time, state, reason))
    slow = {i for i, row in enumerate(rows) if row[3]}
    summary = run(decisions, slow)
    hours, hour = [], -math.inf  # a time that the detector does not believe counts where the stream is
    for d in decisions:
        if (d.reason or "").partition(":")[0] not in ("unreadable", "duplicate", "late", "gap", "clock-back"):
            hour = d.time // 3600
        hours.append(hour)
    in_day = [i for i, hour in enumerate(hours) if hour > max(hours[-1] - 24, -math.inf)]
    for got, places in ((summary.since_start, range(len(decisions))), (summary.day, in_day)):
        chosen = [decisions[i] for i in places]
        expected = naive_counts(chosen)
        assert {key: getattr(got, key) for key in expected} == expected
        assert got.missed_deadlines == sum(decisions[i].score is not None for i in slow & set(places))
        share = expected["unknown"] / len(chosen) if chosen else None
        assert got.unknown_share == share


def test_episodes_per_day():
    states = (["alarm"] * 3 + ["normal"] * 17) * 216  # 12 hours of samples 10 s apart
    decisions = [decision(1.7e9 + 10 * i, state) for i, state in enumerate(states)]
    summary = run(decisions, period=10.0)
    assert summary.since_start.episodes == summary.day.episodes == 216
    assert summary.since_start.episodes_per_day == pytest.approx(432)
    assert run(decisions[:100], period=10.0).day.episodes_per_day is None


def test_memory_stays_constant_whatever_the_reasons_are():
    decisions = [decision(float(i), "unknown", f"kind-{i}: x") for i in range(MAX_REASON_KINDS + 20)]
    decisions.insert(0, decision(0.0, "unknown"))
    reasons = run(decisions).since_start.reasons
    assert len(reasons) == MAX_REASON_KINDS + 1
    assert reasons[OTHER_REASONS] == 20 + 1


def test_a_time_stamp_that_cannot_be_read_is_counted():
    summary = run([decision(1.7e9, "normal"), decision(float("nan"), "unknown", "unreadable: 'x'")])
    assert summary.day.decisions == summary.since_start.decisions == 2


def test_drift_is_part_of_it_and_all_of_it_is_json():
    rng = np.random.default_rng(0)
    decisions = [decision(1.7e9 + i, "normal") for i in range(5000)]
    decisions = [d._replace(score=s) for d, s in zip(decisions, rng.random(5000).tolist(), strict=True)]
    summary = run(decisions, drift=DriftMonitor(QUANTILES, 100_000, 10))
    assert summary.drift.n_windows == 5000
    assert summary.drift.level == "stable"
    plain = json.loads(json.dumps(encode(summary), allow_nan=False))
    assert plain["day"]["normal"] == 5000
    assert plain["drift"]["level"] == "stable"


def test_nothing_yet_is_json_too():
    plain = json.loads(json.dumps(encode(run([], drift=DriftMonitor(QUANTILES, 100, 10)))))
    assert plain["since_start"]["unknown_share"] is None
    assert plain["drift"]["psi"] is None


def test_of_a_bundle(toy_bundle_path):
    manifest = read(toy_bundle_path).manifest
    has_quantiles = bool(manifest.variant(None).limit.score_quantiles)
    summary = Health.of(manifest, None, Journal()).summary()
    assert (summary.drift is not None) == has_quantiles
