"""Measuring: raw values, machine facts, percentiles.

Rule of this folder: the standard library and numpy only; it knows nothing of models.
"""
