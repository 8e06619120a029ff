"""What a build is told of detector heads: which ones, of what, and how they are fused and fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_ad.detect.heads import (
    LARGEST_SCALE,
    LONGEST_FOLLOW,
    MAX_HEADS,
    OF_RECONSTRUCTIONS,
    Fusion,
    HeadInput,
    HeadKind,
    inputs_of,
)
from edge_ad.errors import ConfigurationError

Covariance = Literal["ledoit-wolf", "plain", "per-channel"]


@dataclass(frozen=True)
class HeadSettings:
    """One head that is to be fitted; a table `[[detector.heads]]`."""

    kind: HeadKind
    """`l1`, `t2`, `q` or `z-max`; see docs/heads.md."""
    of: HeadInput | None = None
    """`window-mean` (the default of `t2` and `z-max`) or `residual-mean`, of `t2` also `window-moments`; `l1`
    and `q` are always of the residual."""
    weight: float = 1.0
    baseline: int = 0
    """Take the mean of so many first samples of the window off its mean, so that slow drift cancels."""
    drifting: tuple[str, ...] = ()
    """Names of the channels of which it is taken off; none: of all."""
    channels: tuple[str, ...] = ()
    """Names of the channels that the head looks at; none: at all."""
    covariance: Covariance = "ledoit-wolf"
    """Of `t2`: shrunk towards a multiple of the identity (Ledoit and Wolf 2004), or the windows' own, or that
    with nothing between channels: with several numbers per channel the safest for a short train span."""
    ridge: float = 1e-6
    """Of `t2`: share of the mean variance that is added to every channel's."""

    follow: int = 0
    """Of `t2`: time constant in samples with which the center follows what drifts; 0: it stays."""
    follow_below: float = 0.5
    """It moves after windows whose score is below this share of the UCL, while there is no alarm."""
    follow_cap: float = 3.0
    """Furthest that it moves in all, in standard deviations of each number over the fit windows."""

    def __post_init__(self) -> None:
        means = self.kind in ("t2", "z-max") and self.of != "window-moments"
        if self.of is not None and self.of not in inputs_of(self.kind):
            raise ValueError(
                f"of can be {' or '.join(inputs_of(self.kind))} for a head {self.kind}, not {self.of}"
            )
        if not 1 / LARGEST_SCALE <= self.weight <= LARGEST_SCALE:
            raise ValueError(f"weight must lie between {1 / LARGEST_SCALE:g} and {LARGEST_SCALE:g}")
        if self.baseline < 0 or (self.drifting and not self.baseline):
            raise ValueError("baseline must not be negative, and drifting needs one of at least 1 sample")
        if self.baseline and not means:
            raise ValueError(f"a baseline is for t2 and z-max of means, not for {self.kind} of {self.input}")
        if not 0 <= self.ridge <= 1:
            raise ValueError("ridge must lie between 0 and 1")
        if not 0 <= self.follow <= LONGEST_FOLLOW or (self.follow and self.kind != "t2"):
            raise ValueError(f"follow must be 0 to {LONGEST_FOLLOW} samples, and 0 for all heads but t2")
        if not 0 < self.follow_below <= 1 or not 0 < self.follow_cap <= 100:
            raise ValueError("follow_below must lie above 0 and at most at 1, follow_cap at most at 100")

    @property
    def input(self) -> HeadInput:
        """What it is of, the default filled in."""
        return self.of or inputs_of(self.kind)[0]

    def mask(self, names: Sequence[str], chosen: Sequence[str]) -> tuple[bool, ...]:
        """Which of the channels `names` are chosen; empty where none is. Raises ConfigurationError."""
        for name in chosen:
            if name not in names:
                raise ConfigurationError(
                    f"[detector]: no channel is called {name!r}; there are: {', '.join(names)}"
                )
        return tuple(name in chosen for name in names) if chosen else ()


@dataclass(frozen=True)
class DetectorSettings:
    """The detector of a build, in place of its `score`; the table `[detector]`."""

    heads: tuple[HeadSettings, ...]
    fusion: Fusion = "max"

    def __post_init__(self) -> None:
        if not 1 <= len(self.heads) <= MAX_HEADS:
            raise ValueError(f"heads must be 1 to {MAX_HEADS}")

    def check(self, names: Sequence[str], window_length: int) -> None:
        """Whether the heads fit channels of these names. Raises ConfigurationError."""
        for head in self.heads:
            head.mask(names, head.drifting)
            head.mask(names, head.channels)
            if head.baseline >= window_length:
                raise ConfigurationError(
                    f"[detector]: a baseline of {head.baseline} samples leaves nothing of a window of "
                    f"{window_length}; make it smaller, or the window longer (--window)"
                )


def needs_network(heads: Sequence[HeadSettings]) -> bool:
    """Whether a detector of these heads looks at reconstructions; none: the score is of them."""
    return not heads or any(head.input in OF_RECONSTRUCTIONS for head in heads)
