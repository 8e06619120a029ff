"""An autoencoder in TFLite form on numpy, with the face that every engine has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import BundleError, InterpreterError
from edge_ad.runtime.numpy_engine.compiler import compile_graph
from edge_ad.runtime.numpy_engine.graph import read_graph


class NumpyModel:
    """One float32 window in, its reconstruction out. Every window starts from zero state.

    A model with int8 input and output is handed the nearest stored numbers, and values beyond its range
    as the range's end.
    """

    def __init__(self, content: bytes) -> None:
        """Raises InterpreterError for a model that no bundle may hold."""
        try:
            graph = read_graph(content)
            with np.errstate(all="ignore"):
                program = compile_graph(graph)
        except BundleError as error:
            raise InterpreterError(f"the numpy engine refuses the model: {error}") from error
        except MemoryError as error:
            raise InterpreterError("there is not enough memory for the model") from error
        self.input_quantization = graph.tensors[graph.input].quantization
        """None where the input is float32."""
        self.output_quantization = graph.tensors[graph.output].quantization
        _, window_length, n_channels = program.window.shape
        self.shape = (window_length, n_channels)
        """`(window_length, n_channels)`"""
        self._window, self._reconstruction = program.window, program.reconstruction
        self._calls = program.calls

    def run(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(1, window_length, n_channels)` scaled window -> its reconstruction of the same shape.

        What comes back is good until the next run. Raises InterpreterError for a window of another shape.
        """
        self._take(window)
        self._invoke()
        return self._reconstruction

    def residuals(self, windows: NDArray[np.float32], residuals: NDArray[np.float32]) -> None:
        """Windows less their reconstructions: fills `(n, 1, window_length, n_channels)`, one after the other.

        Raises InterpreterError for windows of another shape.
        """
        with np.errstate(all="ignore"):
            for window, residual in zip(windows, residuals, strict=True):
                np.subtract(window, self.run(window), residual)

    def reconstruct(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(window_length, n_channels)` scaled window -> its reconstruction of the same shape."""
        reconstruction: NDArray[np.float32] = self.run(window[np.newaxis])[0].copy()
        return reconstruction

    def bare_invoke(self, window: NDArray[np.float32]) -> Callable[[], None]:
        """The network alone, with a scaled window already handed in."""
        self._take(window[np.newaxis])
        return self._invoke

    def _take(self, window: NDArray[np.float32]) -> None:
        if window.shape != self._window.shape:
            raise InterpreterError(
                f"the model takes a window of shape {self._window.shape}, not {window.shape}"
            )
        self._window[...] = window

    def _invoke(self) -> None:
        # What grows beyond float32 becomes infinite, as in the interpreters; once for all calls, as it costs.
        with np.errstate(all="ignore"):
            for call in self._calls:
                call()
