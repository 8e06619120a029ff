"""What one detector did on the test rows of a recording under one rule: raw counts that add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.episodes import episodes
from edge_ad.toolchain.evaluation.nab import Changepoints, changepoints
from edge_ad.toolchain.evaluation.ranges import Affiliation, affiliations
from edge_ad.toolchain.metrics import Confusion, confusion
from edge_ad.toolchain.report.detection import Detection, detection


@dataclass(frozen=True)
class LabelledRows:
    """What somebody said of the rows after a train span, in order of time."""

    times: NDArray[np.float64]
    """`(n,)` seconds since the epoch."""
    labels: NDArray[np.bool_]
    """`(n,)`: the row is anomalous."""
    changepoints: NDArray[np.bool_] | None
    """`(n,)`: the machine's state changed at this row; None where nobody said."""
    period_s: float
    """A row stands for so long."""


@dataclass(frozen=True)
class Tally:
    """Of one recording, or of several together."""

    counts: Confusion = Confusion()
    detection: Detection = Detection((), 0, 0.0)
    n_on_before: int = 0
    """Anomalies at whose first row the alarm was on already since the row before: found by no merit."""
    n_episodes: int = 0
    """Alarm episodes: alarmed rows without a break."""
    affiliations: tuple[Affiliation, ...] = ()
    """One for each anomaly."""
    changepoints: Changepoints = Changepoints()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.counts + other.counts,
            self.detection + other.detection,
            self.n_on_before + other.n_on_before,
            self.n_episodes + other.n_episodes,
            self.affiliations + other.affiliations,
            self.changepoints + other.changepoints,
        )


def tally(rows: LabelledRows, alarms: NDArray[np.bool_]) -> Tally:
    """Judge `(n,)` alarms. Never point-adjusted: an alarm is worth the rows it is on."""
    labels = rows.labels
    starts = [start for start, _ in episodes(labels)]
    return Tally(
        counts=confusion(labels, alarms),
        detection=detection(rows.times, labels, alarms, rows.period_s),
        n_on_before=sum(start > 0 and bool(alarms[start - 1] and alarms[start]) for start in starts),
        n_episodes=len(episodes(alarms)),
        affiliations=affiliations(labels, alarms),
        changepoints=(
            Changepoints()
            if rows.changepoints is None
            else changepoints(rows.times, rows.changepoints, alarms)
        ),
    )
