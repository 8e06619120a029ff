"""Detector heads: what their data may be, and what they compute, beside the plain-Python definition."""

import math

import numpy as np
import pytest

from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.detect.fusion import HeadScorer, make_scorer
from edge_ad.detect.heads import Head, Heads
from edge_ad.detect.score import WindowScorer
from tests import naive

SHAPES = [(1, 1), (10, 8), (30, 3)]


def triangle(n, rng):
    """A random symmetric matrix' lower triangle."""
    return tuple(tuple(rng.normal(size=i + 1).tolist()) for i in range(n))


def some_heads(length, n, rng):
    """Heads of every kind that fit such windows, with and without baseline and mask."""
    center = tuple(rng.normal(size=n).tolist())
    spread = tuple((0.1 + rng.random(n)).tolist())
    heads = [Head("l1", "residual", scale=2.5), Head("q", "residual", scale=0.3, weight=0.7)]
    for of in ("window-mean", "residual-mean"):
        heads += [
            Head("t2", of, scale=3.0, center=center, root=triangle(n, rng)),
            Head("z-max", of, scale=1.5, center=center, spread=spread),
        ]
    two = tuple(rng.normal(size=2 * n).tolist())
    heads += [Head("t2", "window-moments", scale=2.0, center=two, root=triangle(2 * n, rng))]
    if length > 1:
        first = (True, *(False,) * (n - 1))
        heads += [
            Head("t2", "window-mean", center=center, root=triangle(n, rng), baseline=length // 2),
            Head("z-max", "residual-mean", center=center, spread=spread, baseline=1, drifting=first),
        ]
    if n > 1:
        mask = (*(True,) * (n - 1), False)
        root = (*triangle(n, rng)[:-1], (0.0,) * n)
        heads += [Head("l1", "residual", channels=mask), Head("q", "residual", channels=mask)]
        heads += [Head("z-max", "window-mean", center=center, spread=spread, channels=mask)]
        heads += [Head("t2", "residual-mean", center=center, root=root, channels=mask)]
        moments = [[0.0] * (i + 1) for i in range(2 * n)]
        for i, row in enumerate(triangle(2 * n, rng)):
            moments[i] = [x if (i + 1) % n and (j + 1) % n else 0.0 for j, x in enumerate(row)]
        rows = tuple(map(tuple, moments))
        heads += [Head("t2", "window-moments", center=two, root=rows, channels=mask)]
    return heads


def pairs(shape, rng, n=20):
    """Windows and reconstructions of many magnitudes."""
    for scale in np.geomspace(1e-3, 1e5, n):
        yield rng.normal(size=(2, *shape), scale=scale).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_head_equals_its_definition(shape):
    rng = np.random.default_rng(0)
    for head in some_heads(*shape, rng):
        scorer = HeadScorer(*shape, Heads((head,)))
        for window, reconstruction in pairs(shape, rng):
            shares, score = scorer.score(window, reconstruction)
            expected_shares, expected = naive.head(head, window.tolist(), reconstruction.tolist())
            # the root mixes channels: what cancels between them is off by the largest among them
            np.testing.assert_allclose(shares, expected_shares, rtol=2e-5, atol=2e-6 * max(expected_shares))
            assert score == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("fusion", ["max", "sum"])
@pytest.mark.parametrize("shape", SHAPES)
def test_fused_heads_equal_their_definition(shape, fusion):
    rng = np.random.default_rng(1)
    heads = Heads(tuple(some_heads(*shape, rng)[:8]), fusion)
    scorer = make_scorer(*shape, heads)
    for window, reconstruction in pairs(shape, rng):
        shares, score = scorer.score(window, reconstruction)
        expected_shares, expected = naive.fused(heads, window.tolist(), reconstruction.tolist())
        np.testing.assert_allclose(shares, expected_shares, rtol=2e-5, atol=2e-6 * max(expected_shares))
        assert score == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("fusion", ["max", "sum"])
@pytest.mark.parametrize("shape", SHAPES)
def test_contributions_are_shares_of_the_score(shape, fusion):
    rng = np.random.default_rng(2)
    scorer = make_scorer(*shape, Heads(tuple(some_heads(*shape, rng)[:8]), fusion))
    for window, reconstruction in pairs(shape, rng):
        shares, score = scorer.score(window, reconstruction)
        assert shares.dtype == np.float32
        assert (shares >= 0).all()
        assert score == math.fsum(shares.tolist())


@pytest.mark.parametrize("fusion", ["max", "sum"])
@pytest.mark.parametrize("shape", SHAPES)
def test_many_windows_score_as_one_by_one_to_the_bit(shape, fusion):
    rng = np.random.default_rng(3)
    windows, reconstructions = rng.normal(size=(2, 40, 1, *shape)).astype(np.float32)
    scorer = make_scorer(*shape, Heads(tuple(some_heads(*shape, rng)[:8]), fusion))
    shares = np.empty((40, shape[1]), np.float32)
    scores = scorer.score_each(windows, windows - reconstructions, shares)
    expected = [scorer.score(*pair) for pair in zip(windows, reconstructions, strict=True)]
    assert scores == [score for _, score in expected]
    np.testing.assert_array_equal(shares, [shares for shares, _ in expected])
    views = np.lib.stride_tricks.sliding_window_view(
        rng.normal(size=(60, shape[1])).astype(np.float32), shape[0], axis=0
    ).transpose(0, 2, 1)[:, np.newaxis]
    shares = np.empty((len(views), shape[1]), np.float32)
    nothing = np.zeros_like(views)
    from_views = scorer.score_each(views, nothing - 0, shares)
    copies = [scorer.score(np.ascontiguousarray(view), np.ascontiguousarray(view))[1] for view in views]
    assert from_views == copies


@pytest.mark.parametrize("shape", SHAPES)
def test_a_single_l1_head_is_todays_score_to_the_bit(shape):
    rng = np.random.default_rng(4)
    today, head = WindowScorer(*shape), make_scorer(*shape, Heads((Head("l1", "residual"),)))
    for window, reconstruction in pairs(shape, rng):
        shares, score = head.score(window, reconstruction)
        expected_shares, expected = today.score(window, reconstruction)
        assert score == expected
        np.testing.assert_array_equal(shares, expected_shares)


def test_results_do_not_share_the_scorers_buffers():
    rng = np.random.default_rng(5)
    for head in some_heads(10, 8, rng):
        scorer = HeadScorer(10, 8, Heads((head,)))
        window, other = rng.normal(size=(2, 10, 8)).astype(np.float32)
        first, _ = scorer.score(window, other)
        kept = first.copy()
        scorer.score(other, window)
        np.testing.assert_array_equal(first, kept)


def test_slow_drift_cancels_where_a_baseline_is_taken_off():
    n, length = 3, 10
    center, root = (0.0,) * n, ((1.0,), (0.0, 1.0), (0.0, 0.0, 1.0))
    plain = make_scorer(length, n, Heads((Head("t2", "window-mean", center=center, root=root),)))
    drifting = Head("t2", "window-mean", center=center, root=root, baseline=3, drifting=(True, False, False))
    tolerant = make_scorer(length, n, Heads((drifting,)))
    window = np.zeros((length, n), np.float32)
    window[:, 0] = 50  # a level that warmed up long before this window
    window[5:, 1] = 4
    assert plain.score(window, window)[1] == pytest.approx(2500 + 4)
    assert tolerant.score(window, window)[1] == pytest.approx(4)


def test_what_is_not_a_number_is_not_hidden_by_another_head():
    heads = (
        Head("t2", "window-mean", center=(0.0,), root=((1.0,),)),
        Head("l1", "residual"),
        Head("z-max", "window-mean", center=(0.0,), spread=(1.0,)),
    )
    for order in (heads, heads[::-1], (heads[1], heads[0])):
        for fusion in ("max", "sum"):
            scorer = make_scorer(2, 1, Heads(order, fusion))
            for wrong in (math.nan, math.inf):
                _, score = scorer.score(np.ones((2, 1), np.float32), np.full((2, 1), wrong, np.float32))
                assert not score < math.inf


def test_squares_beyond_float32_stay_numbers():
    head = Head("t2", "window-mean", center=(0.0,) * 2, root=((1e30,), (0.0, 1e30)))
    shares, score = make_scorer(2, 2, Heads((head,))).score(*np.full((2, 2, 2), 1e30, np.float32))
    assert math.isfinite(score)
    assert score == math.fsum(shares.tolist()) > 1e29


def test_heads_survive_json():
    rng = np.random.default_rng(6)
    heads = Heads(tuple(some_heads(10, 8, rng)[:8]), "sum")
    assert decode(Heads, parse_json(canonical_json(encode(heads)))) == heads


BAD = {
    "of the wrong input": ({"kind": "l1", "of": "window-mean"}, "is of residual"),
    "residual values for means": ({"kind": "t2", "of": "residual"}, "is of window-mean or residual-mean"),
    "a baseline of residuals": ({"kind": "q", "of": "residual", "baseline": 2}, "takes no means"),
    "drifting without a baseline": (
        {"kind": "z-max", "of": "window-mean", "center": [0.0], "spread": [1.0], "drifting": [True]},
        "baseline must be",
    ),
    "a negative baseline": (
        {"kind": "z-max", "of": "window-mean", "center": [0.0], "spread": [1.0], "baseline": -1},
        "baseline must be",
    ),
    "scale zero": ({"kind": "l1", "of": "residual", "scale": 0.0}, "scale must lie"),
    "scale NaN": ({"kind": "l1", "of": "residual", "scale": math.nan}, "not a finite number"),
    "scale huge": ({"kind": "l1", "of": "residual", "scale": 1e300}, "scale must lie"),
    "weight negative": ({"kind": "l1", "of": "residual", "weight": -1.0}, "weight must lie"),
    "no center": ({"kind": "t2", "of": "window-mean", "root": [[1.0]]}, "center belongs"),
    "no root": ({"kind": "t2", "of": "window-mean", "center": [0.0]}, "root to t2"),
    "a root for l1": ({"kind": "l1", "of": "residual", "root": [[1.0]]}, "root to t2"),
    "no spread": ({"kind": "z-max", "of": "window-mean", "center": [0.0]}, "spread belongs"),
    "spread zero": (
        {"kind": "z-max", "of": "window-mean", "center": [0.0], "spread": [0.0]},
        "spread must be above zero",
    ),
    "a square root": (
        {"kind": "t2", "of": "window-mean", "center": [0.0, 0.0], "root": [[1.0, 0.0], [0.0, 1.0]]},
        "lower triangle",
    ),
    "huge numbers": (
        {"kind": "t2", "of": "window-mean", "center": [0.0], "root": [[1e300]]},
        "must not exceed",
    ),
    "looks at nothing": ({"kind": "l1", "of": "residual", "channels": [False]}, "look at a channel"),
    "a root beyond its channels": (
        {
            "kind": "t2",
            "of": "window-mean",
            "center": [0.0] * 2,
            "root": [[1.0], [0.5, 1.0]],
            "channels": [True, False],
        },
        "must be zero",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_heads_are_refused(name):
    fields, message = BAD[name]
    with pytest.raises(DecodeError, match=message):
        decode(Head, fields)


def test_a_detector_has_one_to_eight_heads():
    for n in (0, 9):
        with pytest.raises(ValueError, match="1 to 8 heads"):
            Heads((Head("l1", "residual"),) * n)


def test_heads_of_another_size_are_refused():
    head = Head("z-max", "window-mean", center=(0.0,) * 2, spread=(1.0,) * 2, baseline=4)
    with pytest.raises(ValueError, match="center has 2 channels, the bundle 3"):
        make_scorer(10, 3, Heads((head,)))
    with pytest.raises(ValueError, match="leaves nothing of a window of 4"):
        make_scorer(4, 2, Heads((head,)))
