"""New limits from normal samples recorded where the bundle runs, without training anything."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.archive import sha256
from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.manifest import CsvFormat, Manifest, ScalerEntry, VariantEntry
from edge_ad.bundle.overlay import OVERLAY_SCHEMA, NewLimit, Overlay
from edge_ad.detect.budget import Sampling
from edge_ad.detect.limit import score_quantiles
from edge_ad.detect.scaler import fit_scaler
from edge_ad.detect.window import usable
from edge_ad.errors import DataError
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.sources.csv_lines import CsvLines, Sample

LARGEST_CHANGE = 3.0
"""A limit that moves by a larger factor says that the samples were not normal, or the machine is another."""
LARGEST_SHIFT = 10.0
"""In old scales: by how much a channel's level may have moved."""
FEWEST_WINDOWS = 100
"""Fewer say nothing of the 99th percentile."""


def derive_overlay(
    bundle: Bundle,
    samples_file: Path,
    *,
    with_scaler: bool,
    by: str,
    created: str,
    layout: CsvFormat | None = None,
    force: bool = False,
) -> Overlay:
    """The limits that the bundle's own rule gives for the windows of a CSV file of normal samples.

    Every variant is scored with the shipped model, its heads being as they are, and gets the limit that the
    rule it was built with gives: `percentile(scores) * factor`, or what keeps its budget of false alarms.
    `with_scaler` fits the scaler to the samples first.
    Raises DataError: too few whole windows, or (unless `force`) a limit or a scale that moves by more than
    a factor of three, scores whose tail cannot be fitted though the rule asks for it, or samples of which
    more than a tenth cannot be used.
    """
    content = _read(samples_file)
    manifest = bundle.manifest
    columns = [channel.name for channel in manifest.channels]
    lines = content.decode(errors="replace").splitlines(keepends=True)
    samples = list(CsvLines(lines, layout or manifest.input, columns, name=str(samples_file), strict=False))
    values = np.array([s.values for s in samples if s.problem is None], np.float64)
    values = values[usable(values)] if len(values) else values
    n_unusable = len(samples) - len(values)
    if n_unusable * 10 > len(samples) and not force:
        raise DataError(
            f"{samples_file}: {n_unusable} of {len(samples)} samples cannot be used; record again, or use "
            "--force"
        )
    new_scaler = None
    if with_scaler and len(values):
        scaler = fit_scaler(manifest.scaler.kind, values)
        new_scaler = ScalerEntry(scaler.kind, tuple(scaler.offset.tolist()), tuple(scaler.scale.tolist()))
        if not force:
            _check_scaler(manifest, new_scaler)
        manifest = dataclasses.replace(manifest, scaler=new_scaler)
    running = dataclasses.replace(bundle, manifest=manifest)
    limits = []
    for variant in manifest.variants:
        scores, faults = _scores(running, variant.name, samples)
        if len(scores) < FEWEST_WINDOWS:
            why = ", ".join(f"{kind} {n}" for kind, n in faults.most_common())
            raise DataError(
                f"{samples_file} has {len(scores)} whole windows{f' ({why})' if why else ''}; a limit needs "
                f"{FEWEST_WINDOWS} at least, better some thousands"
            )
        limits.append(_new_limit(variant, scores, manifest.sampling, force=force))
    return Overlay(
        schema=OVERLAY_SCHEMA,
        bundle_id=manifest.bundle_id,
        asset=manifest.asset,
        created=created,
        by=by,
        samples_sha256=sha256(content),
        n_samples=len(samples),
        n_unusable=n_unusable,
        limits=tuple(limits),
        old_scaler=bundle.manifest.scaler if new_scaler else None,
        new_scaler=new_scaler,
    )


def _new_limit(
    variant: VariantEntry, scores: NDArray[np.float64], sampling: Sampling, *, force: bool
) -> NewLimit:
    limit = variant.limit
    try:
        found = limit.rule.find(scores, sampling)
    except ValueError as error:  # a bundle's percentile may be none
        raise DataError(f"{variant.name}: {error}") from error
    if found.fallback and not force:
        raise DataError(
            f"{variant.name}: {found.fallback}. Record more normal operation, or take that limit with --force"
        )
    ucl = found.ucl
    if not ucl > 0 or (not 1 / LARGEST_CHANGE <= ucl / limit.ucl <= LARGEST_CHANGE and not force):
        raise DataError(
            f"{variant.name}: the limit would go from {limit.ucl:.6g} to {ucl:.6g}, more than a factor "
            f"of {LARGEST_CHANGE:g}: are these samples of normal operation, in the units of the "
            "recordings it was trained on? If so: --scaler for a machine with other levels, or --force"
        )
    return NewLimit(variant.name, limit.ucl, ucl, len(scores), score_quantiles(scores))


def _check_scaler(manifest: Manifest, new: ScalerEntry) -> None:
    """Refuse a scaler that says of a channel that it is another one, dead, or full of glitches."""
    old = manifest.scaler
    for index, channel in enumerate(manifest.channels):
        ratio = new.scale[index] / old.scale[index]
        shift = abs(new.offset[index] - old.offset[index]) / old.scale[index]
        if not 1 / LARGEST_CHANGE <= ratio <= LARGEST_CHANGE or shift > LARGEST_SHIFT:
            raise DataError(
                f"channel {channel.name!r}: its scale would go from {old.scale[index]:.6g} to "
                f"{new.scale[index]:.6g}, its offset from {old.offset[index]:.6g} to "
                f"{new.offset[index]:.6g}; is it constant, has it glitches, is it another "
                "sensor? If it is as it should be: --force"
            )


def _scores(
    bundle: Bundle, variant: str, samples: Sequence[Sample]
) -> tuple[NDArray[np.float64], Counter[str]]:
    """Scores of the whole windows, each on its own, and why the others are not whole."""
    detector = Detector.load(bundle, variant, follow=False)  # as the limit was set where it was built
    decisions = (detector.push(sample.values, sample.time, sample.problem) for sample in samples)
    return np.array([d.score for d in decisions if d.score is not None], np.float64), detector.faults


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
