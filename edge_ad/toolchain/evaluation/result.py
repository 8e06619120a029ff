"""What an evaluation found: raw counts of every detector on every recording, and the figures made of them."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.toolchain.evaluation.figures import Figures, Spread
from edge_ad.toolchain.evaluation.tally import Tally

ALL = "all"
UNTOUCHED = "untouched"
"""The groups whose labels no choice was made on."""


@dataclass(frozen=True)
class RuleResult:
    """Of one recording under one rule."""

    raw: Tally
    figures: Figures


@dataclass(frozen=True)
class AssetResult:
    """What one detector did on one recording."""

    asset: str
    group: str
    rules: dict[str, RuleResult]


@dataclass(frozen=True)
class RunResult:
    """One detector on all recordings."""

    source: str
    """Where its bundles are."""
    seed: int | None
    """Of the training; None where there was none, or where it differs between bundles."""
    assets: tuple[AssetResult, ...]


@dataclass(frozen=True)
class DetectorResult:
    """A detector, once per run."""

    name: str
    what: str
    """How it decides."""
    is_baseline: bool
    runs: tuple[RunResult, ...]


@dataclass(frozen=True)
class ScopeResult:
    """The figures of one detector over some recordings together."""

    scope: str
    """`all`, `untouched`, or a group."""
    detector: str
    rule: str
    figures: dict[str, Spread | None]


@dataclass(frozen=True)
class Evaluation:
    """The whole of it; `--json` prints this."""

    data: str
    preset: str | None
    variant: str
    """The form that was evaluated; it is the first of the detectors."""
    alarm: str
    """What makes an alarm, in words."""
    n_recordings: int
    n_rows: int
    """Labelled rows after the train spans."""
    n_anomalies: int
    anomalous_share: float
    groups: tuple[str, ...]
    untouched: tuple[str, ...]
    """Groups whose labels no choice was made on, where others' were; else empty."""
    choices: tuple[str, ...]
    """How everything was chosen, in sentences."""
    caveats: tuple[str, ...]
    """What must stand beside an F1."""
    scopes: tuple[ScopeResult, ...]
    detectors: tuple[DetectorResult, ...]

    def scope(self, scope: str, detector: str, rule: str) -> dict[str, Spread | None]:
        """The figures of a detector over some recordings together. Raises KeyError where there are none."""
        for found in self.scopes:
            if (found.scope, found.detector, found.rule) == (scope, detector, rule):
                return found.figures
        raise KeyError((scope, detector, rule))
