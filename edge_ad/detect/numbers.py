"""Plain numbers of what a caller may hand over as a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np


def seconds(time: object) -> float:
    """A time stamp as a float; NaN for what is no number."""
    return _number(time)


def plain_numbers(sample: object) -> tuple[float, ...]:
    """The values of a sample that are numbers, NaN in place of the others; empty where it holds none."""
    if isinstance(sample, np.ndarray):
        sample = np.ma.filled(sample, np.nan).tolist() if sample.dtype.kind in "fiub" else sample.tolist()
    if not isinstance(sample, Sequence) or isinstance(sample, (str, bytes, bytearray)):
        return ()
    return tuple(map(_number, sample))


def _number(value: object) -> float:
    if not isinstance(value, (int, float, np.floating, np.integer, Decimal)) or isinstance(
        value, np.timedelta64
    ):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # such as an integer of 400 digits
        return math.nan
