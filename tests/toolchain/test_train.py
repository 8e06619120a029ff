import dataclasses

import numpy as np
import pytest

from edge_ad.errors import TrainingError
from edge_ad.toolchain.architecture import LstmArchitecture, load_weights, weights_npz
from edge_ad.toolchain.settings import TrainingSettings
from edge_ad.toolchain.tensorflow import load_keras
from edge_ad.toolchain.train import Trainer, build_keras_model, initial_weights, trainer_for
from tests import naive

SHAPE = LstmArchitecture(10, 3, (6,), (6,))
SETTINGS = TrainingSettings(epochs=8, patience=3, learning_rate=0.01)
A, B = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    rows = np.cumsum(rng.normal(size=(159, 3)), axis=0).astype(np.float32)
    rows = (rows - rows.mean(0)) / rows.std(0)
    return np.lib.stride_tricks.sliding_window_view(rows, 10, axis=0).transpose(0, 2, 1)


@pytest.fixture(scope="module")
def trainer():
    return trainer_for(SHAPE, SETTINGS.batch_size)


def same(ours, theirs):
    return all((a == b).all() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_training_is_what_keras_does(windows, trainer, keep):
    """The seed notebook's `fit`, line by line, from the same initial weights."""
    initial = initial_weights(SHAPE, 0, A)
    keras = load_keras()
    model = build_keras_model(SHAPE)
    model.set_weights(initial)
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="mae")
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=3, mode="min", restore_best_weights=keep == "best"
    )
    history = model.fit(
        windows,
        windows,
        epochs=8,
        batch_size=32,
        validation_split=0.1,
        callbacks=[stopping],
        verbose=0,
        shuffle=False,
    ).history

    settings = TrainingSettings(epochs=8, patience=3, learning_rate=0.01, keep=keep)
    ours = trainer.fit(windows, settings, initial)
    np.testing.assert_allclose(ours.losses, history["loss"], rtol=2e-5)
    np.testing.assert_allclose(ours.validation_losses, history["val_loss"], rtol=2e-5)
    for mine, theirs in zip(ours.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_one_trace_serves_every_asset_and_leaves_nothing_behind(windows, trainer):
    first = trainer.fit(windows, SETTINGS, initial_weights(SHAPE, 0, A))
    trainer.fit(windows[::-1] * 3, SETTINGS, initial_weights(SHAPE, 0, B))
    again = trainer.fit(windows, SETTINGS, initial_weights(SHAPE, 0, A))
    anew = Trainer(SHAPE, SETTINGS.batch_size).fit(windows, SETTINGS, initial_weights(SHAPE, 0, A))
    assert first.losses == again.losses == anew.losses
    assert same(first.weights, again.weights)
    assert same(first.weights, anew.weights)


def test_noise_is_on_what_is_seen_and_not_on_what_is_asked_for(windows, trainer):
    """Beside Keras, batch by batch, over two epochs with the same draws."""
    settings = dataclasses.replace(SETTINGS, epochs=2, noise=0.5)
    initial = initial_weights(SHAPE, 0, A)
    model = build_keras_model(SHAPE)
    model.set_weights(initial)
    model.compile(optimizer=load_keras().optimizers.Adam(learning_rate=0.01), loss="mae")
    rng = np.random.default_rng(settings.seed)
    learned = windows[: len(windows) * 9 // 10]
    for _ in range(2):
        for start in range(0, len(learned), 32):
            clean = learned[start : start + 32]
            noise = rng.normal(0, 0.5, (32, 10, 3)).astype(np.float32)
            model.train_on_batch(clean + noise[: len(clean)], clean)
    ours = trainer.fit(windows, dataclasses.replace(settings, keep="last"), initial)
    for mine, theirs in zip(ours.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)
    assert not same(
        ours.weights, trainer.fit(windows, dataclasses.replace(SETTINGS, epochs=2), initial).weights
    )


def test_initial_weights_are_a_draw_per_seed_and_recording():
    draw = initial_weights(SHAPE, 0, A)
    assert same(draw, initial_weights(SHAPE, 0, A))
    assert not same(draw, initial_weights(SHAPE, 1, A))
    assert not same(draw, initial_weights(SHAPE, 0, B))
    assert [w.shape for w in draw] == SHAPE.weight_shapes
    # as Keras initializes: orthogonal recurrent kernels, forget bias one
    np.testing.assert_allclose(draw[1] @ draw[1].T, np.eye(6), atol=1e-5)
    assert draw[2].tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12


def test_training_stops_when_nothing_gets_better(windows, trainer):
    settings = TrainingSettings(epochs=50, patience=2, learning_rate=0.9)
    result = trainer.fit(windows, settings, initial_weights(SHAPE, 0, A))
    assert len(result.losses) == len(result.validation_losses) < 50
    assert min(result.validation_losses) == result.validation_losses[-3]


def test_the_kept_weights_are_those_of_the_best_epoch(windows, trainer):
    settings = TrainingSettings(epochs=50, patience=2, learning_rate=0.9)
    best = trainer.fit(windows, settings, initial_weights(SHAPE, 0, A))
    n_train = int(len(windows) * 0.9)
    error = np.abs(trainer.predict(windows[n_train:]) - windows[n_train:]).mean(dtype=np.float64)
    assert error == min(best.validation_losses)


def test_predictions_are_the_definitions(windows, trainer):
    result = trainer.fit(windows, SETTINGS, initial_weights(SHAPE, 0, A))
    expected = naive.autoencoder(SHAPE, result.weights, windows)
    np.testing.assert_allclose(trainer.predict(windows), expected, atol=2e-5)


def test_a_loss_that_is_not_finite_is_an_error(windows, trainer):
    with pytest.raises(TrainingError, match="not finite after epoch 1"):
        trainer.fit(windows * np.float32(1e38), SETTINGS, initial_weights(SHAPE, 0, A))


def test_too_few_windows_are_an_error(windows, trainer):
    with pytest.raises(TrainingError, match="1 training windows are too few"):
        trainer.fit(windows[:1], SETTINGS, initial_weights(SHAPE, 0, A))


def test_weights_survive_their_file(tmp_path):
    weights = initial_weights(SHAPE, 0, A)
    path = tmp_path / "weights.npz"
    path.write_bytes(weights_npz(weights))
    assert same(load_weights(path), weights)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"patience": 0}, "at least 1"),
        ({"seed": -1}, "negative"),
        ({"validation_share": 1.0}, "between 0 and 1"),
        ({"learning_rate": 0.0}, "between 0 and 1"),
    ],
)
def test_senseless_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        TrainingSettings(**settings)
