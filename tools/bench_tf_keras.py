"""The stock converter's own fused LSTM, which it makes of tanh layers of tf_keras, against our forms.

tf_keras is no dependency of this project: install it beside the environment for this one measurement.

    pip install --no-deps --target build/tf-keras tf-keras==2.21.0
    PYTHONPATH=build/tf-keras .venv/bin/python tools/bench_tf_keras.py

Random weights, as sizes and times do not depend on what was learned.
"""

from __future__ import annotations

import os
from statistics import median

import numpy as np

from edge_ad.bench.turns import take_turns
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.toolchain.architecture import LstmArchitecture, Weights
from edge_ad.toolchain.convert.converter import convert
from edge_ad.toolchain.convert.explain import explain_tflite
from edge_ad.toolchain.oracle import reconstruct
from edge_ad.toolchain.tensorflow import load_tensorflow

UNITS = {"tiny": 16, "full": 100}
ROUNDS, INVOKES = 5, 400


def stock(shape: LstmArchitecture, weights: Weights, *, dynamic_range: bool) -> bytes:
    """The converter's form of a tf_keras model."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tf = load_tensorflow()
    import tf_keras

    layers, units = tf_keras.layers, shape.encoder[0]
    inputs = layers.Input((shape.window_length, shape.n_channels), batch_size=1)
    x = layers.RepeatVector(shape.window_length)(layers.LSTM(units)(inputs))
    x = layers.LSTM(units, return_sequences=True)(x)
    model = tf_keras.Model(inputs, layers.TimeDistributed(layers.Dense(shape.n_channels))(x))
    model.set_weights(weights)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if dynamic_range:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content: bytes = converter.convert()
    return content


def compare(name: str, units: int) -> None:
    """Print the rows of one model; the forms take turns."""
    shape = LstmArchitecture(10, 8, (units,), (units,), "tanh")
    random = np.random.default_rng(0)
    weights = [random.normal(0, 0.8 / np.sqrt(s[0]), s).astype(np.float32) for s in shape.weight_shapes]
    windows = random.normal(size=(20, 10, 8)).astype(np.float32)
    files = {
        "tf_keras": (stock(shape, weights, dynamic_range=False), True),
        "tf_keras, dynamic-range": (stock(shape, weights, dynamic_range=True), True),
    }
    for optimize in ("size", "speed"):
        for precision in ("float32", "int8"):
            made = convert(shape, weights, precision, optimize)  # type: ignore[arg-type]
            files[f"**{made.form} {precision}**"] = (made.content, made.stateful)
    models = {key: ReconstructionModel(content, stateful=s) for key, (content, s) in files.items()}
    invokes = {key: model.bare_invoke(np.zeros(model.shape, np.float32)) for key, model in models.items()}
    times = take_turns(invokes, rounds=ROUNDS, each=INVOKES)
    exact = reconstruct(shape, weights, windows)
    print(f"| {name}, tanh | KB | p50 µs | operators | max error |\n|---|---|---|---|---|")
    for key, (content, _) in files.items():
        found = explain_tflite(content)
        error = np.abs([models[key].reconstruct(window).copy() for window in windows] - exact).max()
        cells = [f"{len(content) / 1000:.1f}", f"{median(times[key]) / 1000:.1f}"]
        cells += [f"{sum(found.operators.values())}, {found.kind}", f"{error:.1e}"]
        print(f"| {key} | {' | '.join(cells)} |")
    print()


if __name__ == "__main__":
    for model_name, n_units in UNITS.items():
        compare(model_name, n_units)
