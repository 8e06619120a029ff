"""The TFLite interpreter, whichever of the known packages is installed."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Quantization
from edge_ad.errors import InterpreterError, MissingDependencyError
from edge_ad.runtime.process import native_stderr_silenced

_KNOWN = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


_only: str | None = None


def installed_interpreters() -> list[str]:
    """Names of the known packages that are installed here, the preferred one first; nothing is imported."""
    return [name for name, module in _KNOWN.items() if find_spec(module.split(".")[0]) is not None]


def use_interpreter(distribution: str) -> None:
    """Let this process use that package and no other, before it loads its first model."""
    global _only  # noqa: PLW0603  one interpreter per process: the native libraries do not share one
    _only = distribution
    _interpreter_class.cache_clear()


@cache
def _interpreter_class() -> tuple[str, Any]:
    """Distribution name and `Interpreter` class of the first package that imports."""
    problems = []
    for distribution, module in _KNOWN.items():
        if _only not in (None, distribution):
            continue
        try:
            return distribution, importlib.import_module(module).Interpreter
        except ModuleNotFoundError as error:
            if error.name not in (module, module.split(".")[0]):
                problems.append(f"{distribution}: {error}")
        except ImportError as error:  # such as tflite-runtime built for numpy 1 beside numpy 2
            problems.append(f"{distribution}: {error}")
    hint = "install one with: pip install 'edge-ad[device]'"
    raise MissingDependencyError(
        f"no TFLite interpreter can be used ({'; '.join(problems)}); {hint}"
        if problems
        else f"no TFLite interpreter is installed; {hint}"
    )


def interpreter_version() -> str:
    """Name and version of the interpreter package in use. Raises MissingDependencyError."""
    distribution, _ = _interpreter_class()
    return f"{distribution} {importlib.metadata.version(distribution)}"


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
        except (RuntimeError, ValueError) as error:
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
        self._input: int = inputs[0]["index"]
        self._output: int = outputs[0]["index"]
        self._stateful = stateful

    def reconstruct(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(window_length, n_channels)` scaled window -> its reconstruction of the same shape."""
        interpreter = self._interpreter
        if self._stateful:
            interpreter.reset_all_variables()
        if self._quantize is not None:
            window = self._quantize(window)
        interpreter.set_tensor(self._input, window[np.newaxis])
        try:
            interpreter.invoke()
        except RuntimeError as error:
            raise InterpreterError(f"the model fails while it runs: {error}") from error
        output: NDArray[np.float32] = interpreter.get_tensor(self._output)[0]
        return output if self._dequantize is None else self._dequantize(output)

    def bare_invoke(self, window: NDArray[np.float32]) -> Callable[[], None]:
        """The interpreter's own `invoke`, with a scaled window already handed in.

        A stateful model has its variables reset each time, as it must: a state that runs on would
        grow without bound and change what is measured.
        """
        self.reconstruct(window)
        invoke: Callable[[], None] = self._interpreter.invoke
        if not self._stateful:
            return invoke
        reset = self._interpreter.reset_all_variables

        def reset_and_invoke() -> None:
            reset()
            invoke()

        return reset_and_invoke
