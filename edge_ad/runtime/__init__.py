"""What runs on the device: sources, detector, sinks, latency.

Rule of this folder: numpy, click's friends in `cli` and one TFLite interpreter are all it may
need. Never the toolchain, TensorFlow, pandas or scikit-learn.
"""

from edge_ad.runtime.detector import Detector

__all__ = ["Detector"]
