"""Centers that follow what drifts: beside the plain-Python definition, and where a fault grows slowly."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.bundle.codec import canonical_json, decode, encode, parse_json
from edge_ad.detect.fusion import HeadScorer
from edge_ad.detect.heads import Follow, Head, Heads
from edge_ad.detect.rules import AlarmRule
from tests import naive

IDENTITY = ((1.0,), (0.0, 1.0))
T2 = Head("t2", "window-mean", scale=4.0, center=(0.0, 0.0), root=IDENTITY)
FOLLOW = Follow(20, 0.5, (0.5, 2.0), 9.0)
LENGTH = 3


def following(*heads):
    return HeadScorer(LENGTH, 2, Heads(heads), following=True)


def windows(levels):
    """A window of equal rows for each level."""
    return [np.full((LENGTH, 2), level, np.float32) for level in levels]


def stream(scorer, levels, ucl=1.0, k=2):
    """Scores, as a detector has them."""
    rule, scores = AlarmRule(ucl, k), []
    for window in windows(levels):
        shares, score = scorer.score(window, window)
        assert score == math.fsum(shares.tolist())
        scores.append(score)
        if not rule.update(score):
            scorer.follow(score / ucl)
    return scores


def naive_stream(heads, levels, ucl=1.0, k=2):
    """The same, by the definition: another center for every window."""
    centers = [list(head.center) for head in heads]
    scores, above = [], 0
    for level in levels:
        window = [[level, level]] * LENGTH
        now = [dataclasses.replace(head, center=tuple(c)) for head, c in zip(heads, centers, strict=True)]
        _, score = naive.fused(Heads(tuple(now)), window, window)
        scores.append(score)
        above = above + 1 if score > ucl else 0
        for head, center in zip(heads, centers, strict=True):
            if above >= k or head.follow is None or score >= head.follow.below * ucl:
                continue
            for i, (fitted, reach) in enumerate(zip(head.center, head.follow.reach, strict=True)):
                moved = center[i] + (level - center[i]) / head.follow.samples
                center[i] = min(max(moved, fitted - reach), fitted + reach)
            turned = [
                sum(
                    head.root[max(i, j)][min(i, j)] * (center[j] - head.center[j]) for j in range(len(center))
                )
                for i in range(len(center))
            ]
            distance = math.sqrt(sum(t * t for t in turned))
            if distance > head.follow.distance:
                for i, fitted in enumerate(head.center):
                    center[i] = fitted + (center[i] - fitted) * head.follow.distance / distance
    return scores


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=60))
def test_a_stream_is_that_of_the_definition(levels):
    other = dataclasses.replace(T2, center=(0.2, -0.1), follow=Follow(3, 1.0, (0.1, 9.0), 0.6))
    heads = (dataclasses.replace(T2, follow=FOLLOW), other, dataclasses.replace(T2, scale=9.0))
    np.testing.assert_allclose(stream(following(*heads), levels), naive_stream(heads, levels), rtol=1e-5)


def test_what_drifts_slowly_is_followed():
    drift = np.linspace(0, 0.5, 400)
    fixed = stream(HeadScorer(LENGTH, 2, Heads((T2,))), drift)
    assert fixed[-1] == pytest.approx(0.125)
    followed = stream(following(dataclasses.replace(T2, follow=FOLLOW)), drift)
    assert followed[-1] < 0.01


@pytest.mark.parametrize("rows", [100, 1000, 100_000])
def test_a_fault_is_not_learned_away_however_slowly_it_grows(rows):
    """Beyond its reach a center follows nothing: the alarm comes, and stays."""
    grows = np.concatenate([np.linspace(0, 3.5, rows), np.full(rows, 3.5)])
    scorer = following(dataclasses.replace(T2, follow=FOLLOW))
    scores = stream(scorer, grows)
    assert min(scores[-rows:]) > 1
    assert all(0 < center <= reach for center, reach in zip(scorer.save()[0], FOLLOW.reach, strict=True))
    free = following(dataclasses.replace(T2, follow=Follow(20, 1.0, (1e6, 1e6), 1e6)))
    assert max(stream(free, grows)[-rows:]) < 1  # without the guards it would be


def test_channels_that_part_are_not_followed():
    """Each alone stays well within its reach; by a head that knows them as twins, they are far off."""
    root = ((7.1,), (-7.0, 7.1))
    twins = dataclasses.replace(T2, scale=1.0, root=root, follow=Follow(20, 1.0, (3.0, 3.0), 4.0))
    scorer = HeadScorer(LENGTH, 2, Heads((twins,)), following=True)
    apart = np.concatenate([np.linspace(0, 1, 20_000), np.ones(2000)])
    scores, rule = [], AlarmRule(9.0, 2)
    for step in apart:
        window = np.tile(np.array([step / 2, -step / 2], np.float32), (LENGTH, 1))
        _, score = scorer.score(window, window)
        scores.append(score)
        if not rule.update(score):
            scorer.follow(score / 9.0)
    assert min(scores[-2000:]) > 9
    together = HeadScorer(LENGTH, 2, Heads((twins,)), following=True)
    assert max(stream(together, np.linspace(0, 3, 20_000), ucl=9.0)) < 0.1  # what they do together is


def test_an_alarm_moves_nothing():
    scorer = following(dataclasses.replace(T2, follow=Follow(1, 1.0, (9.0, 9.0), 99.0)))
    # the first jump is at once beyond the limit; with hysteresis an alarm lasts below it
    assert stream(scorer, [5.0] * 10) == [12.5] * 10
    assert scorer.save() == [[0.0, 0.0]]


@pytest.mark.parametrize("at_ratio", [0.5, 0.7, 1.2, math.inf])
def test_a_score_that_is_not_low_moves_nothing(at_ratio):
    scorer = following(dataclasses.replace(T2, follow=FOLLOW))
    (window,) = windows([1.0])
    scorer.score(window, window)
    scorer.follow(at_ratio)
    assert scorer.save() == [[0.0, 0.0]]
    scorer.follow(0.49)
    assert scorer.save() == [[0.05, 0.05]]


def test_only_a_streams_scorer_follows():
    scorer = HeadScorer(LENGTH, 2, Heads((dataclasses.replace(T2, follow=FOLLOW),)))
    assert len(set(stream(scorer, [0.5] * 50))) == 1
    assert scorer.save() == []


def test_goes_on_from_where_it_was_put():
    head = dataclasses.replace(T2, follow=FOLLOW)
    first, second = following(head), following(head)
    stream(first, [0.3] * 10)
    second.restore(parse_json(canonical_json(first.save())))
    assert stream(second, [0.3] * 10) == stream(first, [0.3] * 10)
    second.reset()
    assert second.save() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    "saved",
    [[True, 0.0], ["0.1", 0.0], [None, 0.0], [[0.0], [0.0]], [math.nan, 0.0], [10**400, 0.0], [0.0], 7],
)
def test_what_is_no_center_is_refused_and_moves_nothing(saved):
    scorer = following(dataclasses.replace(T2, follow=FOLLOW))
    stream(scorer, [0.3] * 10)
    before = scorer.save()
    with pytest.raises((TypeError, ValueError)):
        scorer.restore([saved])
    assert scorer.save() == before


def test_survives_json_and_is_told():
    head = dataclasses.replace(T2, follow=FOLLOW)
    assert decode(Head, parse_json(canonical_json(encode(head)))) == head
    assert head.text() == "t2 of window-mean, center follows in 20 samples"
    assert Heads((head,)).follows
    assert not Heads((T2,)).follows


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Follow(0, 0.5, (1.0,), 1.0), "follows in 1 to"),
        (lambda: Follow(10, 0.0, (1.0,), 1.0), "share of the UCL"),
        (lambda: Follow(10, 1.1, (1.0,), 1.0), "share of the UCL"),
        (lambda: Follow(10, 0.5, (), 1.0), "reach must be"),
        (lambda: Follow(10, 0.5, (math.nan,), 1.0), "reach must be"),
        (lambda: Follow(10, 0.5, (1.0,), math.nan), "distance must be"),
        (lambda: Follow(10, 0.5, (1.0,), -1.0), "distance must be"),
        (lambda: dataclasses.replace(T2, follow=Follow(10, 0.5, (1.0,), 1.0)), "as many numbers"),
        (lambda: Head("l1", "residual", follow=FOLLOW), "a t2 alone follows"),
    ],
)
def test_what_cannot_be_followed_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
