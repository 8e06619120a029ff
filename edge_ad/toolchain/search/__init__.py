"""Searching for settings: an optimizer proposes, the shipped detector is judged, the best become a file.

Nothing here decides otherwise than a build and `edge-ad evaluate` do: a candidate is fitted by the steps of a
build, and judged through `runtime.Detector` on the bytes that would ship.
"""
