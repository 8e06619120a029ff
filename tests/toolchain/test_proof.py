import dataclasses

import numpy as np
import pytest

from edge_ad.detect.scaler import Scaler
from edge_ad.runtime.window_model import WindowModel
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.proof import prove, rank_near_limit
from tests import naive
from tests.toolchain.test_evaluate import SHAPE, WEIGHTS, prepared  # noqa: F401  a fixture

SETS = {"training", "test", "synthetic anomalies", "ten times the amplitude", "zeros", "extremes"}


def proof(prepared, precision, optimize="size", weights=WEIGHTS):  # noqa: F811
    train = np.ascontiguousarray(prepared.windows[prepared.train])
    converted = convert(SHAPE, weights, precision, optimize, train)
    model = WindowModel(
        converted.content, Scaler("standard", np.zeros(3), np.ones(3)), "sum", stateful=converted.stateful
    )
    return {e.windows: e for e in prove(model, SHAPE, WEIGHTS, prepared, ucl=2.0)}


@pytest.mark.parametrize("optimize", ["size", "speed"])
def test_float32_is_as_near_as_float32_can_be(prepared, optimize):  # noqa: F811
    entries = proof(prepared, "float32", optimize)
    assert set(entries) == SETS
    for entry in entries.values():
        assert entry.p50 <= entry.p99 <= entry.maximum <= max(1e-5, 10 * entry.float32_maximum)
        assert entry.near_maximum <= 1e-5


def test_integers_are_farther_than_weights_than_floats(prepared):  # noqa: F811
    errors = [proof(prepared, p)["training"].p50 for p in ("float32", "int8", "int8-full")]
    assert errors == sorted(errors)
    assert 1e-5 < errors[1] < 0.02 < 0.2


def test_a_wrong_model_is_seen(prepared):  # noqa: F811
    wrong = [weight.copy() for weight in WEIGHTS]
    wrong[-1] += 0.5
    entries = proof(prepared, "float32", weights=wrong)
    assert entries["training"].p50 > 0.01


def test_the_error_is_that_of_the_definition(prepared):  # noqa: F811
    few = dataclasses.replace(prepared, train=prepared.train[:5])
    windows = prepared.windows[few.train]
    converted = convert(SHAPE, WEIGHTS, "int8")
    model = WindowModel(converted.content, Scaler("standard", np.zeros(3), np.ones(3)), "sum", stateful=True)
    (entry,) = (e for e in prove(model, SHAPE, WEIGHTS, few, ucl=2.0) if e.windows == "training")
    errors = []
    for window, exact in zip(windows, naive.autoencoder(SHAPE, WEIGHTS, windows), strict=True):
        expected = naive.score(window, exact)[1]
        errors.append(abs(model.score(np.ascontiguousarray(window))[1] - expected) / max(expected, 2.0))
    assert entry.n == 5
    assert entry.maximum == pytest.approx(max(errors))
    assert entry.p50 == pytest.approx(sorted(errors)[2])


def test_the_ranks_of_a_right_model_are_near_float32s_own(prepared):  # noqa: F811
    converted = convert(SHAPE, WEIGHTS, "float32")
    scaler = Scaler("standard", np.zeros(3), np.ones(3))
    model = WindowModel(converted.content, scaler, "sum", stateful=True)
    ranked = rank_near_limit(model, SHAPE, WEIGHTS, prepared, ucl=2.0)
    assert len(SETS) <= len(ranked) + 1 <= 2 * len(SETS)  # extremes are not near the limit
    proof_ = prove(model, SHAPE, WEIGHTS, prepared, ucl=2.0)
    assert max(e.error for e in ranked) == max(e.near_maximum for e in proof_)
    assert 0 < max(e.float32_error for e in ranked) < 1e-5
