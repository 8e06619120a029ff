"""How well bundles detect, on recordings with labels: figures, baselines beside them, and how all was chosen.

A bundle is a black box here: what it decides comes from `runtime.Detector`, as on a device.
"""
