"""Loading TensorFlow: late, quiet, on the CPU, on one thread per process."""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any

from edge_ad.errors import MissingDependencyError
from edge_ad.runtime.process import native_stderr_silenced


@cache
def load_tensorflow() -> Any:
    """The `tensorflow` module. Raises MissingDependencyError where it is not installed.

    One thread: networks this small gain nothing from more, processes side by side do; and the
    order of additions, so the result, stays the same from run to run.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with native_stderr_silenced():  # lines about GPUs that are not there, before any log level is heeded
            tf = importlib.import_module("tensorflow")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "TensorFlow is not installed; training and converting need: pip install 'edge-ad[host]'"
        ) from error
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.get_logger().setLevel("ERROR")
    return tf


def load_keras() -> Any:
    """The `keras` module on the TensorFlow backend. Raises MissingDependencyError."""
    load_tensorflow()
    return importlib.import_module("keras")
