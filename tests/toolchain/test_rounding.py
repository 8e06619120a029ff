import numpy as np
import pytest

from edge_ad.detect.scaler import Scaler
from edge_ad.runtime.window_model import WindowModel
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.oracle import reconstruct, window_scores
from edge_ad.toolchain.rounding import FACTOR, RankedError, float32_scores, judge, rank_errors

MARGIN = 1e-4


def network(window_length, gain, seed=0):
    """An untrained relu LSTM; with a gain above 1 it enlarges what comes in, its own rounding included."""
    shape = LstmArchitecture(window_length, 3, (8,), (8,))
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, gain / np.sqrt(s[0]), s).astype(np.float32) for s in shape.weight_shapes]
    windows = rng.normal(size=(120, window_length, 3)).astype(np.float32)
    return shape, weights, windows


def judged(shape, weights, windows, converted_weights, optimize="size"):
    """Error and limit of a float32 form that was converted from `converted_weights`."""
    converted = convert(shape, converted_weights, "float32", optimize)
    scaler = Scaler("standard", np.zeros(3), np.ones(3))
    model = WindowModel(converted.content, scaler, "sum", stateful=converted.stateful)
    expected = window_scores(windows, reconstruct(shape, weights, windows))
    errors = np.abs(model.scores_scaled(windows) - expected) / expected
    own = np.abs(float32_scores(shape, weights, windows) - expected).max(axis=0) / expected
    return judge(rank_errors(errors, own), MARGIN)


CALM = network(10, 2.0)
WILD = network(50, 1.2, seed=3)


@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("case", [CALM, WILD], ids=["calm", "wild"])
def test_a_right_conversion_passes(case, optimize):
    shape, weights, windows = case
    error, limit = judged(shape, weights, windows, weights, optimize)
    assert error <= limit


def test_where_float32_is_good_the_margin_is_the_limit():
    assert judged(*CALM, CALM[1])[1] == MARGIN


def test_where_float32_is_bad_a_right_conversion_needs_more_than_the_margin():
    error, limit = judged(*WILD, WILD[1])
    assert MARGIN < error <= limit


@pytest.mark.parametrize("position", range(8))
@pytest.mark.parametrize("case", [CALM, WILD], ids=["calm", "wild"])
def test_one_weight_off_by_a_percent_fails(case, position):
    """In each of the matrices and biases, wherever its largest weight is."""
    shape, weights, windows = case
    wrong = [weight.copy() for weight in weights]
    wrong[position].flat[np.abs(wrong[position]).argmax()] *= 1.01
    error, limit = judged(shape, weights, windows, wrong)
    assert error > limit


def test_the_ways_are_the_same_network_with_other_roundings():
    shape, weights, windows = CALM
    ways = float32_scores(shape, weights, windows)
    assert len(np.unique(ways, axis=0)) == len(ways)
    expected = window_scores(windows, reconstruct(shape, weights, windows))
    np.testing.assert_allclose(ways, np.broadcast_to(expected, ways.shape), rtol=1e-5)


def test_layers_of_different_sizes_are_reordered_each():
    shape = LstmArchitecture(6, 4, (7, 3), (2, 5), "tanh")
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.5, s).astype(np.float32) for s in shape.weight_shapes]
    windows = rng.normal(size=(9, 6, 4)).astype(np.float32)
    expected = window_scores(windows, reconstruct(shape, weights, windows))
    for scores in float32_scores(shape, weights, windows):
        np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_errors_are_compared_rank_by_rank():
    ranked = rank_errors(np.array([0.5, 0.001, 0.003]), np.array([0.002, 0.4, 0.0001]))
    assert ranked == (RankedError(0.5, 0.4), RankedError(0.001, 0.0001))
    assert judge(ranked, 0.01) == (0.5, FACTOR * 0.4)
    assert judge(ranked, 0.0001) == (0.001, FACTOR * 0.0001)


def test_many_small_errors_do_not_hide_behind_one_large_rounding():
    errors = np.full(100, 0.01)
    own = np.append(np.full(99, 1e-7), 0.5)
    error, limit = judge(rank_errors(errors, own), MARGIN)
    assert (error, limit) == (0.01, MARGIN)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_no_windows_and_no_errors(margin):
    assert rank_errors(np.empty(0), np.empty(0)) == ()
    assert judge((), margin) == (0.0, margin)
    assert judge(rank_errors(np.zeros(3), np.zeros(3)), margin) == (0.0, margin)


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_what_float32_cannot_compute_excuses_nothing(lost):
    ranked = rank_errors(np.array([0.0, 1e300]), np.array([0.0, lost]))
    error, limit = judge(ranked, MARGIN)
    assert error > limit == MARGIN
