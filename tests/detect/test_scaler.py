import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from edge_ad.detect.scaler import fit_min_max, fit_robust, fit_scaler, fit_standard


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal([5, -300, 1e6], [0.1, 40, 3], (400, 3))


@pytest.mark.parametrize(
    ("fit", "reference"),
    [
        (fit_standard, StandardScaler()),
        (fit_min_max, MinMaxScaler()),
        (fit_robust, RobustScaler(unit_variance=True)),
    ],
)
def test_scales_as_scikit_learn_does(samples, fit, reference):
    scaled = fit(samples).transform(samples)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, reference.fit_transform(samples), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fit", [fit_standard, fit_min_max, fit_robust])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9, 1e-300, 233.3333333])
def test_a_constant_channel_maps_to_zero_and_keeps_its_unit(fit, value):
    scaler = fit(np.column_stack([np.full(400, value), np.arange(400.0)]))
    assert scaler.scale[0] == 1.0
    scaled = scaler.transform(np.array([[value, 3.0], [value + 2, 3.0]]))
    np.testing.assert_allclose(scaled[:, 0], [0, 2], atol=1e-5)


def test_a_small_but_real_variation_is_not_taken_for_constant():
    channel = 1000 + 1e-6 * np.random.default_rng(0).normal(size=400)
    assert fit_standard(channel[:, None]).scale[0] < 1e-5


def test_what_a_fifth_of_the_rows_does_moves_nothing(samples):
    spoilt = samples.copy()
    spoilt[::5] += [1e3, -1e6, 1e9]
    robust, plain = fit_robust(spoilt), fit_robust(samples)
    assert (np.abs(robust.offset - plain.offset) < plain.scale).all()
    assert (robust.scale < 2 * plain.scale).all()
    assert (fit_standard(spoilt).scale > 1000 * plain.scale).all()


def test_a_channel_that_mostly_rests_is_scaled_by_its_standard_deviation():
    """A digital reading that flickers now and then has no interquartile range."""
    channel = np.zeros((400, 1))
    channel[::10] = 0.5
    scaler = fit_robust(channel)
    assert scaler.offset[0] == 0
    assert scaler.scale[0] == fit_standard(channel).scale[0] > 0.1


@pytest.mark.parametrize("kind", ["standard", "min-max", "robust"])
def test_a_kind_is_fitted_by_its_name(samples, kind):
    assert fit_scaler(kind, samples).kind == kind
