"""Training many assets of one shape in one computation, along a leading axis of slots.

Networks this small cost TensorFlow more in starting operators than in arithmetic. Here an operator works for
`SLOTS` assets at once. An asset takes a slot, trains with an optimizer and an early stopping of its own, and
leaves it to the next. The number of slots is fixed and idle ones compute on zeros, so that the weights of an
asset, to the last bit, do not depend on which others are trained beside it. They differ from those of
`train.Trainer` by rounding: it adds up in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import TrainingError
from edge_ad.toolchain.architecture import Architecture, Weights, lstm_layers
from edge_ad.toolchain.settings import TrainingSettings
from edge_ad.toolchain.tensorflow import load_tensorflow
from edge_ad.toolchain.train import TrainedModel

SLOTS = 16
"""Assets side by side. Twice as many were no faster."""
_LANES = 16  # floats that the widest processor takes at once: no asset shares such a packet with another
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7  # of Keras's Adam


@dataclass(frozen=True)
class TrainingJob:
    """What one asset brings along."""

    windows: NDArray[np.float32]
    """`(n, window_length, n_channels)` scaled; the last ones validate."""
    initial: Weights


@dataclass
class _Slot:
    """An asset in training."""

    job: int
    batches: NDArray[np.float32]
    """`(n_batches, batch, window_length, n_channels)`, the last one filled up with zeros."""
    weight: NDArray[np.float32]
    """`(n_batches, batch)`: 1 for a window, 0 for what fills up."""
    validation: NDArray[np.float32]
    """As `batches`."""
    n_train: int
    n_validation: int
    kept: Weights
    best: float = math.inf
    waited: int = 0
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


class StackedTrainer:
    """Trains any number of assets of one shape with one traced graph."""

    def __init__(
        self, architecture: Architecture, batch_size: int, kernel_l2: float = 0.0, slots: int = SLOTS
    ) -> None:
        tf = load_tensorflow()
        self._tf, self._architecture, self._slots = tf, architecture, slots
        self._batch_size = batch_size
        self._filled_size = -(-batch_size // _LANES) * _LANES
        shapes = [(slots, *shape) for shape in architecture.weight_shapes]
        self._shapes = shapes
        parameters = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
        window = (architecture.window_length, architecture.n_channels)
        batch = tf.TensorSpec((slots, self._filled_size, *window), tf.float32)
        present = tf.TensorSpec((slots, self._filled_size), tf.float32)
        per_slot = tf.TensorSpec((slots,), tf.float32)

        def reconstruct(weights: Any, windows: Any) -> Any:
            return _reconstruct(tf, architecture, weights, windows)

        def step(
            weights: Any, first: Any, second: Any, count: Any, rate: Any, windows: Any, present: Any
        ) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                errors = tf.reduce_mean(tf.abs(reconstruct(weights, windows) - windows), axis=[2, 3])
                n = tf.reduce_sum(present, axis=1)
                loss = tf.reduce_sum(errors * present, axis=1) / tf.maximum(n, 1.0)
                total = tf.reduce_sum(loss)
                if kernel_l2:
                    total += kernel_l2 * tf.reduce_sum(tf.square(weights[0]))
            # a window of one sample uses no recurrent kernel
            gradients = tape.gradient(total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            works = n > 0
            count += tf.cast(works, tf.float32)
            alpha = rate * tf.sqrt(1.0 - tf.pow(_BETA2, count)) / (1.0 - tf.pow(_BETA1, count))
            results: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
            for value, m, v, gradient in zip(weights, first, second, gradients, strict=True):
                axes = [slots, *[1] * (len(value.shape) - 1)]
                mask = tf.reshape(works, axes)
                new_m = m + (gradient - m) * (1 - _BETA1)
                new_v = v + (tf.square(gradient) - v) * (1 - _BETA2)
                new = value - new_m * tf.reshape(alpha, axes) / (tf.sqrt(new_v) + _EPSILON)
                for result, after, before in zip(results, (new, new_m, new_v), (value, m, v), strict=True):
                    result.append(tf.where(mask, after, before))
            return (*results, count, loss)

        signature = [
            parameters,
            parameters,
            parameters,
            per_slot,
            tf.TensorSpec((), tf.float32),
            batch,
            present,
        ]
        self._step = tf.function(step, autograph=False, input_signature=signature)
        self._reconstruct = tf.function(reconstruct, autograph=False, input_signature=[parameters, batch])

    def fit(
        self, jobs: Sequence[TrainingJob], settings: TrainingSettings
    ) -> list[TrainedModel | TrainingError]:
        """Train each job as `Trainer.fit` does, in the order given; an error ends its own job only."""
        results: list[TrainedModel | TrainingError | None] = [None] * len(jobs)
        waiting = list(range(len(jobs)))[::-1]
        slots: list[_Slot | None] = [None] * self._slots
        # weights, both moments of Adam, and its count of steps, each with a leading axis of slots
        state = [np.zeros(shape, np.float32) for _ in range(3) for shape in self._shapes]
        state.append(np.ones(self._slots, np.float32))
        while True:
            for place in range(self._slots):
                while slots[place] is None and waiting:
                    job = waiting.pop()
                    try:
                        slots[place] = self._take(job, jobs[job], settings)
                    except TrainingError as error:
                        results[job] = error
                        continue
                    _set_slot(state, place, jobs[job].initial)
                if slots[place] is None:
                    _set_slot(state, place, [np.zeros(s[1:], np.float32) for s in self._shapes])
            if not any(slots):
                break
            state = self._train_until_one_ends(slots, state, settings, results)
        return [result for result in results if result is not None]

    def _take(self, job: int, given: TrainingJob, settings: TrainingSettings) -> _Slot:
        n = len(given.windows)
        n_train = math.floor(n * (1 - settings.validation_share))
        if n_train < 1 or n_train == n:
            raise TrainingError(f"{n} training windows are too few to hold some out for validation")
        batches, weight = self._batches(given.windows[:n_train])
        validation, _ = self._batches(given.windows[n_train:])
        return _Slot(job, batches, weight, validation, n_train, n - n_train, given.initial)

    def _batches(self, windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        count = -(-len(windows) // self._batch_size)
        batches = np.zeros((count, self._filled_size, *windows.shape[1:]), np.float32)
        weight = np.zeros((count, self._filled_size), np.float32)
        for i in range(count):
            part = windows[i * self._batch_size : (i + 1) * self._batch_size]
            batches[i, : len(part)] = part
            weight[i, : len(part)] = 1
        return batches, weight

    def _train_until_one_ends(
        self,
        slots: list[_Slot | None],
        state: list[NDArray[np.float32]],
        settings: TrainingSettings,
        results: list[TrainedModel | TrainingError | None],
    ) -> list[NDArray[np.float32]]:
        """Epochs until a slot is free; puts what ended into `results` and returns the state."""
        tf, n = self._tf, len(self._shapes)
        batches = self._side_by_side([slot.batches if slot else None for slot in slots])
        weight = self._side_by_side([slot.weight if slot else None for slot in slots])
        validation = self._side_by_side([slot.validation if slot else None for slot in slots])
        rate = tf.constant(settings.learning_rate, tf.float32)
        tensors = [tf.constant(array) for array in state]
        weights, first, second, count = tensors[:n], tensors[n : 2 * n], tensors[2 * n : 3 * n], tensors[-1]
        while True:
            losses = []
            for windows, present in zip(batches, weight, strict=True):
                weights, first, second, count, loss = self._step(
                    weights, first, second, count, rate, windows, present
                )
                losses.append(loss)
            outputs = [self._reconstruct(weights, windows) for windows in validation]
            errors = np.abs(
                np.stack([o.numpy() for o in outputs]) - np.stack([v.numpy() for v in validation])
            )
            by_batch = np.stack([loss.numpy() for loss in losses])
            arrays = [tensor.numpy() for tensor in weights]
            ended = False
            for place, slot in enumerate(slots):
                if slot is None:
                    continue
                own = errors[: len(slot.validation), place, : self._batch_size]
                own = own.reshape(-1, *errors.shape[3:])[: slot.n_validation]
                result = _after_epoch(
                    slot,
                    by_batch[: len(slot.batches), place],
                    float(own.mean(dtype=np.float64)),
                    [array[place] for array in arrays],
                    settings,
                )
                if result is not None:
                    results[slot.job], slots[place], ended = result, None, True
            if ended:
                return [np.array(tensor) for tensor in (*weights, *first, *second, count)]

    def _side_by_side(self, parts: Sequence[NDArray[np.float32] | None]) -> list[Any]:
        """Batches of all slots, `(slots, batch, …)` each; zeros where a slot has none (left)."""
        present = [part for part in parts if part is not None]
        shape = (max(map(len, present)), self._slots, *present[0].shape[1:])
        stacked = np.zeros(shape, np.float32)
        for place, part in enumerate(parts):
            if part is not None:
                stacked[: len(part), place] = part
        return [self._tf.constant(batch) for batch in stacked]


def _set_slot(state: list[NDArray[np.float32]], place: int, weights: Weights) -> None:
    """Weights of a new asset, moments and steps of Adam back at the start."""
    for array, value in zip(state, weights, strict=False):
        array[place] = value
    for array in state[len(weights) :]:
        array[place] = 0


def _after_epoch(
    slot: _Slot,
    batch_losses: NDArray[np.float32],
    validation_loss: float,
    weights: Weights,
    settings: TrainingSettings,
) -> TrainedModel | TrainingError | None:
    """Keras's early stopping for one asset; None while it goes on."""
    counts = slot.weight.sum(axis=1, dtype=np.float64)
    slot.losses.append(float((batch_losses * counts).sum() / slot.n_train))
    slot.validation_losses.append(validation_loss)
    if not math.isfinite(slot.losses[-1] + validation_loss):
        return TrainingError(
            f"the loss is not finite after epoch {len(slot.losses)}; are there extreme values in the train "
            "span?"
        )
    if validation_loss < slot.best:
        slot.best, slot.waited, slot.kept = validation_loss, 0, [weight.copy() for weight in weights]
    else:
        slot.waited += 1
    if slot.waited < settings.patience and len(slot.losses) < settings.epochs:
        return None
    kept = slot.kept if settings.keep == "best" else [weight.copy() for weight in weights]
    return TrainedModel(kept, tuple(slot.losses), tuple(slot.validation_losses))


def _reconstruct(tf: Any, architecture: Architecture, weights: Sequence[Any], windows: Any) -> Any:
    """What the autoencoders make of `(slots, batch, window_length, n_channels)` windows."""
    steps, layers = architecture.window_length, lstm_layers(weights)
    activate = {"relu": tf.nn.relu, "tanh": tf.tanh}[architecture.activation]
    n_encoder = len(architecture.encoder)
    sequence: list[Any] = tf.unstack(windows, axis=2)
    for layer in layers[:n_encoder]:
        sequence = _lstm(tf, layer, sequence, activate)
    sequence = [sequence[-1]] * steps  # the code, repeated
    for layer in layers[n_encoder:]:
        sequence = _lstm(tf, layer, sequence, activate)
    kernel, bias = weights[-2:]
    outputs = tf.matmul(tf.concat(sequence, axis=1), kernel) + bias[:, None, :]
    return tf.stack(tf.split(outputs, steps, axis=1), axis=2)


def _lstm(tf: Any, layer: Sequence[Any], inputs: list[Any], activate: Any) -> list[Any]:
    """Outputs `(slots, batch, units)` of an LSTM layer at every step."""
    kernel, recurrent, bias = layer
    if all(value is inputs[0] for value in inputs):  # a repeated code is projected once
        projected = [tf.matmul(inputs[0], kernel) + bias[:, None, :]] * len(inputs)
    else:
        joined = tf.matmul(tf.concat(inputs, axis=1), kernel) + bias[:, None, :]
        projected = tf.split(joined, len(inputs), axis=1)
    outputs: list[Any] = []
    cell = None
    for gates in projected:
        total = gates if cell is None else gates + tf.matmul(outputs[-1], recurrent)
        admit, forget, new, show = tf.split(total, 4, axis=-1)
        fresh = tf.sigmoid(admit) * activate(new)
        cell = fresh if cell is None else tf.sigmoid(forget) * cell + fresh
        outputs.append(tf.sigmoid(show) * activate(cell))
    return outputs


@cache
def stacked_trainer_for(
    architecture: Architecture, batch_size: int, kernel_l2: float = 0.0
) -> StackedTrainer:
    """The process's one trainer for a shape."""
    return StackedTrainer(architecture, batch_size, kernel_l2)
