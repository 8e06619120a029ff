"""The TFLite interpreter, whichever of the known packages is installed; and whether one is to be used."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization
from edge_ad.errors import ConfigurationError, InterpreterError, MissingDependencyError
from edge_ad.runtime.process import native_stderr_silenced
from edge_ad.runtime.tensor_memory import has_moved, tensor_memory

_KNOWN = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
NUMPY = "numpy"
"""The engine that needs no package; see `edge_ad.runtime.numpy_engine`."""
ENGINE_VARIABLE = "EDGE_AD_ENGINE"
"""Environment variable with the engine to use: `auto`, a package's name or `numpy`."""

_only: str | None = None


def installed_interpreters() -> list[str]:
    """Names of the known packages that are installed here, the preferred one first; nothing is imported."""
    return [name for name, module in _KNOWN.items() if find_spec(module.split(".")[0]) is not None]


def use_interpreter(name: str) -> None:
    """Let this process use that package, or `numpy`, and no other, before it loads its first model."""
    global _only  # noqa: PLW0603  one interpreter per process: the native libraries do not share one
    _only = name
    _interpreter_class.cache_clear()


def wanted_engine() -> str | None:
    """The engine that this process was told to use; None where it may choose. Raises ConfigurationError."""
    name = _only or os.environ.get(ENGINE_VARIABLE) or "auto"
    if name not in ("auto", NUMPY, *_KNOWN):
        engines = ", ".join(("auto", *_KNOWN))
        raise ConfigurationError(f"{ENGINE_VARIABLE} is {name!r}, and can be {engines} or {NUMPY}")
    return None if name == "auto" else name


def engine_in_use() -> str:
    """The engine that runs models here: a package's name or `numpy`. Raises ConfigurationError.

    Without a wish numpy is taken where no package is installed. One that is there and does not work is a
    fault, which its own error tells of.
    """
    return wanted_engine() or next(iter(installed_interpreters()), NUMPY)


@cache
def _interpreter_class() -> tuple[str, Any]:
    """Distribution name and `Interpreter` class of the first package that imports."""
    wanted = wanted_engine()
    problems = []
    for distribution, module in _KNOWN.items():
        if wanted not in (None, NUMPY, distribution):
            continue
        try:
            return distribution, importlib.import_module(module).Interpreter
        except ModuleNotFoundError as error:
            if error.name not in (module, module.split(".")[0]):
                problems.append(f"{distribution}: {error}")
        except ImportError as error:  # such as tflite-runtime built for numpy 1 beside numpy 2
            problems.append(f"{distribution}: {error}")
    hint = "install one with: pip install 'edge-ad[device]'"
    if problems:
        hint += f", or run without: {ENGINE_VARIABLE}={NUMPY}"
        raise MissingDependencyError(f"no TFLite interpreter can be used ({'; '.join(problems)}); {hint}")
    missing = "no TFLite interpreter is" if wanted in (None, NUMPY) else f"{wanted} was asked for, and is not"
    raise MissingDependencyError(f"{missing} installed; {hint}")


def interpreter_version() -> str:
    """Name and version of what runs models here. Raises MissingDependencyError, ConfigurationError."""
    if engine_in_use() == NUMPY:
        why = "" if installed_interpreters() else " (no TFLite interpreter installed)"
        return f"{NUMPY} {np.__version__}{why}"
    from importlib.metadata import version  # more than a megabyte, and most runs never ask

    distribution, _ = _interpreter_class()
    return f"{distribution} {version(distribution)}"


_Convert = Callable[[NDArray[Any]], NDArray[Any]] | None


def _quantization(details: dict[str, Any]) -> Quantization | None:
    """How an int8 input or output is stored, None for float32. Raises InterpreterError."""
    dtype = np.dtype(details["dtype"]).name
    if dtype == "float32":
        return None
    scale, zero_point = details["quantization"]
    if dtype != "int8" or not scale > 0:
        raise InterpreterError(f"input and output must be float32, or int8 with a scale, not {dtype}")
    return Quantization(float(scale), int(zero_point))


def _converters(inputs: Quantization | None, outputs: Quantization | None) -> tuple[_Convert, _Convert]:
    """From float32 to the model's input and from its output to float32; None where nothing is to do."""
    return None if inputs is None else _quantizer(inputs), None if outputs is None else _dequantizer(outputs)


def _quantizer(quantization: Quantization) -> _Convert:
    steps_per_unit, zero_point = np.float32(1 / quantization.scale), quantization.zero_point

    def quantize(window: NDArray[np.float32]) -> NDArray[np.int8]:
        stored = np.rint(window * steps_per_unit)
        stored += zero_point
        np.maximum(stored, -128, out=stored)
        np.minimum(stored, 127, out=stored)
        quantized: NDArray[np.int8] = stored.astype(np.int8)
        return quantized

    return quantize


def _dequantizer(quantization: Quantization) -> _Convert:
    scale, zero_point = np.float32(quantization.scale), quantization.zero_point

    def dequantize(stored: NDArray[np.int8]) -> NDArray[np.float32]:
        real: NDArray[np.float32] = np.subtract(stored, zero_point, dtype=np.float32)
        real *= scale
        return real

    return dequantize


class ReconstructionModel:
    """An autoencoder in TFLite form, one float32 window in, its reconstruction out.

    A model with int8 input and output is handed the nearest stored numbers, and values beyond its range
    as the range's end.

    One thread by default: for networks of this size more threads were no faster. Every window
    starts from zero state; `stateful` models have their variables reset before each invoke.
    """

    def __init__(self, content: bytes, *, stateful: bool = False, num_threads: int = 1) -> None:
        """Raises InterpreterError for a model this interpreter refuses, MissingDependencyError."""
        _, interpreter = _interpreter_class()
        try:
            with native_stderr_silenced():  # a line about a delegate, not asked for
                self._interpreter = interpreter(model_content=content, num_threads=num_threads)
                self._interpreter.allocate_tensors()
            inputs = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
        except (RuntimeError, ValueError, SystemError) as error:  # the last from one built for another numpy
            raise InterpreterError(f"the interpreter refuses the model: {error}") from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise InterpreterError("an autoencoder has one input and one output")
        input_shape, output_shape = tuple(inputs[0]["shape"]), tuple(outputs[0]["shape"])
        if len(input_shape) != 3 or input_shape[0] != 1 or input_shape != output_shape:
            raise InterpreterError(
                f"input {input_shape} and output {output_shape} must be (1, window, channels)"
            )
        self.input_quantization = _quantization(inputs[0])
        """None where the input is float32."""
        self.output_quantization = _quantization(outputs[0])
        self._quantize, self._dequantize = _converters(self.input_quantization, self.output_quantization)
        self.shape: tuple[int, int] = (int(input_shape[1]), int(input_shape[2]))
        """`(window_length, n_channels)`"""
        self._stateful = stateful
        self._reset = self._interpreter.reset_all_variables
        self._invoke = self._interpreter.invoke
        indices = inputs[0]["index"], outputs[0]["index"]
        self._input: NDArray[Any]
        self._output: NDArray[Any]
        self._input, self._output = (tensor_memory(self._interpreter, index) for index in indices)
        self.run(np.zeros((1, *self.shape), np.float32))
        if any(map(has_moved, repeat(self._interpreter), indices, (self._input, self._output))):
            raise InterpreterError("the interpreter moves its input or output while it runs")

    def run(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(1, window_length, n_channels)` scaled window -> its reconstruction of the same shape.

        What comes back is good until the next run. Raises InterpreterError where the model fails while it
        runs.
        """
        if self._stateful:
            self._reset()
        self._input[:] = window if self._quantize is None else self._quantize(window)
        try:
            self._invoke()
        except RuntimeError as error:
            raise InterpreterError(f"the model fails while it runs: {error}") from error
        output: NDArray[np.float32] = self._output
        return output if self._dequantize is None else self._dequantize(output)

    def residuals(self, windows: NDArray[np.float32], residuals: NDArray[np.float32]) -> None:
        """Windows less their reconstructions: fills `(n, 1, window_length, n_channels)`, one after the other.

        Raises InterpreterError where the model fails while it runs.
        """
        # `run`, without a call of ours for each window: over many that is what is left to save.
        reset: Callable[[], object] = self._reset if self._stateful else lambda: None
        quantize, dequantize = self._quantize, self._dequantize
        invoke, inputs, outputs = self._invoke, self._input, self._output
        subtract, everywhere = np.subtract, slice(None)
        try:
            for window, residual in zip(windows, residuals, strict=True):
                reset()
                inputs[everywhere] = window if quantize is None else quantize(window)
                invoke()
                subtract(window, outputs if dequantize is None else dequantize(outputs), residual)
        except RuntimeError as error:
            raise InterpreterError(f"the model fails while it runs: {error}") from error

    def reconstruct(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(window_length, n_channels)` scaled window -> its reconstruction of the same shape."""
        if window.shape != self.shape:
            raise ValueError(f"a window must have shape {self.shape}, not {window.shape}")
        reconstruction: NDArray[np.float32] = self.run(window[np.newaxis])[0].copy()
        return reconstruction

    def bare_invoke(self, window: NDArray[np.float32]) -> Callable[[], None]:
        """The interpreter's own `invoke`, with a scaled window already handed in.

        A stateful model has its variables reset each time, as it must: a state that runs on would
        grow without bound and change what is measured.
        """
        self._input[:] = window if self._quantize is None else self._quantize(window)
        invoke: Callable[[], None] = self._interpreter.invoke
        if not self._stateful:
            return invoke
        reset = self._interpreter.reset_all_variables

        def reset_and_invoke() -> None:
            reset()
            invoke()

        return reset_and_invoke
