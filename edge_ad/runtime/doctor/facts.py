"""What the probe, a process that may die of what it tries, says about engines and store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Trouble: TypeAlias = Literal["", "inactive", "state", "bundle", "trust", "dependency", "overlay", "score"]


@dataclass(frozen=True)
class NumpyFact:
    """numpy, as far as importing it got."""

    version: str = ""
    """Empty where it does not import."""
    problem: str = ""


@dataclass(frozen=True)
class EngineFact:
    """One engine that is installed, tried with the model of `check_model`."""

    name: str
    in_use: bool
    """Whether it is the one that runs models here."""
    problem: str = ""
    signal: str = ""
    """Name of the signal that it died of, such as `SIGILL`."""


@dataclass(frozen=True)
class KeysFact:
    """Whom the store trusts."""

    trusted: int = 0
    revoked: int = 0
    required: bool = False
    problem: str = ""


@dataclass(frozen=True)
class AssetFact:
    """One asset of the store."""

    asset: str
    build: int | None = None
    """Build number of the active bundle."""
    trial_starts: int | None = None
    """How often the active bundle was started without having proven itself; None once it has."""
    given_up: tuple[str, ...] = ()
    """Bundles that were rolled back from, and why."""
    trouble: Trouble = ""
    """What kind of `problem` there is."""
    problem: str = ""


@dataclass(frozen=True)
class StoreFact:
    """The store as a whole."""

    n_assets: int = 0
    problem: str = ""


@dataclass(frozen=True)
class ProbeFacts:
    """All that the probe said before it ended."""

    numpy: NumpyFact | None = None
    engines: tuple[EngineFact, ...] = ()
    engine_problem: str = ""
    """Why it is not known which engine is in use."""
    store: StoreFact | None = None
    """None where there is no store, or it was not reached."""
    keys: KeysFact | None = None
    assets: tuple[AssetFact, ...] = ()
    step: str = ""
    """What it did last."""
    ending: str = ""
    """Why that was its end, such as `it died of SIGILL`; empty where it came to a good one."""
