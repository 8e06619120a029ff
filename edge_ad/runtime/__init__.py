"""What runs on the device: sources, detector, sinks, latency.

Rule of this folder: numpy, click's friends in `cli` and one TFLite interpreter are all it may
need. Never the toolchain, TensorFlow, pandas or scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.runtime.detector import Detector

__all__ = ["Detector"]


def __getattr__(name: str) -> object:
    """Load the detector, and numpy with it, when it is asked for: `doctor` works where numpy does not."""
    if name == "Detector":
        from edge_ad.runtime.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
