"""Small snapshot files, as the ones of NASA's bearing data but with fewer readings."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from edge_ad.detect.features import SnapshotFeatures

FEATURES = SnapshotFeatures(signals=("Bearing 1", "Bearing 2"), rows=40)
START = datetime(2004, 2, 12, 10, 32, 39)


def name(index):
    """Of the snapshot that was taken as the `index`-th, ten minutes after the one before."""
    return (START + timedelta(minutes=10 * index)).strftime(FEATURES.name_format)


def text(index, level=1.0, rows=FEATURES.rows):
    """A snapshot's text: three decimals, tabs, carriage returns, as published."""
    rng = np.random.default_rng(index)
    readings = rng.normal(0, [0.1 * level, 0.1], (rows, 2))
    return "".join("\t".join(f"{x:.3f}" for x in row) + "\r\n" for row in readings).encode()


def write(folder, n, **levels):
    """Write the first `n`; returns their contents by name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {name(index): text(index, **levels) for index in range(n)}
    for file, content in made.items():
        (folder / file).write_bytes(content)
    return made
