import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.detect.decision import Decision
from edge_ad.detect.episodes import EpisodeTracker

NAMES = ("pressure", "current", "flow", "speed")
SEVERITIES = ("warning", "critical")
UCL = 2.0


def decision(time, state="alarm", score=4.0, severity="warning", shares=(0.25, 0.25, 0.25, 0.25)):
    if state in ("unknown", "warming"):
        return Decision(time, state, None, UCL, None, "gap: 9 s")
    if state == "normal":
        return Decision(time, "normal", 1.0, UCL, np.full(4, 0.25))
    if state == "exceeding":
        return Decision(time, "normal", 2.5, UCL, np.full(4, 0.625))
    return Decision(time, state, score, UCL, score * np.array(shares), None, severity)


def tracker(hold_off_s=0.0):
    return EpisodeTracker(NAMES, SEVERITIES, hold_off_s)


def naive_groups(decisions, hold_off_s):
    """Rows of each episode, and the decision that ended it (None: still open)."""
    episodes, alarms = [], []
    for d in decisions:
        if d.state == "alarm":
            alarms.append(d)
        elif d.state == "normal" and d.score <= UCL and alarms:
            elapsed = d.time - alarms[-1].time
            if elapsed < 0 or elapsed > hold_off_s:
                episodes.append((alarms, d))
                alarms = []
    return episodes + ([(alarms, None)] if alarms else [])


rows = st.lists(
    st.tuples(
        st.sampled_from([1.0, 1.0, 1.0, 5.0, 30.0, -20.0, -1000.0]),
        st.sampled_from(["alarm", "alarm", "normal", "normal", "unknown", "warming", "exceeding"]),
        st.floats(2.1, 50),
        st.sampled_from(SEVERITIES),
        st.permutations([0.1, 0.2, 0.3, 0.4]),
    ),
    max_size=60,
)


@given(rows, st.sampled_from([0.0, 3.0, 10.0]))
def test_episodes_are_those_of_the_whole_list(rows, hold_off_s):
    time, decisions = 1000.0, []
    for step, state, score, severity, shares in rows:
        time += step
        decisions.append(decision(time, state, score, severity, shares))
    subject = tracker(hold_off_s)
    changes = [change for d in decisions if (change := subject.update(d))]
    groups = naive_groups(decisions, hold_off_s)
    ended = [change.episode for change in changes if change.kind == "ended"]
    assert [c.episode.number for c in changes if c.kind == "began"] == [*range(1, len(groups) + 1)]
    assert subject.count == len(groups)
    assert len(ended) == sum(end is not None for _, end in groups)
    found = ended + ([subject.open] if subject.open else [])
    assert len(found) == len(groups)
    for number, (episode, (alarms, end)) in enumerate(zip(found, groups, strict=True), start=1):
        peak = max(alarms, key=lambda d: d.score)
        assert episode.number == number
        assert episode.start == alarms[0].time
        assert episode.last == max(d.time for d in alarms)
        assert episode.end == (None if end is None else max(end.time, episode.last))
        assert episode.start <= episode.peak_time <= episode.last
        assert episode.peak_score == peak.score
        assert episode.peak_ratio == peak.score / UCL
        assert episode.severity == max((d.severity for d in alarms), key=SEVERITIES.index)
        assert episode.n_alarms == len(alarms)
        shares = np.mean([d.contributions / d.score for d in alarms], axis=0)
        top = sorted(zip(NAMES, shares, strict=True), key=lambda item: -item[1])[:3]
        assert [share for _, share in episode.top_channels] == pytest.approx([share for _, share in top])
        worst = [c for c in changes if c.kind == "worsened" and c.episode.number == number]
        assert len(worst) == (episode.severity != alarms[0].severity)


def test_from_began_to_ended():
    subject = tracker(hold_off_s=5)
    assert subject.update(decision(1, "normal")) is None
    began = subject.update(decision(2, shares=(0.1, 0.6, 0.3, 0)))
    assert began.kind == "began"
    assert began.episode == subject.open
    assert began.episode.top_channels == (
        ("current", pytest.approx(0.6)),
        ("flow", pytest.approx(0.3)),
        ("pressure", pytest.approx(0.1)),
    )
    worsened = subject.update(decision(3, score=8, severity="critical"))
    assert (worsened.kind, worsened.episode.severity, worsened.episode.peak_ratio) == (
        "worsened",
        "critical",
        4,
    )
    assert subject.update(decision(4)) is None
    assert subject.open.severity == "critical"
    assert subject.update(decision(9, "normal")) is None
    ended = subject.update(decision(10, "normal"))
    assert ended.kind == "ended"
    assert (ended.episode.start, ended.episode.last, ended.episode.end) == (2, 4, 10)
    assert (ended.episode.n_alarms, ended.episode.peak_time) == (3, 3)
    assert subject.open is None


def test_an_alarm_within_the_hold_off_is_the_same_episode():
    subject = tracker(hold_off_s=5)
    subject.update(decision(0))
    subject.update(decision(4, "normal"))
    assert subject.update(decision(5)) is None
    assert subject.update(decision(10, "normal")) is None
    assert subject.update(decision(10.5, "normal")).episode.n_alarms == 2
    assert subject.update(decision(11)).episode.number == 2


def test_a_time_without_decisions_ends_nothing():
    subject = tracker()
    subject.update(decision(0))
    for time in range(1, 1000):
        assert subject.update(decision(time, "warming" if time % 2 else "unknown")) is None
    assert subject.update(decision(1000)) is None
    assert subject.count == 1


def test_a_clock_set_back():
    subject = tracker(hold_off_s=60)
    subject.update(decision(10_000))
    subject.update(decision(500, score=9))
    episode = subject.open
    assert (episode.start, episode.last, episode.peak_time, episode.peak_score) == (10_000, 10_000, 10_000, 9)
    assert subject.update(decision(550, "normal")) is None  # the hold-off goes by the new clock
    ended = subject.update(decision(400, "normal"))
    assert (ended.kind, ended.episode.end) == ("ended", 10_000)


@pytest.mark.parametrize(("time", "end"), [(20.0, 20.0), (3.0, 7.0), (math.nan, 7.0)])
def test_the_end_of_the_stream(time, end):
    subject = tracker(hold_off_s=60)
    assert subject.close(1.0) is None
    subject.update(decision(7.0))
    change = subject.close(time)
    assert (change.kind, change.episode.end) == ("ended", end)
    assert subject.open is None
    assert subject.close(time) is None


def test_alarms_without_severities():
    subject = EpisodeTracker(NAMES[:1])
    change = subject.update(Decision(0.0, "alarm", 3.0, UCL, np.array([3.0])))
    assert change.episode.severity is None
    assert change.episode.top_channels == (("pressure", 1.0),)
    with pytest.raises(KeyError):
        subject.update(decision(1.0, severity="terrible"))
