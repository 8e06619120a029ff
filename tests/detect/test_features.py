import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.codec import decode, encode
from edge_ad.detect.features import SnapshotFeatures
from tests import naive_features as naive

ALL = SnapshotFeatures(
    signals=("left", "right"),
    rows=60,
    rate_hz=600.0,
    kinds=("mean-abs", "rms", "kurtosis", "crest-factor", "band-energy"),
    band_edges_hz=(0.0, 50.0, 120.0, 300.0),
)


def expected(signal, settings):
    edges = settings.band_edges_hz
    pairs = list(itertools.pairwise(edges))
    bands = [
        naive.band_energy(signal, settings.rate_hz, low, high, with_high=high == settings.rate_hz / 2)
        for low, high in pairs
    ]
    return [f(signal) for f in (naive.mean_abs, naive.rms, naive.kurtosis, naive.crest_factor)] + bands


@pytest.mark.parametrize("n", [60, 61, 2])
def test_every_feature_is_what_its_definition_says(n):
    settings = dataclasses.replace(ALL, rows=n)
    readings = np.random.default_rng(n).normal([0.5, -3], [1, 0.01], (n, 2))
    found = settings.extract(readings)
    wanted = [value for signal in readings.T for value in expected(signal.tolist(), settings)]
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert len(settings.channel_names) == len(found)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_mean_abs_and_rms_of_any_signal(signal):
    settings = SnapshotFeatures(("a",), rows=len(signal), kinds=("mean-abs", "rms"))
    found = settings.extract(np.array(signal)[:, np.newaxis])
    assert found == pytest.approx([naive.mean_abs(signal), naive.rms(signal)], rel=1e-12)


def test_all_bands_together_are_the_variance():
    readings = np.random.default_rng(5).normal(3, 2, (61, 1))
    for n in (60, 61):
        settings = SnapshotFeatures(
            ("a",), n, 600.0, kinds=("band-energy",), band_edges_hz=(0.0, 10.0, 11.0, 300.0)
        )
        assert settings.extract(readings[:n]).sum() == pytest.approx(readings[:n].var(), rel=1e-12)


def test_a_sine_lies_in_its_band_and_has_its_crest_factor():
    times = np.arange(600) / 600
    settings = dataclasses.replace(ALL, signals=("a",), rows=600)
    _, rms, kurtosis, crest, low, middle, high = settings.extract(
        3 * np.sin(2 * np.pi * 60 * times + 0.3)[:, np.newaxis]
    )
    assert rms == pytest.approx(3 / math.sqrt(2))
    assert kurtosis == pytest.approx(1.5)
    assert crest == pytest.approx(math.sqrt(2), rel=0.05)
    assert (low, middle, high) == pytest.approx((0, 4.5, 0), abs=1e-12)


def test_the_first_row_can_be_left_out():
    readings = np.random.default_rng(1).normal(size=(60, 2))
    whole = dataclasses.replace(ALL, rows=59).extract(readings[1:])
    assert np.array_equal(dataclasses.replace(ALL, drop_first_row=True).extract(readings), whole)


def test_what_is_not_defined_is_nan_and_nothing_else_is():
    readings = np.zeros((60, 2))
    readings[:, 1] = 0.1
    found = dict(zip(ALL.channel_names, ALL.extract(readings), strict=True))
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {"left kurtosis", "left crest-factor", "right kurtosis"}
    readings[7, 0] = math.inf
    assert np.isnan(ALL.extract(readings)[:7]).all()


def test_names_say_signal_and_feature_but_mean_abs_alone_is_the_signal():
    assert SnapshotFeatures(("a", "b")).channel_names == ("a", "b")
    assert ALL.channel_names[3:9] == (
        "left crest-factor",
        "left 0-50 Hz",
        "left 50-120 Hz",
        "left 120-300 Hz",
        "right mean-abs",
        "right rms",
    )


def test_settings_survive_the_manifest():
    assert decode(SnapshotFeatures, encode(ALL)) == ALL


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signals": ()}, "signals"),
        ({"signals": ("a", "a")}, "different"),
        ({"signals": ("",)}, "needs a name"),
        ({"rows": 1}, "rows"),
        ({"rows": 10**9}, "rows"),
        ({"rate_hz": math.nan}, "rate_hz"),
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("rms", "rms"), "band_edges_hz": ()}, "kinds"),
        ({"kinds": ("rms",)}, "belong together"),
        ({"band_edges_hz": ()}, "belong together"),
        ({"band_edges_hz": (0.0, 50.0, 50.0)}, "rise"),
        ({"band_edges_hz": (0.0, 301.0)}, "half of rate_hz"),
        ({"band_edges_hz": (math.nan, 30.0)}, "rise"),
        ({"separator": "."}, "separator"),
        ({"separator": "ab"}, "separator"),
        ({"name_format": "name"}, "name_format"),
        ({"name_format": "%Y/%m"}, "name_format"),
    ],
)
def test_settings_that_cannot_be(changes, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(ALL, **changes)
