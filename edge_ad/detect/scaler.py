"""Per-channel scaling: `(x - offset) / scale`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScalerKind = Literal["standard", "min-max"]


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
