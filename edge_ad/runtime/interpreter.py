"""The TFLite interpreter, whichever of the known packages is installed."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import InterpreterError, MissingDependencyError

_KNOWN = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


@cache
def _interpreter_class() -> tuple[str, Any]:
    """Distribution name and `Interpreter` class of the first package that imports."""
    problems = []
    for distribution, module in _KNOWN.items():
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


class ReconstructionModel:
    """An autoencoder in TFLite form, one float32 window in, its reconstruction out.

    One thread by default: for networks of this size more threads were no faster. Every window
    starts from zero state; `stateful` models have their variables reset before each invoke.
    """

    def __init__(self, content: bytes, *, stateful: bool = False, num_threads: int = 1) -> None:
        """Raises InterpreterError for a model this interpreter refuses, MissingDependencyError."""
        _, interpreter = _interpreter_class()
        try:
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
        if inputs[0]["dtype"] is not np.float32 or outputs[0]["dtype"] is not np.float32:
            raise InterpreterError("input and output must be float32")
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
        interpreter.set_tensor(self._input, window[np.newaxis])
        interpreter.invoke()
        output: NDArray[np.float32] = interpreter.get_tensor(self._output)[0]
        return output

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
