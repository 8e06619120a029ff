import dataclasses

import numpy as np
import pytest

from edge_ad.bundle.manifest import Channel
from edge_ad.errors import InterpreterError
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.datasets.formats import RecordingFormat, TrainSpan
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluate import evaluate_variant
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.preparation import prepare
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import BuildPlan
from tests import naive

CHANNELS = tuple(Channel(name) for name in "abc")
SHAPE = LstmArchitecture(5, 3, (4,), (4,))
PLAN = BuildPlan(RecordingFormat(CHANNELS, TrainSpan(rows=80)), BuildSettings(window_length=5), ())
WEIGHTS = [np.random.default_rng(3).normal(0, 0.3, shape).astype(np.float32) for shape in SHAPE.weight_shapes]


@pytest.fixture(scope="module")
def prepared():
    """Noise that grows after the train span, with a gap and a missing value in the test rows."""
    rng = np.random.default_rng(0)
    n = 240
    growth = np.where(np.arange(n) < 120, 1.0, np.where(np.arange(n) < 190, 4.0, 1.2))
    times = np.arange(n, dtype=np.float64)
    times[150:] += 60
    samples = rng.normal(size=(n, 3)) * growth[:, None]
    samples[170, 2] = np.nan
    labels = growth > 2
    return prepare(
        Recording("pump", times, samples, CHANNELS, labels, np.arange(len(times)) < 80, "0" * 64), PLAN
    )


@pytest.fixture(scope="module", params=["float32", "int8"])
def converted(request):
    return convert(SHAPE, WEIGHTS, request.param)


@pytest.fixture(scope="module")
def result(prepared, converted):
    return evaluate_variant(prepared, PLAN, converted.content, stateful=converted.stateful)


def test_scores_are_the_definition(prepared, result):
    windows = prepared.windows[prepared.finite]
    for window, reconstruction, score in zip(
        windows, naive.autoencoder(SHAPE, WEIGHTS, windows), result.scores[prepared.finite], strict=True
    ):
        assert score == pytest.approx(naive.score(window, reconstruction)[1], rel=0.02)
    assert np.isnan(result.scores[~prepared.finite]).all()


def test_the_limit_is_the_notebooks(prepared, result):
    train = result.scores[: 80 - 4]
    assert result.limit.ucl == np.percentile(train, 99) * 1.5
    assert result.limit.n_train_windows == 76


def test_leaderboard_rule(result):
    exceeds = [bool(score > result.limit.ucl) for score in result.scores[80:]]
    assert result.leaderboard.tolist() == naive.notebook_flags(exceeds, 5, 160)
    assert result.leaderboard.any()


def test_streaming_rule(prepared, result):
    recording = prepared.recording
    exceeds = [None] * 4
    for start in range(len(recording) - 4):
        rows = slice(start, start + 5)
        whole = naive.is_whole(recording.times[rows].tolist(), recording.samples[rows].tolist(), 5.5)
        exceeds.append(bool(result.scores[start] > result.limit.ucl) if whole else None)
    assert result.streaming.tolist() == naive.streaming_flags(exceeds, 3)[80:]
    assert result.unknown.tolist() == [e is None for e in exceeds[80:]]
    assert result.unknown.sum() == 4 + 5
    assert result.streaming.any()


def test_confusion_counts(prepared, result):
    labels = prepared.recording.labels[80:]
    counts = result.confusion(result.streaming)
    pairs = list(zip(labels.tolist(), result.streaming.tolist(), strict=True))
    expected = Confusion(
        pairs.count((True, True)),
        pairs.count((False, True)),
        pairs.count((True, False)),
        pairs.count((False, False)),
    )
    assert counts == expected
    precision = counts.true_positive / (counts.true_positive + counts.false_positive)
    recall = counts.true_positive / (counts.true_positive + counts.false_negative)
    assert counts.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert counts.mar == pytest.approx(1 - recall)
    assert counts.far == pytest.approx(counts.false_positive / (~labels).sum())


def test_figures_that_are_not_defined():
    nothing = confusion(np.zeros(5, bool), np.zeros(5, bool))
    assert (nothing.f1, nothing.far, nothing.mar) == (None, 0.0, None)
    assert Confusion() + nothing == nothing


def test_a_model_that_remembers_is_caught(prepared):
    """A stateful model that is not reset would score each window by those before it."""
    converted = convert(SHAPE, WEIGHTS, "float32")
    with pytest.raises(InterpreterError, match="keeps state between windows"):
        evaluate_variant(prepared, PLAN, converted.content, stateful=False)


def test_a_model_without_errors_has_no_limit(prepared):
    still = dataclasses.replace(prepared, windows=np.zeros_like(prepared.windows))
    zeros = [np.zeros_like(weight) for weight in WEIGHTS]
    converted = convert(SHAPE, zeros, "float32")
    with pytest.raises(InterpreterError, match=r"a UCL of 0\.0"):
        evaluate_variant(still, PLAN, converted.content, stateful=True)
