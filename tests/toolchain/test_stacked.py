"""Training side by side, beside training one by one."""

from dataclasses import replace

import numpy as np
import pytest

from edge_ad.errors import TrainingError
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.settings import TrainingSettings
from edge_ad.toolchain.stacked import StackedTrainer, TrainingJob, train_jobs
from edge_ad.toolchain.train import initial_weights, trainer_for
from tests import naive

SHAPE = LstmArchitecture(10, 3, (6,), (6,))
SETTINGS = TrainingSettings(epochs=8, patience=3, learning_rate=0.01)
DEEP = LstmArchitecture(4, 5, (7, 3), (3, 7), "tanh")


def job(seed, n=150, shape=SHAPE):
    rng = np.random.default_rng(seed)
    rows = np.cumsum(rng.normal(size=(n + shape.window_length - 1, shape.n_channels)), axis=0)
    rows = ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(rows, shape.window_length, axis=0).transpose(0, 2, 1)
    return TrainingJob(windows, initial_weights(shape, 0, f"{seed:064x}"))


@pytest.fixture(scope="module")
def stack():
    return StackedTrainer(SHAPE, 32)


def same(ours, theirs):
    return ours.losses == theirs.losses and all(
        (a == b).all() for a, b in zip(ours.weights, theirs.weights, strict=True)
    )


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        (SHAPE, SETTINGS),
        (DEEP, TrainingSettings(epochs=4, batch_size=10, learning_rate=0.01, kernel_l2=0.01)),
        (LstmArchitecture(1, 4, (6,), (6,)), TrainingSettings(epochs=5, patience=9, keep="last")),
    ],
)
def test_side_by_side_is_one_by_one(shape, settings):
    jobs = [job(seed, n, shape) for seed, n in enumerate((150, 97, 33))]
    results = StackedTrainer(shape, settings.batch_size, settings.kernel_l2, widths=[2]).fit(jobs, settings)
    trainer = trainer_for(shape, settings.batch_size, settings.kernel_l2)
    for given, ours in zip(jobs, results, strict=True):
        theirs = trainer.fit(given.windows, settings, given.initial)
        np.testing.assert_allclose(ours.losses[:2], theirs.losses[:2], rtol=1e-5)
        # From there on rounding grows with every step, and differently on every processor.
        np.testing.assert_allclose(ours.losses, theirs.losses, rtol=0.01)
        np.testing.assert_allclose(ours.validation_losses, theirs.validation_losses, rtol=0.01)
    once = replace(settings, epochs=1)
    stacked = StackedTrainer(shape, settings.batch_size, settings.kernel_l2, widths=[2])
    for given, ours in zip(jobs, stacked.fit(jobs, once), strict=True):
        theirs = trainer.fit(given.windows, once, given.initial)
        for mine, other in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(mine, other, atol=2e-5)


def test_the_neighbours_change_no_bit(stack):
    """Alone, in any place, beside assets of other lengths, after one that left, beside a broken one."""
    jobs = [job(seed, 150 if seed % 3 else 64 + 20 * seed) for seed in range(20)]
    alone = [stack.fit([given], SETTINGS)[0] for given in jobs[:4]]
    together = stack.fit(jobs, SETTINGS)
    backwards = stack.fit(jobs[::-1], SETTINGS)[::-1]
    broken = TrainingJob(jobs[0].windows * np.float32(1e38), jobs[0].initial)
    beside = stack.fit([broken, *jobs[:4], broken], SETTINGS)
    for seed in range(20):
        assert same(together[seed], backwards[seed])
    for seed in range(4):
        assert same(alone[seed], together[seed])
        assert same(alone[seed], beside[seed + 1])
    assert isinstance(beside[0], TrainingError)
    assert len({len(result.losses) for result in together}) > 1, "all stopped alike: the test shows nothing"


def test_what_cannot_be_trained_is_its_own_error(stack):
    results = stack.fit([job(0), job(1, n=1), job(2)], SETTINGS)
    assert "1 training windows are too few" in str(results[1])
    assert same(results[2], stack.fit([job(2)], SETTINGS)[0])
    assert stack.fit([], SETTINGS) == []


def test_the_kept_weights_are_those_of_the_best_epoch(stack):
    settings = TrainingSettings(epochs=50, patience=2, learning_rate=0.9)
    given = job(0)
    result = stack.fit([given], settings)[0]
    assert min(result.validation_losses) == result.validation_losses[-3]
    held = given.windows[135:]
    error = np.abs(naive.autoencoder(SHAPE, result.weights, held) - held).mean(dtype=np.float64)
    np.testing.assert_allclose(error, min(result.validation_losses), rtol=1e-5)
    assert len(result.losses) < 50


def test_noise_is_not_left_out():
    """What is trained side by side has none; so it is trained one by one."""
    noisy, given = replace(SETTINGS, noise=0.5), job(0)
    ours = train_jobs(SHAPE, [given], noisy)[0]
    assert same(ours, trainer_for(SHAPE, 32).fit(given.windows, noisy, given.initial))
    assert not same(ours, trainer_for(SHAPE, 32).fit(given.windows, SETTINGS, given.initial))
