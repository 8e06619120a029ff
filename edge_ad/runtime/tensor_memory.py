"""The memory of an interpreter's input and output, as arrays that stay."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray


def tensor_memory(interpreter: Any, index: int) -> NDArray[Any]:
    """An array over the memory of an input or output tensor, without a copy.

    The interpreter's own views of its tensors must be let go before every invoke, since it might allocate
    anew; making and copying them costs a tenth of the invoke of a small network. It does so only where
    `allocate_tensors` is called again or where shapes depend on values, which no model of a bundle has. So
    an array over the same address is good for as long as the interpreter lives and is not resized; see
    `has_moved`.
    """
    view = interpreter.tensor(index)()
    kind: Any = type("TensorMemory", (ctypes.c_byte * view.nbytes,), {})
    memory = kind.from_address(view.ctypes.data)
    memory.owner = interpreter  # lives as long as any array over its memory
    return np.frombuffer(memory, view.dtype).reshape(view.shape)


def has_moved(interpreter: Any, index: int, memory: NDArray[Any]) -> bool:
    """Whether a tensor lies elsewhere than where `tensor_memory` found it."""
    return bool(interpreter.tensor(index)().ctypes.data != memory.ctypes.data)
