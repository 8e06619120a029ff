"""Measuring: what the machine is and does, raw values, figures, the verdict on them, comparisons.

`host`, `command`, `architecture` and what a board tells of clock, supply and temperature are read by the
doctor as well, which works where numpy does not: they need the standard library alone.

Rule of this folder: the standard library and numpy only; it knows nothing of models.
"""
