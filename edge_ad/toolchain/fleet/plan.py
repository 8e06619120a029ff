"""What a fleet is built from and how: the part that is the same for all its assets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.errors import ConfigurationError
from edge_ad.files import write_atomic
from edge_ad.toolchain.datasets.formats import RecordingFormat
from edge_ad.toolchain.settings import BuildSettings
from edge_ad.toolchain.workspace import AssetSource, BuildPlan, step_key

PLAN_FILE = "fleet.json"


@dataclass(frozen=True)
class FleetPlan:
    """The contents of `fleet.json`."""

    dataset: str
    """Path, URL, or `pump://N` for N simulated machines."""
    format: RecordingFormat
    settings: BuildSettings
    preset: str | None = None

    @property
    def settings_digest(self) -> str:
        """Key of everything but the data that a bundle depends on."""
        return step_key(format=self.format, settings=self.settings, preset=self.preset, trainer="stacked")

    def for_asset(self, source: AssetSource | None = None) -> BuildPlan:
        """The plan of a build of one asset, or of none."""
        return BuildPlan(self.format, self.settings, (source,) if source else (), self.preset)


def save_plan(root: Path, plan: FleetPlan) -> None:
    """Write the plan into a fleet's folder. Raises OutputError."""
    write_atomic(root / PLAN_FILE, canonical_json(encode(plan)))


def load_plan(root: Path) -> FleetPlan:
    """The plan of a fleet. Raises ConfigurationError where there is none."""
    try:
        return decode(FleetPlan, parse_json((root / PLAN_FILE).read_bytes()))
    except (OSError, DecodeError) as error:
        raise ConfigurationError(f"{root} holds no usable {PLAN_FILE}: {error}") from error
