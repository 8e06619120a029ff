"""What speaks against trusting a measurement, and what helps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Weight: TypeAlias = Literal["void", "doubt", "note"]
Trust: TypeAlias = Literal["trusted", "doubtful", "none"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    check: str
    """Which: a short name that stays the same from version to version."""
    weight: Weight
    """`void`: the durations mean nothing. `doubt`: measured again they may well differ. `note`: to be kept
    in mind."""
    text: str
    """What was found, and what it means."""
    fix: tuple[str, ...] = ()
    """Commands, or steps, in the order to take them."""


def trust_of(findings: Iterable[Finding]) -> Trust:
    """The verdict: `none` with anything that voids, `doubtful` with a doubt, else `trusted`."""
    weights = {finding.weight for finding in findings}
    if "void" in weights:
        return "none"
    return "doubtful" if "doubt" in weights else "trusted"
