"""Per-channel scaling: `(x - offset) / scale`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScalerKind = Literal["standard", "min-max", "robust"]
"""`standard`: mean and standard deviation. `min-max`: the range. `robust`: median and interquartile range."""

_NORMAL_IQR = 1.3489795003921634
"""Interquartile range of the normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Scaler:
    """An affine map per channel, fitted on the train span only.

    `offset` and `scale` are `(n_channels,)` float64 in engineering units; `scale` is never zero.
    """

    kind: ScalerKind
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]

    def transform(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scale `(..., n_channels)` samples. Computed in float64 and rounded to float32 once; what is too
        large for that becomes infinite.
        """
        with np.errstate(over="ignore"):
            return ((samples - self.offset) / self.scale).astype(np.float32)


def fit_scaler(kind: ScalerKind, samples: NDArray[np.float64]) -> Scaler:
    """The scaler of that kind for `(n, n_channels)` samples, n at least 1."""
    return _FITS[kind](samples)


def fit_standard(samples: NDArray[np.float64]) -> Scaler:
    """Zero mean and unit variance (population, `ddof=0`) over `(n, n_channels)` samples.

    A channel that does not vary keeps scale 1, so that it maps to 0 and a later movement shows
    in its own unit instead of dividing by zero.
    """
    mean = samples.mean(axis=0)
    variance = samples.var(axis=0)
    # Rounding alone gives a constant column a tiny variance; the bound is the error of the
    # two-pass algorithm (Chan, Golub, LeVeque 1983), the test scikit-learn applies as well.
    n, eps = len(samples), np.finfo(np.float64).eps
    constant = variance <= n * eps * variance + (n * mean * eps) ** 2
    return Scaler("standard", mean, np.where(constant, 1.0, np.sqrt(variance)))


def fit_min_max(samples: NDArray[np.float64]) -> Scaler:
    """Map the range of each channel of `(n, n_channels)` samples to 0…1; a constant one to 0."""
    low = samples.min(axis=0)
    span = samples.max(axis=0) - low
    constant = span <= 10 * np.finfo(np.float64).eps * np.abs(low)
    return Scaler("min-max", low, np.where(constant, 1.0, span))


def fit_robust(samples: NDArray[np.float64]) -> Scaler:
    """Zero median, and the interquartile range of `(n, n_channels)` samples to that of a normal distribution.

    What a quarter of the train span does on either side then moves nothing; of normally distributed values
    the scaled ones are those of `fit_standard`. A channel that keeps one value for more than half of the
    time has no such range: its standard deviation takes the place, or 1 where it is constant.
    """
    low, median, high = np.percentile(samples, (25, 50, 75), axis=0)
    spread = (high - low) / _NORMAL_IQR
    still = spread <= 10 * np.finfo(np.float64).eps * np.abs(median)
    return Scaler("robust", median, np.where(still, fit_standard(samples).scale, spread))


_FITS = {"standard": fit_standard, "min-max": fit_min_max, "robust": fit_robust}
