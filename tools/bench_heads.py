"""What a detector head costs: time of `push` beside the plain score, and bytes in the bundle.

For every kind of head: `push` of a bundle whose score is that head alone, and of one that has it beside `l1`
(the larger counts), less `push` of the bundle as it is: at the tenth percentile, which other programs move
least, and the median. All detectors take the same samples in turns, so that what else the machine does falls
on all alike. Numbers of the heads are fitted on the bundle's golden windows.
Writes JSON with raw values and prints a table.

Usage: bench_heads.py BUNDLE RECORDING OUTPUT [ROUNDS]
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from bench_detector import Stream, push_each, readings

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.codec import canonical_json, encode
from edge_ad.detect.heads import Head, Heads
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.scaler import Scaler
from edge_ad.runtime.interpreter import interpreter_version
from edge_ad.toolchain.detector_settings import DetectorSettings, HeadSettings
from edge_ad.toolchain.heads import ScoredWindows, fit_detector

KINDS = {
    "l1": HeadSettings("l1"),
    "q": HeadSettings("q"),
    "t2 of window-mean": HeadSettings("t2"),
    "t2 of residual-mean": HeadSettings("t2", of="residual-mean"),
    "t2, baseline of 3": HeadSettings("t2", baseline=3),
    "t2 of window-moments": HeadSettings("t2", of="window-moments", covariance="per-channel"),
    "t2 of window-moments, follows": HeadSettings(
        "t2", of="window-moments", covariance="per-channel", follow=600
    ),
    "z-max of window-mean": HeadSettings("z-max"),
}


def fitted(bundle: Bundle) -> dict[str, Head]:
    """A head of every kind, fitted on the golden windows."""
    manifest = bundle.manifest
    scaler = Scaler(manifest.scaler.kind, np.array(manifest.scaler.offset), np.array(manifest.scaler.scale))
    windows = scaler.transform(bundle.golden_windows())
    scored = ScoredWindows(windows, windows * np.float32(0.9))
    names = [channel.name for channel in manifest.channels]
    heads = fit_detector(DetectorSettings(tuple(KINDS.values())), names, scored, scored, LimitRule())
    return dict(zip(KINDS, heads.heads, strict=True))


def with_heads(bundle: Bundle, *heads: Head) -> Bundle:
    """The bundle with a detector of these heads; nothing is packed or verified."""
    models = tuple(dataclasses.replace(m, detector=Heads(heads)) for m in bundle.manifest.models)
    return dataclasses.replace(
        bundle, manifest=dataclasses.replace(bundle.manifest, score="heads", models=models)
    )


def main() -> None:
    """Measure, print, write."""
    path, recording, output = (Path(argument) for argument in sys.argv[1:4])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 40
    bundle = bundles.read(path)
    samples, variant = readings(bundle, recording), bundle.manifest.default_variant
    heads = fitted(bundle)
    all_of_them = {"plain": bundle, "plain again": bundle}
    for name, head in heads.items():
        all_of_them[name] = with_heads(bundle, head)
        all_of_them[f"l1 | {name}"] = with_heads(bundle, heads["l1"], head)
    all_of_them["all of them"] = with_heads(bundle, *heads.values())
    streams = {name: Stream(each, variant, samples) for name, each in all_of_them.items()}
    raw: dict[str, list[int]] = {name: [] for name in streams}
    for turn in range(rounds + 2):
        for name, stream in streams.items():
            pushed = push_each(stream)
            if turn >= 2:
                raw[name] += pushed
    written = {name: {k: v for k, v in encode(head).items() if v is not None} for name, head in heads.items()}
    sizes = {name: len(canonical_json(entry)) for name, entry in written.items()}
    pushes = {name: np.percentile(values, (10, 50)) / 1000 for name, values in raw.items()}
    plain = pushes["plain"]

    def more(name: str) -> str:
        return "{:>+10.1f}{:>+8.1f}".format(*(pushes[name] - plain))

    print(f"{variant} on {interpreter_version()}, us: p10 and p50 of {len(raw['plain'])} pushes")
    print(f"{'push without heads':<30}{plain[0]:>10.1f}{plain[1]:>8.1f}")
    print(f"{'the same again':<30}{more('plain again')}")
    print(f"{'head':<30}{'alone p10':>10}{'p50':>8}{'l1 | p10':>10}{'p50':>8}{'bytes':>8}")
    for name in heads:
        print(f"{name:<30}{more(name)}{more(f'l1 | {name}')}{sizes[name]:>8}")
    print(f"{'all of them':<30}{more('all of them')}{'':>18}{sum(sizes.values()):>8}")
    record: dict[str, Any] = {
        "schema": "1.0",
        "machine": encode(machine_facts()),
        "interpreter": interpreter_version(),
        "variant": variant,
        "bytes": sizes,
        "push_ns": raw,
    }
    output.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
