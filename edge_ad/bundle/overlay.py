"""An overlay: limits, and perhaps a scaler, derived on the device for a bundle that stays as it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from edge_ad.bundle.archive import sha256
from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.bundle.manifest import BudgetEntry, ScalerEntry
from edge_ad.detect.window import LARGEST_VALUE
from edge_ad.errors import BundleManifestError, BundleMismatchError, BundleVersionError

OVERLAY_SCHEMA = "1.0"
MAX_OVERLAY_BYTES = 2**20


@dataclass(frozen=True)
class NewLimit:
    """The UCL of one variant, before and after."""

    variant: str
    old_ucl: float
    new_ucl: float
    n_windows: int
    """Whole windows of the samples that were scored."""
    score_quantiles: tuple[float, ...] = ()
    """Quantiles of their scores at equal steps from 0 to 1."""

    def __post_init__(self) -> None:
        if self.n_windows < 1:
            raise ValueError("n_windows must be at least 1")
        if not 0 < self.new_ucl < LARGEST_VALUE:
            raise ValueError("a UCL must be above zero, and sane")


@dataclass(frozen=True)
class Overlay:
    """What replaces entries of a bundle's manifest, and where it comes from."""

    schema: str
    bundle_id: str
    asset: str
    created: str
    """ISO 8601, UTC."""
    by: str
    """Account that derived it."""
    samples_sha256: str
    """SHA-256 of the file of normal samples."""
    n_samples: int
    n_unusable: int
    """Samples among them that could not enter a window."""
    limits: tuple[NewLimit, ...]
    """One for each variant of the bundle."""
    old_scaler: ScalerEntry | None = None
    new_scaler: ScalerEntry | None = None
    """None where the bundle's scaler stays."""

    def text(self) -> str:
        """What it changes and where it comes from, on one line."""
        limits = ", ".join(f"{x.variant} UCL {x.old_ucl:.6g} -> {x.new_ucl:.6g}" for x in self.limits)
        scaler = "" if self.new_scaler is None else ", with a scaler of its own"
        samples = f"{self.n_samples} samples with SHA-256 {self.samples_sha256}"
        return f"by {self.by}, from {samples}: {limits}{scaler}"


def overlay_bytes(overlay: Overlay) -> bytes:
    """Canonical JSON of an overlay: what is signed, and what its id is the digest of."""
    return canonical_json(encode(overlay))


def overlay_id(content: bytes) -> str:
    """SHA-256 of an overlay's bytes."""
    return sha256(content)


def parse_overlay(content: bytes) -> Overlay:
    """Read an overlay. Raises BundleVersionError, BundleManifestError."""
    try:
        if len(content) > MAX_OVERLAY_BYTES:
            raise DecodeError("it is too long")
        plain = parse_json(content)
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if not isinstance(schema, str) or schema.partition(".")[0] != OVERLAY_SCHEMA.partition(".")[0]:
            raise BundleVersionError(
                f"the overlay has schema {schema!r}, this edge_ad reads {OVERLAY_SCHEMA}: derive it anew"
            )
        return decode(Overlay, plain)
    except DecodeError as error:
        raise BundleManifestError(f"the overlay is not valid: {error}") from error


def _anew(budget: BudgetEntry | None) -> BudgetEntry | None:
    """The budget of a limit that was derived anew: by its own rule, without which there would be none."""
    return None if budget is None else dataclasses.replace(budget, fallback="")


def overlaid(bundle: Bundle, overlay: Overlay) -> Bundle:
    """The bundle as the overlay has it run; its golden scores are those of the original all the same.

    Raises BundleMismatchError for an overlay of another bundle or one that leaves out a variant.
    """
    manifest = bundle.manifest
    if overlay.bundle_id != manifest.bundle_id or overlay.asset != manifest.asset:
        raise BundleMismatchError(
            f"the overlay belongs to bundle {overlay.bundle_id[:12]} of {overlay.asset}, this is "
            f"{manifest.bundle_id[:12]} of {manifest.asset}"
        )
    limits = {limit.variant: limit for limit in overlay.limits}
    old = {variant.name: variant.limit.ucl for variant in manifest.variants}
    if len(overlay.limits) != len(limits) or set(limits) != set(old):
        raise BundleMismatchError("the overlay must have one limit for each variant of the bundle")
    if any(limits[name].old_ucl != ucl for name, ucl in old.items()):
        raise BundleMismatchError("the overlay says another limit was in the bundle than there is")
    if (overlay.old_scaler or manifest.scaler) != manifest.scaler:
        raise BundleMismatchError("the overlay says another scaler was in the bundle than there is")
    scaler = overlay.new_scaler or manifest.scaler
    sizes = {len(scaler.offset), len(scaler.scale), len(manifest.channels)}
    if len(sizes) != 1 or not all(scale > 0 for scale in scaler.scale):
        raise BundleMismatchError("the overlay's scaler does not fit the bundle's channels")
    variants = tuple(
        dataclasses.replace(
            variant,
            limit=dataclasses.replace(
                variant.limit,
                ucl=limits[variant.name].new_ucl,
                n_train_windows=limits[variant.name].n_windows,
                score_quantiles=limits[variant.name].score_quantiles,
                budget=_anew(variant.limit.budget),
            ),
        )
        for variant in manifest.variants
    )
    return dataclasses.replace(
        bundle, manifest=dataclasses.replace(manifest, scaler=scaler, variants=variants)
    )
