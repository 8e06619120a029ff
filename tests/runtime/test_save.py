import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.detect import quality
from edge_ad.detect.episodes import EpisodeTracker
from edge_ad.runtime import Detector
from tests.runtime.streams import bundle, plain, recording


def tracker(manifest):
    return EpisodeTracker(
        [channel.name for channel in manifest.channels],
        [severity.name for severity in manifest.alarm_rule.severities],
        manifest.alarm_rule.hold_off_s,
    )


@given(
    st.lists(st.integers(0, 70), min_size=2, max_size=8),
    st.integers(0, 10_000),
    st.sampled_from([{}, {"kind": "k-of-n", "k": 2, "n": 6, "clear_ratio": 0.5, "hold_off_s": 5.0}]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_stream_that_is_saved_and_restored_anywhere_goes_on_as_if_nothing_had_been(
    sizes, seed, alarm, resample
):
    toy = bundle(**alarm)
    samples, times = recording(toy, sum(sizes), seed)
    cuts = {sum(sizes[:i]) for i in range(1, len(sizes))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "RATE_BLOCK", 40)
        whole, whole_episodes = Detector.load(toy, resample=resample), tracker(toy.manifest)
        pieces, episodes = Detector.load(toy, resample=resample), tracker(toy.manifest)
        for i, (sample, time) in enumerate(zip(samples.tolist(), times.tolist(), strict=True)):
            if i in cuts:
                saved = json.loads(json.dumps({"detector": pieces.save(), "episodes": episodes.save()}))
                pieces, episodes = Detector.load(toy, resample=resample), tracker(toy.manifest)
                pieces.restore(saved["detector"])
                episodes.restore(saved["episodes"])
            expected, decision = whole.push(sample, time), pieces.push(sample, time)
            assert plain(decision) == plain(expected)
            assert episodes.update(decision) == whole_episodes.update(expected)
            assert episodes.open == whole_episodes.open


@pytest.mark.parametrize("part", ["gate", "window", "rule", "broken_by", "is_warm"])
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, {"rows": "AAAA", "filled": 3}])
def test_what_no_detector_saved_is_refused_and_leaves_a_new_one(part, value):
    toy = bundle()
    samples, times = recording(toy, 40)
    detector, fresh = Detector.load(toy), Detector.load(toy)
    for sample, time in zip(samples.tolist(), times.tolist(), strict=True):
        detector.push(sample, time)
    saved = detector.save()
    if part in ("broken_by", "is_warm"):
        del saved[part]
    else:
        saved[part] = value
    with pytest.raises((KeyError, TypeError, ValueError)):
        detector.restore(saved)
    for sample, time in zip(samples.tolist(), times.tolist(), strict=True):
        assert plain(detector.push(sample, time)) == plain(fresh.push(sample, time))


def test_a_saved_stream_is_small():
    """It is written to a memory card twice a minute."""
    toy = bundle()
    samples, times = recording(toy, 3000)
    detector = Detector.load(toy)
    for sample, time in zip(samples.tolist(), times.tolist(), strict=True):
        detector.push(sample, time)
    assert len(json.dumps(detector.save())) < 2000
