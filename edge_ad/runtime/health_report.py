"""What an agent tells a fleet of an asset now and then: how its stream has been doing, with which bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge_ad import __version__
from edge_ad.bundle.codec import encode
from edge_ad.runtime.health import HealthSummary

if TYPE_CHECKING:
    from edge_ad.runtime.snapshot import AssetSnapshot

SCHEMA = "1.0"


@dataclass(frozen=True)
class HealthReport:
    """One asset at one moment. As JSON it has these names."""

    schema: str
    time: str
    """By the device's clock: ISO 8601, UTC."""
    agent: str
    asset: str
    version: str
    """Of edge_ad there."""
    state: str
    """As in AssetSnapshot."""
    reason: str | None
    bundle_id: str | None
    """None while no bundle is in service."""
    build_number: int | None
    overlay_id: str | None
    variant: str | None
    engine: str | None
    stamp: str | None
    """Time of the newest decision, as the stream writes it."""
    score: float | None
    ucl: float | None
    health: HealthSummary | None

    def text(self) -> str:
        """As JSON."""
        return json.dumps(encode(self), separators=(",", ":"), ensure_ascii=False)


def health_report(agent: str, asset: AssetSnapshot) -> HealthReport:
    """Of an asset as it is now."""
    service = asset.service
    return HealthReport(
        schema=SCHEMA,
        time=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        agent=agent,
        asset=asset.name,
        version=__version__,
        state=asset.state,
        reason=asset.reason,
        bundle_id=None if service is None else service.bundle_id,
        build_number=None if service is None else service.build_number,
        overlay_id=None if service is None else service.overlay_id,
        variant=None if service is None else service.variant,
        engine=None if service is None else service.engine,
        stamp=asset.stamp,
        score=asset.score,
        ucl=None if service is None else service.ucl,
        health=asset.health,
    )
