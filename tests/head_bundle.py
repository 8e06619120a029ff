"""The toy bundle with detector heads: no training, the real models, golden scores made right."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_ad.bundle.bundle import pack, unpack
from edge_ad.bundle.manifest import schema_for
from edge_ad.detect.heads import Follow, Head, Heads
from edge_ad.runtime.detector import Detector


def triangle(matrix):
    """The lower triangle of a symmetric matrix, as a head holds it."""
    return tuple(tuple(row[: i + 1]) for i, row in enumerate(np.asarray(matrix).tolist()))


def toy_heads(n_channels: int) -> dict[str, Heads]:
    """A detector of every kind of head and fusion, in scaled units; numbers nobody fitted."""
    zero = (0.0,) * n_channels
    mixing = np.eye(n_channels) * 2 + 0.1
    t2 = Head("t2", "window-mean", scale=30.0, center=zero, root=triangle(mixing))
    l1 = Head("l1", "residual", scale=6.0)
    q = Head("q", "residual", scale=9.0)
    z = Head("z-max", "window-mean", scale=3.0, center=zero, spread=(0.5,) * n_channels)
    residual = dataclasses.replace(t2, of="residual-mean")
    drifting = dataclasses.replace(t2, baseline=3, drifting=(True, *(False,) * (n_channels - 1)))
    return {
        "l1": Heads((dataclasses.replace(l1, scale=1.0),)),
        "t2": Heads((t2,)),
        "t2+q": Heads((residual, q), "sum"),
        "z-max": Heads((z,)),
        "drifting": Heads((drifting, dataclasses.replace(l1, channels=(True, *(False,) * 7)))),
        "all": Heads((t2, l1, q, z, residual, drifting)),
        "follows": Heads((dataclasses.replace(t2, follow=Follow(40, 0.6, (0.3,) * n_channels, 3.0)), q)),
    }


def with_heads(data: bytes, heads: Heads, ucl: float = 1.5) -> bytes:
    """A bundle whose every model has these heads, and scores its golden windows by them."""
    bundle = unpack(data)
    models = tuple(dataclasses.replace(model, detector=heads) for model in bundle.manifest.models)
    manifest = dataclasses.replace(bundle.manifest, score="heads", models=models)
    manifest = dataclasses.replace(manifest, schema=schema_for(manifest))
    scored = dataclasses.replace(bundle, manifest=manifest)
    variants = tuple(
        dataclasses.replace(
            variant,
            limit=dataclasses.replace(variant.limit, ucl=ucl),
            golden_scores=tuple(
                Detector.load(scored, variant.name).score_windows(bundle.golden_windows()).tolist()
            ),
        )
        for variant in manifest.variants
    )
    return pack(dataclasses.replace(manifest, variants=variants), bundle.members)
