import dataclasses

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from edge_ad.bundle.manifest import Channel
from edge_ad.detect.scaler import fit_scaler
from edge_ad.errors import DataError
from edge_ad.toolchain.datasets.formats import RecordingFormat, TrainSpan
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.preparation import prepare
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import BuildPlan
from tests import naive

CHANNELS = (Channel("a"), Channel("b"))
PLAN = BuildPlan(RecordingFormat(CHANNELS, TrainSpan(rows=60)), BuildSettings(), ())


def recording(n=100, train_rows=60, **changes):
    rng = np.random.default_rng(0)
    fields = {
        "name": "pump",
        "times": np.arange(n, dtype=np.float64),
        "samples": rng.normal([5, -300], [2, 0.01], (n, 2)),
        "channels": CHANNELS,
        "labels": None,
        "in_train": np.arange(n) < train_rows,
        "sha256": "0" * 64,
    }
    return Recording(**{**fields, **changes})


def test_the_scaler_knows_the_train_span_only():
    whole = recording()
    other = recording(samples=np.concatenate([whole.samples[:60], whole.samples[60:] * 50]))
    ours = prepare(whole, PLAN)
    np.testing.assert_array_equal(ours.scaler.offset, prepare(other, PLAN).scaler.offset)
    reference = StandardScaler().fit(whole.samples[:60])
    np.testing.assert_allclose(ours.scaler.offset, reference.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.scaler.scale, reference.scale_, rtol=1e-9)


@pytest.mark.parametrize("kind", ["standard", "min-max", "robust"])
def test_the_scaler_is_of_the_kind_that_was_asked_for(kind):
    plan = dataclasses.replace(PLAN, settings=BuildSettings(scaler=kind))
    ours, expected = prepare(recording(), plan).scaler, fit_scaler(kind, recording().samples[:60])
    assert ours.kind == kind
    np.testing.assert_array_equal(ours.offset, expected.offset)
    np.testing.assert_array_equal(ours.scale, expected.scale)


def test_windows_start_at_each_row():
    prepared = prepare(recording(), PLAN)
    scaled = prepared.scaler.transform(prepared.recording.samples)
    assert prepared.windows.tolist() == naive.windows(scaled.tolist(), 10)
    assert prepared.train.tolist() == list(range(51))  # the last one ends with the span


def test_windows_that_are_not_whole_do_not_train():
    ours = recording()
    ours.times[20:] += 100
    ours.samples[40, 1] = np.nan
    prepared = prepare(ours, PLAN)
    whole = [
        naive.is_whole(ours.times[i : i + 10].tolist(), ours.samples[i : i + 10].tolist(), 5.5)
        for i in range(51)
    ]
    assert prepared.train.tolist() == np.flatnonzero(whole).tolist()
    assert not prepared.finite[31:41].any()
    assert np.isfinite(prepared.scaler.scale).all()


def test_a_constant_channel_does_not_divide_by_zero():
    ours = recording()
    ours.samples[:, 1] = 0.1
    prepared = prepare(ours, PLAN)
    assert prepared.scaler.scale[1] == 1.0
    np.testing.assert_allclose(prepared.windows[:, :, 1], 0, atol=1e-6)


@pytest.mark.parametrize("lost", [slice(60, None), slice(60, None, 9)])
def test_no_whole_window_after_the_train_span(lost):
    """A sensor that died, or that misses a value in every window."""
    ours = recording()
    ours.samples[lost, 1] = np.nan
    with pytest.raises(DataError, match=r"none of the windows after .* rows miss a value, most in 'b'"):
        prepare(ours, PLAN)


def test_nothing_after_the_train_span():
    with pytest.raises(DataError, match="65 rows leave fewer than 10"):
        prepare(recording(65), PLAN)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.samples.__setitem__((slice(None, None, 5), 1), np.nan), "12 rows miss a value.*'b'"),
        (lambda r: r.times.__imul__(6.0), "59 steps in time exceed 5.5 s"),
    ],
)
def test_too_few_whole_windows(change, words):
    ours = recording()
    change(ours)
    with pytest.raises(DataError, match=f"0 whole windows.*{words}"):
        prepare(ours, PLAN)


def with_channel(ours, **fields):
    """The recording, with more said of its first channel."""
    return dataclasses.replace(ours, channels=(Channel("a", **fields), Channel("b")))


def test_the_longest_flat_run_is_ten_times_that_of_the_train_span():
    ours = recording()
    ours.samples[10:18, 0] = 7.0
    ours.samples[:, 1] = 3.0
    a, b = prepare(ours, PLAN).channels
    assert (a.flat_after, b.flat_after) == (80, 0)  # a channel that never changes there may stay as it is
    assert prepare(recording(), PLAN).channels[0].flat_after == 60
    assert prepare(with_channel(ours, flat_after=5), PLAN).channels[0].flat_after == 5
    assert prepare(with_channel(ours, flat_after=0), PLAN).channels[0].flat_after == 0


def test_samples_that_are_not_plausible_do_not_train():
    ours = recording()
    ours.samples[30, 0] = 1e6
    prepared = prepare(with_channel(ours, high=100.0), PLAN)
    assert prepared.scaler.scale[0] < 10
    assert not set(prepared.train) & set(range(21, 31))
    assert prepare(ours, PLAN).scaler.scale[0] > 1e4
    ours.samples[::5, 0] = 1e6
    with pytest.raises(DataError, match="12 rows leave the plausible range, most in 'a'"):
        prepare(with_channel(ours, high=100.0), PLAN)


def test_a_stuck_channel_does_not_train():
    ours = recording()
    ours.samples[20:40, 0] = 5.0
    prepared = prepare(with_channel(ours, flat_after=10), PLAN)
    # Stuck from the tenth equal value on: only then is it known.
    assert prepared.train.tolist() == [*range(20), *range(40, 51)]
