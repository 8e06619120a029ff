"""Seed ensembles distilled into one network: it learns what several of its kind make of a window on average.

Where a network's initial weights decide much of what it flags, the mean of several is steadier than each
(Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015). The device runs one network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import TrainingError
from edge_ad.toolchain.architecture import Architecture
from edge_ad.toolchain.settings import TrainingSettings
from edge_ad.toolchain.stacked import TrainingJob, train_jobs
from edge_ad.toolchain.train import TrainedModel, Trainer, initial_weights


def teacher_settings(settings: TrainingSettings) -> list[TrainingSettings]:
    """How each teacher is trained: as the network that ships, with a seed drawn from its seed."""
    draws = np.random.SeedSequence([settings.seed, settings.teachers])
    seeds = draws.generate_state(settings.teachers).tolist()
    return [replace(settings, seed=seed, teachers=0) for seed in seeds]


def mean_reconstruction(outputs: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The teachers' mean `(n, window_length, n_channels)` of what each of them makes of the windows."""
    found = [output.astype(np.float64) for output in outputs]
    return np.asarray(sum(found[1:], found[0]) / len(found), np.float32)


def train_network(
    trainer: Trainer,
    architecture: Architecture,
    windows: NDArray[np.float32],
    settings: TrainingSettings,
    recording_sha256: str,
) -> TrainedModel:
    """Train the network that ships on `(n, window_length, n_channels)` scaled windows, teachers first if any.

    It is validated against the teachers' mean as well: early stopping watches what is learned, where the
    windows themselves would favour the epoch that departs from the mean towards their noise. Raises
    TrainingError.
    """
    targets = None
    if settings.teachers:
        outputs = []
        for own in teacher_settings(settings):
            trainer.fit(windows, own, initial_weights(architecture, own.seed, recording_sha256))
            outputs.append(trainer.predict(windows))
        targets = mean_reconstruction(outputs)
    initial = initial_weights(architecture, settings.seed, recording_sha256)
    return trainer.fit(windows, settings, initial, targets)


def train_networks(
    trainer: Trainer,
    architecture: Architecture,
    windows: Sequence[NDArray[np.float32]],
    settings: TrainingSettings,
    digests: Sequence[str],
) -> list[TrainedModel | TrainingError]:
    """As `train_network` for each of several recordings, side by side if it can be.

    A teacher's error is its recording's. `trainer` tells what the teachers make of the windows.
    """

    def jobs(own: TrainingSettings, targets: Sequence[NDArray[np.float32] | None]) -> list[TrainingJob]:
        initial = [initial_weights(architecture, own.seed, digest) for digest in digests]
        return [TrainingJob(*job) for job in zip(windows, initial, targets, strict=True)]

    teachers, none = teacher_settings(settings), [None] * len(windows)
    if settings.noise:  # every teacher has a draw of its own
        taught = [result for own in teachers for result in train_jobs(architecture, jobs(own, none), own)]
    else:  # all of them together: no slot waits for the last of each
        taught = train_jobs(architecture, [job for own in teachers for job in jobs(own, none)], settings)
    outputs: list[list[NDArray[np.float32]]] = [[] for _ in windows]
    errors: dict[int, TrainingError] = {}
    for i, teacher in enumerate(taught):
        place = i % len(windows)
        if isinstance(teacher, TrainingError):
            errors.setdefault(place, teacher)
        else:
            outputs[place].append(trainer.reconstruct(teacher.weights, windows[place]))
    targets = [mean_reconstruction(made) if made else None for made in outputs]
    students = train_jobs(architecture, jobs(settings, targets), settings)
    return [errors.get(place, student) for place, student in enumerate(students)]
