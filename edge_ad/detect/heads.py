"""Detector heads as data: what is computed of a window and its reconstruction, and how the answers are fused.

A head turns a window into a statistic that is large where the window is unlike the normal ones, and into each
channel's share of it. The numbers in it were fitted on the workstation; the device only computes. What they
mean and where the formulas come from is in docs/heads.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

HeadKind = Literal["l1", "t2", "q", "z-max"]
"""`l1`: the channels' mean absolute residuals, added up. `t2`: the squared Mahalanobis distance of the
channels' means (Hotelling's T²). `q`: the channels' mean squared residuals, added up (squared prediction
error). `z-max`: the largest |z| of a channel's mean."""

HeadInput = Literal["residual", "residual-mean", "window-mean", "window-moments"]
"""`residual`: every value of the window less its reconstruction (`l1`, `q`). `residual-mean`, `window-mean`:
the mean over the window of the residuals or of the values, a number per channel (`t2`, `z-max`).
`window-moments`: the means of the values and then their standard deviations, two per channel (`t2`)."""

OF_RECONSTRUCTIONS: tuple[HeadInput, ...] = ("residual", "residual-mean")
"""Inputs that the network has a part in."""

_INPUTS: dict[HeadKind, tuple[HeadInput, ...]] = {
    "l1": ("residual",),
    "q": ("residual",),
    "t2": ("window-mean", "residual-mean", "window-moments"),
    "z-max": ("window-mean", "residual-mean"),
}


def inputs_of(kind: HeadKind) -> tuple[HeadInput, ...]:
    """What a kind of head can be of, its usual choice first."""
    return _INPUTS[kind]


Fusion = Literal["max", "sum"]
"""`max`: the score is that of the head that is furthest up its own scale. `sum`: all of them together."""

MAX_HEADS = 8
LONGEST_FOLLOW = 100_000_000
"""Samples; three years at 1 Hz."""
LARGEST_NUMBER = 1e30
"""Of a center, a root, a spread; far within float64, also when squared."""
LARGEST_SCALE = 1e12
"""Of a head's scale and weight, and one over it the smallest."""


@dataclass(frozen=True)
class Follow:
    """How the center of a head follows what drifts, in a stream and nowhere else. Since schema 1.5.

    After a window whose score is below a share of the UCL, while there is no alarm, the center moves towards
    that window's numbers. It never leaves its reach, nor goes further than `distance`, so that a fault is not
    learned away, however slowly it grows.
    """

    samples: int
    """Time constant: the center moves by one part in so many of what is left."""
    below: float
    """Share of the UCL."""
    reach: tuple[float, ...]
    """Furthest that each number of the center may be from the one that was fitted."""
    distance: float
    """Furthest that all of it may be, as the head measures: the norm of `root (center - fitted)`. Where
    channels move together, a small step apart from each other is a long way."""

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= LONGEST_FOLLOW:
            raise ValueError(f"a center follows in 1 to {LONGEST_FOLLOW} samples")
        if not 0 < self.below <= 1:
            raise ValueError("below must be a share of the UCL, above 0 and at most 1")
        if not self.reach or not all(0 <= number <= LARGEST_NUMBER for number in self.reach):
            raise ValueError(f"reach must be numbers from 0 to {LARGEST_NUMBER:g}")
        if not 0 <= self.distance <= LARGEST_NUMBER:
            raise ValueError(f"distance must be a number from 0 to {LARGEST_NUMBER:g}")


@dataclass(frozen=True)
class Head:
    """One statistic of a window, with its fitted numbers; all of them in scaled units.

    `v` is the mean over the window, per channel, of the values or of the residuals, less the same mean over
    the window's first `baseline` samples for the channels that drift; of moments, the standard deviations
    over the window stand behind the means.
    """

    kind: HeadKind
    of: HeadInput
    scale: float = 1.0
    """What the statistic is divided by before heads are fused: its own limit on the limit windows."""
    weight: float = 1.0
    """What the quotient is multiplied with."""
    center: tuple[float, ...] = ()
    """Mean of `v` in the fit windows; of `t2` and `z-max`."""
    root: tuple[tuple[float, ...], ...] = ()
    """Of `t2`: the symmetric root of the precision matrix, its lower triangle row by row: row `i` has `i + 1`
    numbers. The statistic is the sum of the squares of `root (v - center)`."""
    spread: tuple[float, ...] = ()
    """Of `z-max`: standard deviation of `v`, a number per channel, above zero."""
    baseline: int = 0
    """Number of first samples of the window whose mean is taken off, so that slow drift cancels; 0: none."""
    drifting: tuple[bool, ...] = ()
    """Of which channels it is taken off; empty: of all."""
    channels: tuple[bool, ...] = ()
    """Which channels the head looks at; empty: all. The others contribute nothing."""
    follow: Follow | None = None
    """Of `t2`: how the center follows; None: it stays. Since schema 1.5; not written where there is none."""

    def __post_init__(self) -> None:
        of_means = self.kind in ("t2", "z-max")
        if self.of not in inputs_of(self.kind):
            allowed = " or ".join(inputs_of(self.kind))
            raise ValueError(f"a head {self.kind} is of {allowed}, not of {self.of}")
        if (self.baseline or self.drifting) and (not of_means or self.of == "window-moments"):
            raise ValueError(f"a head {self.kind} of {self.of} takes no means, and so no baseline off them")
        if self.baseline < 0 or (self.drifting and not self.baseline):
            raise ValueError("baseline must be a number of samples, and at least 1 where channels drift")
        for name, value in (("scale", self.scale), ("weight", self.weight)):
            if not 1 / LARGEST_SCALE <= value <= LARGEST_SCALE:
                raise ValueError(f"{name} must lie between {1 / LARGEST_SCALE:g} and {LARGEST_SCALE:g}")
        self._check_numbers()
        if any(mask and not any(mask) for mask in (self.channels, self.drifting)):
            raise ValueError("a head must look at a channel at least, and one at least must drift, if any")
        if self.follow is not None and (self.kind != "t2" or len(self.follow.reach) != len(self.center)):
            raise ValueError("the center of a t2 alone follows, and reach has as many numbers as it")

    def _check_numbers(self) -> None:
        """Whether those are there that the kind has, and can be computed with."""
        of_means = self.kind in ("t2", "z-max")
        if bool(self.center) != of_means or bool(self.root) != (self.kind == "t2"):
            raise ValueError("center belongs to t2 and z-max, root to t2, and to no other head")
        if bool(self.spread) != (self.kind == "z-max"):
            raise ValueError("spread belongs to z-max, and to no other head")
        if any(len(row) != i + 1 for i, row in enumerate(self.root)):
            raise ValueError("root must be a lower triangle: row i has i + 1 numbers")
        numbers = [*self.center, *(number for row in self.root for number in row), *self.spread]
        if not all(abs(number) <= LARGEST_NUMBER for number in numbers):
            raise ValueError(f"the numbers of a head must not exceed {LARGEST_NUMBER:g}")
        if not all(number >= 1 / LARGEST_NUMBER for number in self.spread):
            raise ValueError("every spread must be above zero")
        seen = self.channels * self.per_channel
        if any(n and seen and not (seen[i] and seen[j]) for i, j, n in _cells(self.root, len(seen))):
            raise ValueError("the root of a channel that the head does not look at must be zero")

    @property
    def per_channel(self) -> int:
        """Numbers of `v` for every channel."""
        return 2 if self.of == "window-moments" else 1

    @property
    def needs_network(self) -> bool:
        """Whether the reconstruction takes part in it."""
        return self.of in OF_RECONSTRUCTIONS

    def misfit(self, window_length: int, n_channels: int) -> str:
        """What does not fit windows of that size, in words; empty where everything does."""
        for name in ("center", "root", "spread", "drifting", "channels"):
            size = len(getattr(self, name)) / (self.per_channel if name in ("center", "root") else 1)
            if size not in (0, n_channels):
                return f"{name} has {size:g} channels, the bundle {n_channels}"
        if self.baseline >= window_length:
            return f"a baseline of {self.baseline} samples leaves nothing of a window of {window_length}"
        return ""

    def text(self) -> str:
        """What it is, in a few words: `t2 of window-mean`."""
        baseline = f" less the first {self.baseline} samples" if self.baseline else ""
        some = f", {sum(self.channels)} of the channels" if self.channels else ""
        follows = f", center follows in {self.follow.samples} samples" if self.follow else ""
        weight = f", weight {self.weight:g}" if self.weight != 1 else ""
        return f"{self.kind} of {self.of}{baseline}{some}{follows}{weight}"


def _cells(root: tuple[tuple[float, ...], ...], n_channels: int) -> list[tuple[int, int, float]]:
    """Row, column and number of what a root has within so many channels."""
    return [(i, j, number) for i, row in enumerate(root[:n_channels]) for j, number in enumerate(row)]


@dataclass(frozen=True)
class Heads:
    """The detector of a model: its heads, and how their statistics become one score.

    The score is the largest, or the sum, of `weight * statistic / scale`; contributions are scaled alike, so
    that they add up to it.
    """

    heads: tuple[Head, ...]
    fusion: Fusion = "max"

    def __post_init__(self) -> None:
        if not 1 <= len(self.heads) <= MAX_HEADS:
            raise ValueError(f"a detector has 1 to {MAX_HEADS} heads")

    @property
    def needs_network(self) -> bool:
        """Whether a reconstruction takes part in the score."""
        return any(head.needs_network for head in self.heads)

    @property
    def follows(self) -> bool:
        """Whether a center follows, so that a score in a stream depends on what came before."""
        return any(head.follow for head in self.heads)

    def misfit(self, window_length: int, n_channels: int) -> str:
        """What does not fit windows of that size, in words; empty where everything does."""
        for index, head in enumerate(self.heads):
            if problem := head.misfit(window_length, n_channels):
                return f"head {index} ({head.kind}): {problem}"
        return ""

    def text(self) -> str:
        """What it is, in a line of words."""
        names = [head.text() for head in self.heads]
        return names[0] if len(names) == 1 else f"{self.fusion} of {' | '.join(names)}"


def symmetric(triangle: tuple[tuple[float, ...], ...]) -> NDArray[np.float64]:
    """The symmetric matrix `(n, n)` of its lower triangle."""
    matrix = np.zeros((len(triangle), len(triangle)))
    for index, row in enumerate(triangle):
        matrix[index, : index + 1] = row
        matrix[: index + 1, index] = row
    return matrix
