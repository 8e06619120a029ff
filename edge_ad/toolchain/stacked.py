"""Training many assets of one shape in one computation, along a leading axis of slots.

Networks this small cost TensorFlow more in starting operators than in arithmetic. Here an operator works for
up to 16 assets at once. An asset takes a slot, trains with an optimizer and an early stopping of its own, and
leaves it to the next; with fewer assets the computation narrows, and idle slots compute on zeros. The weights
of an asset, to the last bit, do not depend on which others are trained beside it, nor in which slot. They
differ from those of `train.Trainer` by rounding: it adds up in another order. That is for LSTM layers; what
has none trains so fast that `train_jobs` has it done by `train.Trainer`, one asset after the other.
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
from edge_ad.toolchain.architecture import Architecture, LstmArchitecture, Weights, lstm_layers
from edge_ad.toolchain.settings import TrainingSettings
from edge_ad.toolchain.tensorflow import load_tensorflow
from edge_ad.toolchain.train import TrainedModel, trainer_for

WIDTHS = (2, 4, 8, 16)
"""Numbers of slots, each with a graph of its own. More were no faster. Of one slot, TensorFlow multiplies
matrices in another way, which shows in the last bits."""
_LANES = 16  # floats that the widest processor takes at once: no asset shares such a packet with another
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7  # of Keras's Adam


@dataclass(frozen=True)
class TrainingJob:
    """What one asset brings along."""

    windows: NDArray[np.float32]
    """`(n, window_length, n_channels)` scaled; the last ones validate."""
    initial: Weights
    targets: NDArray[np.float32] | None = None
    """As the windows: what the network is to make of them; None: the windows themselves."""


@dataclass
class _Slot:
    """An asset in training."""

    job: int
    batches: NDArray[np.float32]
    """`(n_batches, batch, window_length, n_channels)`, the last one filled up with zeros."""
    targets: NDArray[np.float32]
    """As `batches`."""
    weight: NDArray[np.float32]
    """`(n_batches, batch)`: 1 for a window, 0 for what fills up."""
    validation: NDArray[np.float32]
    """As `batches`."""
    validation_targets: NDArray[np.float32]
    n_train: int
    n_validation: int
    state: list[NDArray[np.float32]]
    """Weights and both moments of Adam, in the same shapes."""
    kept: Weights
    best: float = math.inf
    steps: int = 0
    """Of Adam, so far."""
    waited: int = 0
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


class _Graph:
    """The computation for a number of slots: all arrays have them as their leading axis."""

    def __init__(self, architecture: LstmArchitecture, batch_size: int, kernel_l2: float, slots: int) -> None:
        tf = load_tensorflow()
        parameters = [tf.TensorSpec((slots, *shape), tf.float32) for shape in architecture.weight_shapes]
        window = (architecture.window_length, architecture.n_channels)
        batch = tf.TensorSpec((slots, batch_size, *window), tf.float32)
        present = tf.TensorSpec((slots, batch_size), tf.float32)
        per_slot = tf.TensorSpec((slots,), tf.float32)

        def reconstruct(weights: Any, windows: Any) -> Any:
            return _reconstruct(tf, architecture, weights, windows)

        def step(
            weights: Any, first: Any, second: Any, rates: Any, windows: Any, targets: Any, present: Any
        ) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                errors = tf.reduce_mean(tf.abs(reconstruct(weights, windows) - targets), axis=[2, 3])
                n = tf.reduce_sum(present, axis=1)
                total = tf.reduce_sum(errors * present / tf.maximum(n, 1.0)[:, None])
                if kernel_l2:
                    total += kernel_l2 * tf.reduce_sum(tf.square(weights[0]))
            # a window of one sample uses no recurrent kernel
            gradients = tape.gradient(total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            works = n > 0
            results: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
            for value, m, v, gradient in zip(weights, first, second, gradients, strict=True):
                axes = [slots, *[1] * (len(value.shape) - 1)]
                mask = tf.reshape(works, axes)
                new_m = m + (gradient - m) * (1 - _BETA1)
                new_v = v + (tf.square(gradient) - v) * (1 - _BETA2)
                new = value - new_m * tf.reshape(rates, axes) / (tf.sqrt(new_v) + _EPSILON)
                for result, after, before in zip(results, (new, new_m, new_v), (value, m, v), strict=True):
                    result.append(tf.where(mask, after, before))
            return (*results, errors)

        signature = [parameters, parameters, parameters, per_slot, batch, batch, present]
        self.step = tf.function(step, autograph=False, input_signature=signature)
        """Weights, moments, rates, windows, their targets, their weight -> weights and moments anew, errors
        of windows."""
        self.reconstruct = tf.function(reconstruct, autograph=False, input_signature=[parameters, batch])


class StackedTrainer:
    """Trains any number of assets of one shape with one traced graph per width."""

    def __init__(
        self,
        architecture: LstmArchitecture,
        batch_size: int,
        kernel_l2: float = 0.0,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        self._tf = load_tensorflow()
        self._architecture = architecture
        self._batch_size = batch_size
        self._filled_size = -(-batch_size // _LANES) * _LANES
        self._kernel_l2 = kernel_l2
        self._widths = sorted(widths)
        self._graphs: dict[int, _Graph] = {}

    def fit(
        self, jobs: Sequence[TrainingJob], settings: TrainingSettings
    ) -> list[TrainedModel | TrainingError]:
        """Train each job as `Trainer.fit` does, in the order given; an error ends its own job only."""
        results: dict[int, TrainedModel | TrainingError] = {}
        waiting = list(range(len(jobs)))[::-1]
        slots: list[_Slot] = []
        while waiting or slots:
            while waiting and len(slots) < self._widths[-1]:
                job = waiting.pop()
                try:
                    slots.append(self._take(job, jobs[job], settings))
                except TrainingError as error:
                    results[job] = error
            if slots:
                ended = self._train_until_one_ends(slots, settings)
                results |= ended
                slots = [slot for slot in slots if slot.job not in ended]
        return [results[job] for job in range(len(jobs))]

    def _graph(self, slots: int) -> tuple[int, _Graph]:
        """The narrowest that has so many slots, and its width."""
        width = next(width for width in self._widths if width >= slots)
        if width not in self._graphs:
            self._graphs[width] = _Graph(self._architecture, self._filled_size, self._kernel_l2, width)
        return width, self._graphs[width]

    def _take(self, job: int, given: TrainingJob, settings: TrainingSettings) -> _Slot:
        n = len(given.windows)
        n_train = math.floor(n * (1 - settings.validation_share))
        if n_train < 1 or n_train == n:
            raise TrainingError(f"{n} training windows are too few to hold some out for validation")
        targets = given.windows if given.targets is None else given.targets
        batches, weight = self._batches(given.windows[:n_train])
        validation, _ = self._batches(given.windows[n_train:])
        wanted, _ = self._batches(targets[:n_train])
        validation_wanted, _ = self._batches(targets[n_train:])
        moments = [np.zeros(weight.shape, np.float32) for weight in given.initial]
        state = [*given.initial, *moments, *moments]
        return _Slot(
            job=job,
            batches=batches,
            targets=wanted,
            weight=weight,
            validation=validation,
            validation_targets=validation_wanted,
            n_train=n_train,
            n_validation=n - n_train,
            state=state,
            kept=given.initial,
        )

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
        self, slots: list[_Slot], settings: TrainingSettings
    ) -> dict[int, TrainedModel | TrainingError]:
        """Epochs until at least one of the slots has ended: its job and result."""
        tf, n = self._tf, len(self._architecture.weight_shapes)
        width, graph = self._graph(len(slots))
        batches = self._side_by_side([slot.batches for slot in slots], width)
        targets = self._side_by_side([slot.targets for slot in slots], width)
        weight = self._side_by_side([slot.weight for slot in slots], width)
        validation = self._side_by_side([slot.validation for slot in slots], width)
        wanted = self._side_by_side([slot.validation_targets for slot in slots], width)
        state = [tf.constant(_widened(parts, width)) for parts in zip(*(s.state for s in slots), strict=True)]
        weights, first, second = state[:n], state[n : 2 * n], state[2 * n :]
        ended: dict[int, TrainedModel | TrainingError] = {}
        while not ended:
            losses = []
            for i, (windows, target, present) in enumerate(zip(batches, targets, weight, strict=True)):
                rates = tf.constant(_widened([_rate(slot, i, settings) for slot in slots], width))
                weights, first, second, window_errors = graph.step(
                    weights, first, second, rates, windows, target, present
                )
                losses.append(window_errors)
            errors = np.stack(
                [
                    np.abs((graph.reconstruct(weights, held) - target).numpy())
                    for held, target in zip(validation, wanted, strict=True)
                ]
            )
            by_batch = np.stack([loss.numpy() for loss in losses], axis=1)
            arrays = [tensor.numpy() for tensor in weights]
            for place, slot in enumerate(slots):
                own = errors[: len(slot.validation), place, : self._batch_size]
                own = own.reshape(-1, *errors.shape[3:])[: slot.n_validation]
                result = _after_epoch(
                    slot,
                    by_batch[place, : len(slot.batches)],
                    float(own.mean(dtype=np.float64)),
                    [array[place] for array in arrays],
                    settings,
                )
                if result is not None:
                    ended[slot.job] = result
        arrays = [tensor.numpy() for tensor in (*weights, *first, *second)]
        for place, slot in enumerate(slots):
            slot.state = [array[place] for array in arrays]
        return ended

    def _side_by_side(self, parts: Sequence[NDArray[np.float32]], width: int) -> list[Any]:
        """Batches of all slots, `(width, batch, …)` each; zeros where a slot has none (left)."""
        stacked = np.zeros((max(map(len, parts)), width, *parts[0].shape[1:]), np.float32)
        for place, part in enumerate(parts):
            stacked[: len(part), place] = part
        return [self._tf.constant(batch) for batch in stacked]


def _widened(parts: Sequence[NDArray[np.float32]], width: int) -> NDArray[np.float32]:
    """One array per slot as one array, with zeros for idle slots."""
    stacked = np.zeros((width, *parts[0].shape), np.float32)
    stacked[: len(parts)] = parts
    return stacked


def _rate(slot: _Slot, batch: int, settings: TrainingSettings) -> NDArray[np.float32]:
    """Adam's step size for a batch, which counts as a step if the slot has it."""
    if batch >= len(slot.batches):
        return np.zeros((), np.float32)
    slot.steps += 1
    # Here and not in the graph, where a power's last bit depends on how many of them there are; in float32
    # like Keras, whose difference from one is off by 3e-5 in the first steps.
    one, count = np.float32(1), np.float32(slot.steps)
    first, second = (one - np.power(np.float32(beta), count) for beta in (_BETA1, _BETA2))
    return np.asarray(np.float32(settings.learning_rate) * np.sqrt(second) / first, np.float32)


def _after_epoch(
    slot: _Slot,
    window_errors: NDArray[np.float32],
    validation_loss: float,
    weights: Weights,
    settings: TrainingSettings,
) -> TrainedModel | TrainingError | None:
    """Keras's early stopping for one asset; None while it goes on."""
    total = (window_errors * slot.weight).sum(dtype=np.float64)
    slot.losses.append(float(total / slot.n_train))
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


def _reconstruct(tf: Any, architecture: LstmArchitecture, weights: Sequence[Any], windows: Any) -> Any:
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
    architecture: LstmArchitecture, batch_size: int, kernel_l2: float = 0.0
) -> StackedTrainer:
    """The process's one trainer for a shape."""
    return StackedTrainer(architecture, batch_size, kernel_l2)


def train_jobs(
    architecture: Architecture, jobs: Sequence[TrainingJob], settings: TrainingSettings
) -> list[TrainedModel | TrainingError]:
    """Train each job, in the order given; an error ends its own job only.

    LSTM layers side by side, others, and all that are to take noise off, one by one; either way as in every
    other order and company.
    """
    if isinstance(architecture, LstmArchitecture) and not settings.noise:
        stack = stacked_trainer_for(architecture, settings.batch_size, settings.kernel_l2)
        return stack.fit(jobs, settings)
    trainer = trainer_for(architecture, settings.batch_size, settings.kernel_l2)
    results: list[TrainedModel | TrainingError] = []
    for job in jobs:
        try:
            results.append(trainer.fit(job.windows, settings, job.initial, job.targets))
        except TrainingError as error:
            results.append(error)
    return results
