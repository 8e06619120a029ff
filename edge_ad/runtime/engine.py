"""What runs a model: a TFLite interpreter or, where none is installed, numpy. Both have the same face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization
from edge_ad.runtime.interpreter import (
    NUMPY,
    ReconstructionModel,
    engine_in_use,
    installed_interpreters,
    wanted_engine,
)


class Engine(Protocol):
    """An autoencoder that is ready to run. Every window starts from zero state."""

    shape: tuple[int, int]
    """`(window_length, n_channels)`"""
    input_quantization: Quantization | None
    """How the model stores its input; None for float32."""
    output_quantization: Quantization | None

    def run(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(1, window_length, n_channels)` scaled window -> its reconstruction of the same shape.

        What comes back is good until the next run. Raises InterpreterError where the model fails.
        """
        ...

    def residuals(self, windows: NDArray[np.float32], residuals: NDArray[np.float32]) -> None:
        """Windows less their reconstructions: fills `(n, 1, window_length, n_channels)`, one after the other.

        Raises InterpreterError where the model fails.
        """
        ...

    def reconstruct(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(window_length, n_channels)` scaled window -> its reconstruction of the same shape."""
        ...

    def bare_invoke(self, window: NDArray[np.float32]) -> Callable[[], None]:
        """The network alone, with a scaled window already handed in; for benchmarks."""
        ...


def available_engines() -> list[str]:
    """Names of all engines of this machine, the preferred one first."""
    return [*installed_interpreters(), NUMPY]


def open_model(content: bytes, *, stateful: bool, num_threads: int = 1) -> Engine:
    """Load a `.tflite` file. `num_threads` is a wish, which numpy takes no notice of.

    Raises InterpreterError for a model that is refused; ConfigurationError, MissingDependencyError where
    the engine that was asked for is unknown or not installed.
    """
    if engine_in_use() == NUMPY:
        # Not imported where it is not used: most devices have an interpreter.
        from edge_ad.runtime.numpy_engine.model import NumpyModel

        return NumpyModel(content)
    return ReconstructionModel(content, stateful=stateful, num_threads=num_threads)


def engine_notice() -> str | None:
    """What a person should know where models run on numpy for want of an interpreter; None elsewhere.

    Nor where numpy was asked for. Raises ConfigurationError.
    """
    if wanted_engine() is not None or installed_interpreters():
        return None
    return (
        "no TFLite interpreter is installed, so the model runs on numpy: the same decisions, but slower, "
        "with int8-full variants most of all. Where there is an interpreter for this board: "
        "pip install 'edge-ad[device]'"
    )
