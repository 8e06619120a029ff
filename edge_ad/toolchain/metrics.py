"""F1, false alarm rate and missed alarm rate of row-wise decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """Counts of rows; they add up over assets."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def n_rows(self) -> int:
        """Number of judged rows."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where there is neither anomaly nor alarm."""
        wrong = self.false_positive + self.false_negative
        return _ratio(2 * self.true_positive, 2 * self.true_positive + wrong)

    @property
    def precision(self) -> float | None:
        """Alarmed anomalous rows / alarmed rows; None without alarms."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Alarmed anomalous rows / anomalous rows, which is 1 - MAR; None without anomalies."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def far(self) -> float | None:
        """False alarm rate: alarmed normal rows / normal rows; None without normal rows."""
        return _ratio(self.false_positive, self.false_positive + self.true_negative)

    @property
    def mar(self) -> float | None:
        """Missed alarm rate: anomalous rows without alarm / anomalous rows."""
        return _ratio(self.false_negative, self.false_negative + self.true_positive)


def confusion(labels: NDArray[np.bool_], alarms: NDArray[np.bool_]) -> Confusion:
    """Count `(n,)` labels against `(n,)` decisions."""
    return Confusion(
        int((labels & alarms).sum()),
        int((~labels & alarms).sum()),
        int((labels & ~alarms).sum()),
        int((~labels & ~alarms).sum()),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
