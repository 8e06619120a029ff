"""edge_ad: train on a workstation, prove the conversion, detect anomalies on a Raspberry Pi."""

__version__ = "0.1.0"
