"""Several networks distilled into one, alone and side by side."""

from dataclasses import replace

import numpy as np
import pytest

from edge_ad.errors import TrainingError
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.distill import mean_reconstruction, teacher_settings, train_network, train_networks
from edge_ad.toolchain.settings import MAX_TEACHERS, TrainingSettings
from edge_ad.toolchain.stacked import StackedTrainer, TrainingJob
from edge_ad.toolchain.train import Trainer, initial_weights
from tests.helpers import edge_ad, pump_recording

SHAPE = LstmArchitecture(10, 3, (6,), (6,))
SETTINGS = TrainingSettings(epochs=8, patience=3, learning_rate=0.01)
TAUGHT = replace(SETTINGS, teachers=3)
DIGEST = "c" * 64


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(3)
    rows = np.cumsum(rng.normal(size=(159, 3)), axis=0)
    rows = ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(rows, 10, axis=0).transpose(0, 2, 1)


@pytest.fixture(scope="module")
def trainer():
    return Trainer(SHAPE, SETTINGS.batch_size)


@pytest.fixture(scope="module")
def distilled(windows, trainer):
    return train_network(trainer, SHAPE, windows, TAUGHT, DIGEST)


def teachers_mean(windows, trainer, settings):
    """What the teachers make of the windows, each of them trained by hand."""
    outputs = []
    for own in teacher_settings(settings):
        found = trainer.fit(windows, own, initial_weights(SHAPE, own.seed, DIGEST))
        outputs.append(trainer.reconstruct(found.weights, windows))
    return np.mean(outputs, axis=0, dtype=np.float64)


@pytest.fixture(scope="module")
def mean(windows, trainer):
    return teachers_mean(windows, trainer, TAUGHT)


def same(ours, theirs):
    return all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_without_teachers_training_is_what_it_was(windows, trainer):
    plain = trainer.fit(windows, SETTINGS, initial_weights(SHAPE, SETTINGS.seed, DIGEST))
    found = train_network(trainer, SHAPE, windows, SETTINGS, DIGEST)
    assert (found.losses, found.validation_losses) == (plain.losses, plain.validation_losses)
    assert same(found.weights, plain.weights)
    asked = trainer.fit(
        windows, SETTINGS, initial_weights(SHAPE, SETTINGS.seed, DIGEST), np.ascontiguousarray(windows)
    )
    assert same(asked.weights, plain.weights)


def test_the_student_is_nearer_to_its_teachers_than_its_twin(windows, trainer):
    long = {"epochs": 40, "patience": 40}
    mean = teachers_mean(windows, trainer, replace(TAUGHT, **long))
    distilled = train_network(trainer, SHAPE, windows, replace(TAUGHT, **long), DIGEST)
    twin = train_network(trainer, SHAPE, windows, replace(SETTINGS, **long), DIGEST)
    student, other = (
        np.abs(trainer.reconstruct(found.weights, windows) - mean).mean() for found in (distilled, twin)
    )
    assert student < 0.9 * other


def test_it_is_validated_against_what_it_learns(windows, trainer, distilled, mean):
    held = slice(len(windows) * 9 // 10, None)
    outputs = trainer.reconstruct(distilled.weights, windows[held])
    error = np.abs(outputs - mean[held]).mean()
    np.testing.assert_allclose(error, min(distilled.validation_losses), rtol=1e-5)
    assert abs(np.abs(outputs - windows[held]).mean() / error - 1) > 0.05, "both are alike: nothing is shown"


def test_the_same_settings_give_the_same_network(windows, distilled):
    again = train_network(Trainer(SHAPE, SETTINGS.batch_size), SHAPE, windows, TAUGHT, DIGEST)
    assert same(again.weights, distilled.weights)


def test_every_teacher_has_a_seed_of_its_own():
    seeds = {own.seed for seed in range(5) for own in teacher_settings(replace(TAUGHT, seed=seed))}
    assert len(seeds) == 15
    assert all(own == replace(SETTINGS, seed=own.seed) for own in teacher_settings(TAUGHT))


def test_the_mean_is_the_mean():
    outputs = [np.full((2, 3, 1), value, np.float32) for value in (1, 2, 6)]
    np.testing.assert_array_equal(mean_reconstruction(iter(outputs)), np.full((2, 3, 1), 3, np.float32))


def test_side_by_side_learns_targets_as_one_by_one(windows, trainer, mean):
    targets = mean.astype(np.float32)
    initial = initial_weights(SHAPE, 0, DIGEST)
    once = replace(SETTINGS, epochs=1)
    taught, plain, broken = StackedTrainer(SHAPE, SETTINGS.batch_size).fit(
        [
            TrainingJob(windows, initial, targets),
            TrainingJob(windows, initial),
            TrainingJob(windows, initial, targets * np.float32(np.inf)),
        ],
        once,
    )
    for found, wanted in ((taught, targets), (plain, None)):
        theirs = trainer.fit(windows, once, initial, wanted)
        np.testing.assert_allclose(found.losses, theirs.losses, rtol=1e-5)
        np.testing.assert_allclose(found.validation_losses, theirs.validation_losses, rtol=1e-5)
        for mine, other in zip(found.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(mine, other, atol=2e-5)
    assert isinstance(broken, TrainingError)


def test_side_by_side_is_one_by_one(windows, trainer):
    """Teachers and all; a teacher that cannot be trained takes its recording's place."""
    once = replace(TAUGHT, epochs=1)
    both = [windows, windows[:97], windows * np.float32(1e38)]
    *found, broken = train_networks(trainer, SHAPE, both, once, [DIGEST, "d" * 64, DIGEST])
    for ours, own, digest in zip(found, both, (DIGEST, "d" * 64), strict=False):
        theirs = train_network(trainer, SHAPE, own, once, digest)
        np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-4)
        for mine, other in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(mine, other, atol=5e-5)
    assert isinstance(broken, TrainingError)
    plain = train_networks(trainer, SHAPE, both[:1], SETTINGS, [DIGEST])[0]
    alone = StackedTrainer(SHAPE, SETTINGS.batch_size).fit(
        [TrainingJob(windows, initial_weights(SHAPE, SETTINGS.seed, DIGEST))], SETTINGS
    )[0]
    assert same(plain.weights, alone.weights)


def test_another_number_of_teachers_is_another_network(tmp_path):
    """A build whose settings change trains anew, says so, and keeps what it has where they do not."""
    pump_recording(tmp_path / "pump.csv", 1)
    config = tmp_path / "build.toml"
    told = []
    for teachers in (0, 2, 2):
        config.write_text(f'models = ["tiny"]\ntraining = {{ epochs = 2, teachers = {teachers} }}\n')
        done = edge_ad("train", tmp_path / "pump.csv", "--config", config, "-o", tmp_path / "build")
        assert done.returncode == 0, done.stderr
        told.append(done.stderr)
    assert "validation loss" in told[0]
    assert "mean of" not in told[0]
    assert "against the mean of 2 teachers" in told[1]
    assert "1 already done" in told[2]


@pytest.mark.parametrize("teachers", [-1, MAX_TEACHERS + 1])
def test_senseless_numbers_of_teachers(teachers):
    with pytest.raises(ValueError, match="teachers must lie between 0 and 32"):
        TrainingSettings(teachers=teachers)
