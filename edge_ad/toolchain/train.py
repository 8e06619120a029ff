"""Training the autoencoder: traced once per shape, weights reset for every asset."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import TrainingError
from edge_ad.toolchain.architecture import (
    ZERO_ROW,
    Architecture,
    Draw,
    LstmArchitecture,
    PatchArchitecture,
    Weights,
)
from edge_ad.toolchain.settings import TrainingSettings
from edge_ad.toolchain.tensorflow import load_keras, load_tensorflow

_LONGEST_UNROLLED = 64  # a longer window is run in a loop: unrolling it would trace for minutes


@dataclass(frozen=True)
class TrainedModel:
    """The result of one training."""

    weights: Weights
    losses: tuple[float, ...]
    """Training loss after each epoch (mean absolute error against the targets, in scaled units)."""
    validation_losses: tuple[float, ...]


def build_keras_model(architecture: Architecture, kernel_l2: float = 0.0) -> Any:
    """The Keras model of an architecture, of LSTM layers as in the seed notebook; weights are not trained.

    `kernel_l2` is the factor of the squares of the first layer's kernel that are added to the loss.
    """
    inputs = load_keras().layers.Input((architecture.window_length, architecture.n_channels))
    if isinstance(architecture, PatchArchitecture):
        outputs = _layers_on_patches(architecture, inputs, kernel_l2)
    else:
        outputs = _lstm_autoencoder(architecture, inputs, kernel_l2)
    return load_keras().Model(inputs, outputs)


def _lstm_autoencoder(architecture: LstmArchitecture, inputs: Any, kernel_l2: float) -> Any:
    layers, regularizers = load_keras().layers, load_keras().regularizers
    unroll = 1 < architecture.window_length <= _LONGEST_UNROLLED

    def lstm(units: int, sequences: bool, l2: float = 0.0) -> Any:
        return layers.LSTM(
            units,
            activation=architecture.activation,
            return_sequences=sequences,
            unroll=unroll,
            kernel_regularizer=regularizers.L2(l2) if l2 else None,
        )

    x = inputs
    for position, units in enumerate(architecture.encoder, start=1):
        l2 = kernel_l2 if position == 1 else 0.0
        x = lstm(units, sequences=position < len(architecture.encoder), l2=l2)(x)
    x = layers.RepeatVector(architecture.window_length)(x)
    for units in architecture.decoder:
        x = lstm(units, sequences=True)(x)
    return layers.TimeDistributed(layers.Dense(architecture.n_channels))(x)


def _layers_on_patches(architecture: PatchArchitecture, inputs: Any, kernel_l2: float) -> Any:
    keras = load_keras()
    x = inputs
    for layer in architecture.layers:
        n_rows = x.shape[1] * x.shape[2] // layer.width
        x = keras.layers.Reshape((n_rows, layer.width))(x)
        if ZERO_ROW in layer.rows:
            x = keras.ops.pad(x, ((0, 0), (0, 1), (0, 0)))
        if layer.rows != tuple(range(n_rows)):
            x = keras.ops.take(x, [row % (n_rows + 1) for row in layer.rows], axis=1)
        x = keras.layers.Reshape((len(layer.patches), len(layer.patches[0]) * layer.width))(x)
        l2 = kernel_l2 if layer is architecture.layers[0] else 0.0
        regularizer = keras.regularizers.L2(l2) if l2 else None
        x = keras.layers.Dense(layer.units, layer.activation, kernel_regularizer=regularizer)(x)
    return keras.layers.Reshape((architecture.window_length, architecture.n_channels))(x)


class Trainer:
    """Trains any number of assets of one shape with one traced graph.

    Keras traces a graph per `fit` and per model, which costs more time and memory than training
    networks this small; here the weights and the optimizer's state are set back instead.
    """

    def __init__(self, architecture: Architecture, batch_size: int, kernel_l2: float = 0.0) -> None:
        tf, keras = load_tensorflow(), load_keras()
        self._tf = tf
        self._architecture = architecture
        self._batch_size = batch_size
        model = build_keras_model(architecture, kernel_l2)
        optimizer = keras.optimizers.Adam()
        optimizer.build(model.trainable_variables)
        self._model, self._optimizer = model, optimizer
        self._optimizer_start = [variable.numpy() for variable in optimizer.variables]
        batch = tf.TensorSpec((batch_size, architecture.window_length, architecture.n_channels), tf.float32)
        present = tf.TensorSpec((batch_size,), tf.float32)

        def loss_of(targets: Any, outputs: Any, weight: Any) -> Any:
            errors = tf.reduce_mean(tf.abs(outputs - targets), axis=[1, 2])
            return tf.reduce_sum(errors * weight) / tf.reduce_sum(weight)

        def step(inputs: Any, targets: Any, weight: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = loss_of(targets, model(inputs, training=True), weight)
                total = tf.add_n([loss, *model.losses]) if kernel_l2 else loss
            gradients = tape.gradient(total, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            return loss

        def predict(windows: Any) -> Any:
            return model(windows, training=False)

        self._step = tf.function(step, autograph=False, input_signature=[batch, batch, present])
        self._predict = tf.function(predict, autograph=False, input_signature=[batch])

    def fit(
        self,
        windows: NDArray[np.float32],
        settings: TrainingSettings,
        initial: Weights,
        targets: NDArray[np.float32] | None = None,
    ) -> TrainedModel:
        """Train from `initial` weights on `(n, window_length, n_channels)` scaled windows.

        `targets`, as the windows, are what the network is to make of them; None: the windows themselves. The
        last windows validate, without noise, against their targets; training stops as Keras's EarlyStopping
        does.
        Raises TrainingError for too few windows or a loss that is not finite.
        """
        n_train = math.floor(len(windows) * (1 - settings.validation_share))
        if n_train < 1 or n_train == len(windows):
            raise TrainingError(
                f"{len(windows)} training windows are too few to hold some out for validation"
            )
        self._assign(initial)
        for variable, value in zip(self._optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(value)
        self._optimizer.learning_rate.assign(settings.learning_rate)
        targets = windows if targets is None else targets
        batches = self._batches(windows[:n_train])
        wanted = batches if targets is windows else self._batches(targets[:n_train])
        validation = windows[n_train:]
        noisy = self._noise(settings)
        losses: list[float] = []
        validation_losses: list[float] = []
        best, waited, kept = math.inf, 0, initial
        for epoch in range(settings.epochs):
            total = sum(
                float(self._step(noisy(b), target, weight)) * n
                for (b, weight, n), (target, _, _) in zip(batches, wanted, strict=True)
            )
            losses.append(total / n_train)
            errors = np.abs(self.predict(validation) - targets[n_train:])
            validation_losses.append(float(errors.mean(dtype=np.float64)))
            if not math.isfinite(losses[-1] + validation_losses[-1]):
                raise TrainingError(
                    f"the loss is not finite after epoch {epoch + 1}; are there extreme values in the "
                    "train span?"
                )
            if validation_losses[-1] < best:
                best, waited, kept = validation_losses[-1], 0, self._weights()
            else:
                waited += 1
                if waited >= settings.patience:
                    break
        if settings.keep == "last":
            kept = self._weights()
        self._assign(kept)
        return TrainedModel(kept, tuple(losses), tuple(validation_losses))

    def _noise(self, settings: TrainingSettings) -> Callable[[Any], Any]:
        """What a batch becomes before the network sees it; another draw every time."""
        if not settings.noise:
            return lambda batch: batch
        rng = np.random.default_rng(settings.seed)
        tf = self._tf

        def noisy(batch: Any) -> Any:
            return batch + tf.constant(rng.normal(0, settings.noise, batch.shape).astype(np.float32))

        return noisy

    def restore(self, weights: Weights) -> None:
        """Take weights of an earlier training, to predict with."""
        self._assign(weights)

    def _weights(self) -> Weights:
        return [weight.numpy() for weight in self._model.weights]

    def _assign(self, weights: Weights) -> None:
        for variable, value in zip(self._model.weights, weights, strict=True):
            variable.assign(value)

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reconstructions `(n, window_length, n_channels)` of scaled windows, with the current weights."""
        parts = [self._predict(batch).numpy()[:n] for batch, _, n in self._batches(windows)]
        return np.concatenate(parts) if parts else np.empty_like(windows)

    def reconstruct(self, weights: Weights, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `predict`, with given weights."""
        self._assign(weights)
        return self.predict(windows)

    def _batches(self, windows: NDArray[np.float32]) -> list[tuple[Any, Any, int]]:
        """Batches of one fixed size, so that one trace serves all: the last one is filled up with
        zeros that weigh nothing.
        """
        tf, size = self._tf, self._batch_size
        batches = []
        for start in range(0, len(windows), size):
            part = np.ascontiguousarray(windows[start : start + size])
            filled = np.zeros((size, *windows.shape[1:]), np.float32)
            filled[: len(part)] = part
            weight = (np.arange(size) < len(part)).astype(np.float32)
            batches.append((tf.constant(filled), tf.constant(weight), len(part)))
        return batches


@cache
def trainer_for(architecture: Architecture, batch_size: int, kernel_l2: float = 0.0) -> Trainer:
    """The process's one trainer for a shape."""
    return Trainer(architecture, batch_size, kernel_l2)


def initial_weights(architecture: Architecture, seed: int, recording_sha256: str) -> Weights:
    """Untrained weights as Keras draws them (see `Draw`).

    The draw depends on the seed and on the recording alone, not on what else is in a build.
    """
    initializers = load_keras().initializers
    draws = np.random.SeedSequence([seed, int(recording_sha256, 16)])
    seeds = iter(draws.generate_state(len(architecture.weight_shapes)).tolist())

    def draw(how: Draw, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if how in ("kernel", "recurrent"):
            kind = initializers.GlorotUniform if how == "kernel" else initializers.Orthogonal
            return np.asarray(kind(seed=next(seeds))(shape), np.float32)
        bias = np.zeros(shape, np.float32)
        if how == "forget":
            bias[len(bias) // 4 : len(bias) // 2] = 1
        return bias

    return [draw(*pair) for pair in zip(architecture.draws, architecture.weight_shapes, strict=True)]
