"""What scoring costs the way the seed notebook does it: Keras `predict`, a window at a time."""

from __future__ import annotations

from time import perf_counter_ns

import numpy as np

from edge_ad.bench.results import Measurement
from edge_ad.bundle.manifest import Manifest
from edge_ad.toolchain.architecture import Architecture
from edge_ad.toolchain.train import build_keras_model


def benchmark_keras(manifest: Manifest, *, windows: int, warmup: int) -> list[Measurement]:
    """Time `predict` on one window for each of the bundle's models.

    A bundle holds no Keras weights; fresh ones take the same time. Raises MissingDependencyError.
    """
    measurements = []
    window = np.zeros((1, manifest.window_length, len(manifest.channels)), np.float32)
    for model in manifest.models:
        architecture = Architecture(
            manifest.window_length,
            len(manifest.channels),
            model.encoder_units,
            model.decoder_units,
            model.activation,  # type: ignore[arg-type]  # a name in the manifest
        )
        network = build_keras_model(architecture)
        raw = []
        for _ in range(warmup + windows):
            start = perf_counter_ns()
            network.predict(window, verbose=0)
            raw.append(perf_counter_ns() - start)
        measurements.append(Measurement(f"{model.name} keras-predict", tuple(raw[warmup:]), warmup))
    return measurements
