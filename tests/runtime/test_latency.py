import numpy as np
import pytest

from edge_ad.runtime.latency import STAGES, LatencyRecorder


@pytest.fixture(scope="module")
def durations():
    rng = np.random.default_rng(0)
    return rng.lognormal(10, 1.2, (5000, len(STAGES))).astype(np.int64)


def recorded(durations):
    recorder = LatencyRecorder()
    for row in durations:
        recorder.add(*(1000 + np.concatenate([[0], np.cumsum(row)])).tolist())
    return recorder


def test_percentiles_are_within_one_percent(durations):
    summary = recorded(durations).summary()
    columns = {name: durations[:, i] for i, name in enumerate(STAGES)}
    columns["total"] = durations.sum(axis=1)
    assert set(summary) == set(columns)
    for name, column in columns.items():
        figures = summary[name]
        assert figures.count == len(column)
        assert figures.max_us == column.max() / 1000
        for percent, value in ((50, figures.p50_us), (95, figures.p95_us), (99, figures.p99_us)):
            exact = np.percentile(column, percent, method="inverted_cdf") / 1000
            assert value == pytest.approx(exact, rel=0.01)


def test_extremes():
    recorder = LatencyRecorder()
    recorder.add(0, 0, 0, 0, 0)
    recorder.add(0, 1, 1, 1, 2**60)
    summary = recorder.summary()
    assert summary["scale"].max_us == 0.001
    assert summary["total"].max_us == 2**60 / 1000


def test_empty():
    assert LatencyRecorder().summary() == {}
