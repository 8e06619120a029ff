"""What scoring costs the way the seed notebook does it: Keras `predict`, a window at a time."""

from __future__ import annotations

import os
from functools import partial
from importlib.metadata import version
from time import perf_counter_ns

import numpy as np

from edge_ad.bench.results import Measurement, ProcessRun, Result
from edge_ad.bundle.manifest import Manifest
from edge_ad.toolchain.models import ModelShape
from edge_ad.toolchain.train import build_keras_model

PREDICT = "keras-predict"


def benchmark_keras(manifest: Manifest, *, windows: int, warmup: int) -> list[Result]:
    """Time `predict` on one window for each of the bundle's models, all in this process.

    A bundle holds no Keras weights; fresh ones take the same time. Raises MissingDependencyError.
    """
    results = []
    window = np.zeros((1, manifest.window_length, len(manifest.channels)), np.float32)
    for model in manifest.models:
        shape = ModelShape(model.kind, model.encoder_units, model.decoder_units)
        architecture = shape.architecture(
            manifest.window_length,
            len(manifest.channels),
            model.activation,  # type: ignore[arg-type]  # a name in the manifest
        )
        predict = partial(build_keras_model(architecture).predict, window, verbose=0)
        raw = []
        for _ in range(warmup + windows):
            start = perf_counter_ns()
            predict()
            raw.append(perf_counter_ns() - start)
        measurement = Measurement(PREDICT, warmup, True, tuple(raw[warmup:]))
        results.append(
            Result(
                engine="keras",
                engine_version=f"keras {version('keras')}, tensorflow {version('tensorflow')}",
                variant=model.name,
                threads=os.cpu_count() or 1,
                runs=(ProcessRun((measurement,)),),
            )
        )
    return results
