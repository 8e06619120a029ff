"""The upper control limit (UCL): the score above which a window counts as an exceedance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_N_QUANTILES = 21
"""Twenty bins of equal share between them."""


@dataclass(frozen=True)
class LimitRule:
    """`percentile(train scores, percentile) * factor`, as in the SKAB notebook (99 and 1.5)."""

    percentile: float = 99.0
    factor: float = 1.5
    digits: int | None = None
    """Decimals that the UCL is rounded to, None: not at all. The bearing post has 3, of percentile 100 and
    factor 1.1."""

    def __post_init__(self) -> None:
        if not 0 < self.percentile <= 100:
            raise ValueError("percentile must lie above 0 and at most at 100")
        if not self.factor > 0:
            raise ValueError("factor must be above 0")
        if self.digits is not None and not 0 <= self.digits <= 15:
            raise ValueError("digits must be 0 to 15")

    def limit(self, train_scores: NDArray[np.float64]) -> float:
        """The UCL for `(n,)` scores of training windows (linear interpolation, numpy's default)."""
        limit = float(np.percentile(train_scores, self.percentile) * self.factor)
        return limit if self.digits is None else round(limit, self.digits)


def score_quantiles(scores: NDArray[np.float64]) -> tuple[float, ...]:
    """What a bundle tells of the distribution of `(n,)` scores: quantiles at equal steps from 0 to 1."""
    return tuple(np.quantile(scores, np.linspace(0, 1, _N_QUANTILES)).tolist())
