"""Golden vectors: does this machine score as the workstation did?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_ad.bundle.bundle import Bundle
from edge_ad.runtime.detector import Detector


@dataclass(frozen=True)
class SelfTest:
    """How far one variant's scores are from the expected ones."""

    variant: str
    windows: int
    worst_window: int
    """Index of the golden window with the largest error."""
    error: float
    """Largest relative difference."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every score is within the tolerance."""
        return self.error <= self.tolerance


def self_test(bundle: Bundle, variant: str) -> SelfTest:
    """Replay the golden windows through a variant. Raises what loading it raises."""
    entry = bundle.manifest.variant(variant)
    scores = Detector.load(bundle, variant).score_windows(bundle.golden_windows())
    expected = np.array(entry.golden_scores)
    errors = np.abs(scores - expected) / np.maximum(np.abs(expected), 1e-9)
    errors = np.where(np.isfinite(errors), errors, np.finfo(np.float64).max)
    worst = int(errors.argmax())
    return SelfTest(variant, len(scores), worst, float(errors[worst]), entry.golden_tolerance)
