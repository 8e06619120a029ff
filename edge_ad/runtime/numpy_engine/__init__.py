"""Runs a `.tflite` model with numpy alone, for boards that no TFLite interpreter is made for (armv6).

The graph is read once and turned into a list of numpy calls on arrays that are there already; a window is
then a walk through that list. On a slow board a call costs more than the arithmetic in it, so what counts is
that there are few: see `lstm`, and `moves` for the operators that cost none.

Rule of this folder: numpy, `edge_ad.bundle` and `edge_ad.errors`; imported where a model is to run on it.
"""
