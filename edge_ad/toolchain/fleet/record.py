"""What a fleet knows of one asset: a line of its index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

AssetState = Literal["pending", "built", "gate-failed", "failed"]
"""`pending`: found in the data, not built yet. `gate-failed`: trained and converted, no bundle was written
because the parity gate failed. `failed`: no models, for the reason in `error`."""

STATES: tuple[AssetState, ...] = get_args(AssetState)


@dataclass(frozen=True)
class AssetRecord:
    """One asset of a fleet, as its last build left it. None where a figure does not exist."""

    asset: str
    source: str
    """Path or URL of the recording."""
    state: AssetState = "pending"
    error: str = ""
    """Why there is no bundle, in words for people; empty where there is one."""
    build_number: int = 0
    """0 before the first build."""
    made: str = ""
    """When the build ended: UTC, `2026-11-29T23:30:00Z`; empty before."""
    bundle_path: str = ""
    """Relative to the fleet's folder; empty without a bundle."""
    bundle_id: str = ""
    sha256: str = ""
    """Of the bundle's bytes."""
    size_bytes: int = 0
    settings_digest: str = ""
    """Of everything besides the data that the bundle depends on, this program's version included."""
    data_digest: str = ""
    """SHA-256 of the recording's file."""
    data_stamp: str = ""
    """What the storage tells of the file without reading it (ETag, time of change, size)."""
    default_variant: str = ""
    ucl: float | None = None
    """Of the default variant."""
    f1: float | None = None
    """Of the default variant under the streaming rule; None without labels."""
    far: float | None = None
    mar: float | None = None
    agreement: float | None = None
    """Share of rows on which the default variant decides as its reference does, the worse of both rules."""
    parity_headroom: float | None = None
    """How near the gate's margins it came: 1 nothing was lost, 0 a margin is used up, below 0 it failed."""
    parity_worst: str = ""
    """The check that had the least headroom: `tiny-int8 agreement streaming`."""
    epochs: int = 0
    """Of the default variant's model."""
    validation_loss: float | None = None
    seconds: float = 0.0
    """Processor time it took."""

    @property
    def is_built(self) -> bool:
        """Whether there is a bundle of this very record."""
        return self.state == "built"

    @property
    def reason(self) -> str:
        """The first whole reason why there is no bundle, on one line; empty where there is one."""
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        if self.state == "gate-failed":  # the gate's first line is a headline, the same for all
            lines = lines[1:] or lines
        return lines[0] if lines else "not built yet" if self.state == "pending" else ""
