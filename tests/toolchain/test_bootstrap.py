import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.toolchain.bootstrap import BootstrapSettings, block_length, f1_drop_interval
from edge_ad.toolchain.episodes import detection_delays, episodes, matched_episodes

flags = st.lists(st.booleans(), max_size=40).map(lambda values: np.array(values, bool))


def f1(labels, alarms):
    hits = int((labels & alarms).sum())
    return 2 * hits / max(1, int(labels.sum()) + int(alarms.sum()))


def naive_interval(assets, settings):
    """Block by block, row by row."""
    rng = np.random.default_rng(settings.seed)
    chosen = rng.integers(len(assets), size=(settings.resamples, len(assets)))
    rows = [[] for _ in range(settings.resamples)]
    for number, (labels, _, _) in enumerate(assets):
        n = len(labels)
        length = block_length(n, settings)
        slots = [sample for sample in range(settings.resamples) for c in chosen[sample] if c == number]
        for sample, starts in zip(slots, rng.integers(n, size=(len(slots), -(-n // length))), strict=True):
            rows[sample] += [(number, (s + k) % n) for s in starts for k in range(length)]
    drops = []
    for sample in range(settings.resamples):
        drawn = [[assets[number][column][row] for number, row in rows[sample]] for column in range(3)]
        labels, ours, theirs = (np.array(column, bool) for column in drawn)
        reference = f1(labels, theirs)
        drops.append((reference - f1(labels, ours)) / reference if reference else 0.0)
    tail = 50 * (1 - settings.level)
    return tuple(np.percentile(drops, [tail, 100 - tail]))


def detectors(seed, n=120, accuracy=0.9):
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.random(n // 10) > 0.5, 10)
    return labels, labels ^ (rng.random(n) > accuracy), labels ^ (rng.random(n) > 0.95)


@pytest.mark.parametrize("block_rows", [1, 7, 50, 500])
def test_the_interval_is_that_of_the_definition(block_rows):
    assets = [detectors(1), detectors(2, n=70)]
    settings = BootstrapSettings(block_rows=block_rows, resamples=150)
    assert f1_drop_interval(assets, settings) == pytest.approx(naive_interval(assets, settings))


def test_equal_detectors_have_no_difference():
    labels, ours, _ = detectors(3)
    assert f1_drop_interval([(labels, ours, ours)], BootstrapSettings()) == (0.0, 0.0)


def test_more_recordings_make_it_narrower_and_blocks_wider():
    settings = BootstrapSettings(block_rows=10)

    def width(assets, settings=settings):
        low, high = f1_drop_interval(assets, settings)
        return high - low

    few, many = [detectors(i) for i in range(2)], [detectors(i) for i in range(32)]
    assert width(many) < width(few) / 2
    # errors that come in runs: rows drawn one by one would look surer than they are
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.random(60) > 0.5, 20)
    wrong = np.repeat(rng.random(60) > 0.9, 20)
    runs = [(labels, labels ^ wrong, labels)]
    assert width(runs, BootstrapSettings(block_rows=40)) > 2 * width(runs, BootstrapSettings(block_rows=1))


def test_an_interval_holds_the_truth_as_often_as_it_says():
    """Coverage over 100 simulated data sets whose true drop is known."""
    covered = 0
    truth = None
    big = [detectors(10_000 + i, n=2000, accuracy=0.8) for i in range(50)]
    labels, ours, theirs = (np.concatenate(parts) for parts in zip(*big, strict=True))
    truth = (f1(labels, theirs) - f1(labels, ours)) / f1(labels, theirs)
    for seed in range(100):
        low, high = f1_drop_interval(
            [detectors(seed, n=600, accuracy=0.8)], BootstrapSettings(resamples=300, block_rows=20)
        )
        covered += low <= truth <= high
    assert 78 <= covered <= 99


@given(flags)
def test_episodes_are_the_runs(values):
    rebuilt = np.zeros(len(values), bool)
    found = episodes(values)
    for start, end in found:
        assert not rebuilt[max(0, start - 1) : end + 1].any()  # apart from each other
        rebuilt[start:end] = True
    assert rebuilt.tolist() == values.tolist()


def test_matching_by_hand():
    ours = np.array([1, 1, 0, 0, 1, 0, 0, 1], bool)
    theirs = np.array([0, 1, 1, 0, 0, 0, 0, 0], bool)
    assert matched_episodes(ours, theirs) == (2, 4)
    assert matched_episodes(ours, ours) == (6, 6)
    assert matched_episodes(ours, np.zeros(8, bool)) == (0, 3)


def test_delays_by_hand():
    labels = np.array([0, 1, 1, 1, 0, 1, 1, 0, 1], bool)
    alarms = np.array([1, 0, 0, 1, 1, 0, 0, 1, 1], bool)
    assert detection_delays(labels, alarms) == [2, None, 0]


def test_a_recording_shorter_than_a_block_is_no_certainty():
    labels = np.arange(50) >= 25
    ours = labels.copy()
    ours[25] = False
    low, high = f1_drop_interval([(labels, ours, labels)], BootstrapSettings())
    assert low < 1 / 49 < high


def test_machines_that_differ_make_it_wider():
    """All misses in one machine of ten: another ten might have had none of it, or two."""
    labels = np.arange(400) >= 200
    bad = labels.copy()
    bad[200:300] = False
    spread = [np.where(np.arange(400) % 20 == 0, False, labels) for _ in range(10)]
    one = [(labels, bad if i == 0 else labels, labels) for i in range(10)]
    low, high = f1_drop_interval(one, BootstrapSettings())
    low_spread, high_spread = f1_drop_interval([(labels, s, labels) for s in spread], BootstrapSettings())
    assert low == 0.0
    assert high - low > 3 * (high_spread - low_spread)
