import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from edge_ad.detect.scaler import fit_min_max, fit_standard


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal([5, -300, 1e6], [0.1, 40, 3], (400, 3))


@pytest.mark.parametrize(
    ("fit", "reference"), [(fit_standard, StandardScaler()), (fit_min_max, MinMaxScaler())]
)
def test_scales_as_scikit_learn_does(samples, fit, reference):
    scaled = fit(samples).transform(samples)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, reference.fit_transform(samples), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fit", [fit_standard, fit_min_max])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9, 1e-300, 233.3333333])
def test_a_constant_channel_maps_to_zero_and_keeps_its_unit(fit, value):
    scaler = fit(np.column_stack([np.full(400, value), np.arange(400.0)]))
    assert scaler.scale[0] == 1.0
    scaled = scaler.transform(np.array([[value, 3.0], [value + 2, 3.0]]))
    np.testing.assert_allclose(scaled[:, 0], [0, 2], atol=1e-5)


def test_a_small_but_real_variation_is_not_taken_for_constant():
    channel = 1000 + 1e-6 * np.random.default_rng(0).normal(size=400)
    assert fit_standard(channel[:, None]).scale[0] < 1e-5
