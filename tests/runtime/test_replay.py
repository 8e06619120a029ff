import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.detect import quality
from edge_ad.runtime import Detector
from edge_ad.runtime.replay import STATES
from tests.runtime.streams import bundle, plain, recording


@pytest.mark.parametrize("variant", ["tiny-float32", "tiny-int8", "tiny-int8-full"])
@pytest.mark.parametrize("name", ["toy.edgead", "toy-fast.edgead"])
def test_replay_is_push_to_the_bit(variant, name):
    toy = bundle(name)
    one_by_one, in_bulk = Detector.load(toy, variant), Detector.load(toy, variant)
    samples, times = recording(toy, 4000)
    expected = [plain(one_by_one.push(s, t)) for s, t in zip(samples.tolist(), times.tolist(), strict=True)]
    replay = in_bulk.replay(samples, times)
    assert [plain(decision) for decision in replay] == expected
    assert {STATES[state] for state in set(replay.states.tolist())} == set(STATES)
    assert replay.alarms.tolist() == ["'alarm'" in decision for decision in expected]
    assert in_bulk.faults == one_by_one.faults


@given(
    st.lists(st.integers(0, 70), min_size=1, max_size=8),
    st.integers(0, 10_000),
    st.sampled_from([{}, {"kind": "k-of-n", "k": 2, "n": 6, "clear_ratio": 0.5}]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_recording_in_blocks_and_single_samples(sizes, seed, alarm, resample):
    """However a stream is cut into blocks, and whatever of it is pushed, the decisions are the same."""
    toy = bundle(**alarm)
    samples, times = recording(toy, sum(sizes), seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "RATE_BLOCK", 40)
        one_by_one, mixed = (Detector.load(toy, resample=resample) for _ in range(2))
        expected = [plain(one_by_one.push(s, t)) for s, t in zip(samples, times.tolist(), strict=True)]
        got, row = [], 0
        for number, size in enumerate(sizes):
            rows = slice(row, row + size)
            if number % 3 == 2:
                got += [mixed.push(s, t) for s, t in zip(samples[rows], times[rows].tolist(), strict=True)]
            else:
                got += mixed.replay(samples[rows], times[rows])
            row += size
    assert [plain(decision) for decision in got] == expected


def test_columns_are_nan_without_a_score():
    toy = bundle()
    samples, times = recording(toy, 1500, 3)
    replay = Detector.load(toy).replay(samples, times)
    assert len(replay) == len(replay.scores) == 1500
    for row, decision in enumerate(replay):
        assert (decision.score is None) == math.isnan(replay.scores[row]) == (row in replay.reasons)
        assert np.isnan(replay.contributions[row]).all() == (decision.score is None)
        assert (row in replay.severities) == (decision.state == "alarm")


def test_nothing_to_replay():
    replay = Detector.load(bundle()).replay(np.empty((0, 8)), np.empty(0))
    assert list(replay) == []
