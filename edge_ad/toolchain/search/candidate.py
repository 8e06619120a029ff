"""A candidate's detector for one recording: made by the steps of a build, on the bytes that would ship."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from edge_ad.runtime.detector import Detector
from edge_ad.runtime.window_model import WindowModel
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.datasets.recording import Recording
from edge_ad.toolchain.evaluate import control_limit
from edge_ad.toolchain.pack import smallest
from edge_ad.toolchain.preparation import Prepared, prepare
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.steps import Predict, fit_heads
from edge_ad.toolchain.workspace import BuildPlan, variant_name

_MOST_KEPT = 256
_kept: OrderedDict[object, Weights] = OrderedDict()
"""Weights of this process: candidates often differ in what comes after the network."""


def make_detector(recording: Recording, plan: BuildPlan) -> Detector:
    """Scaler, network, heads and limit from the train span; the form is the one a device runs by default.

    The network is not trained where no head looks at it. Raises ConfigurationError, ConversionError,
    DataError, InterpreterError, TrainingError.
    """
    settings, prepared = plan.settings, prepare(recording, plan)
    variant = default_variant(settings)
    model, precision = next(
        (model, precision)
        for model in settings.models
        for precision in settings.precisions
        if variant_name(model, precision) == variant
    )
    architecture = plan.architecture(model)
    if settings.needs_network:
        weights, predict = _trained(prepared, architecture, settings)
    else:
        weights, predict = _untrained(architecture), _as_they_are
    heads = fit_heads(predict, prepared, plan)
    training_windows = np.ascontiguousarray(prepared.windows[prepared.train])
    converted = convert(architecture, weights, precision, settings.optimize, training_windows)
    scored = WindowModel(
        converted.content, prepared.scaler, heads or settings.score, stateful=converted.stateful
    )
    limit = control_limit(scored.scores_scaled(prepared.windows[prepared.limit]), plan)
    return Detector(scored, prepared.quality, settings.alarm, ucl=limit.ucl)


def default_variant(settings: BuildSettings) -> str:
    """The form that a bundle of these settings runs unless told otherwise."""
    known = [variant_name(m, precision) for m in settings.models for precision in settings.precisions]
    return smallest([name for name in known if name in (settings.variants or known)])


def _trained(
    prepared: Prepared, architecture: Architecture, settings: BuildSettings
) -> tuple[Weights, Predict]:
    from edge_ad.toolchain.distill import train_network
    from edge_ad.toolchain.train import trainer_for

    training, digest = settings.training, prepared.recording.sha256
    key = (digest, architecture, training, settings.scaler, settings.fit_share)
    trainer = trainer_for(architecture, training.batch_size, training.kernel_l2)
    if key in _kept:
        _kept.move_to_end(key)
        trainer.restore(_kept[key])
    else:
        windows = prepared.windows[prepared.fit]
        _kept[key] = train_network(trainer, architecture, windows, training, digest).weights
        if len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return _kept[key], trainer.predict


def _untrained(architecture: Architecture) -> Weights:
    """Weights of a network that nobody asks: any will do, but for zeros, which have no scale."""
    return [np.full(shape, 0.01, np.float32) for shape in architecture.weight_shapes]


def _as_they_are(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    return windows
