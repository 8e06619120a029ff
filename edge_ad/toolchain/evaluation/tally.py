"""What one detector did on the test rows of a recording under one rule: raw counts that add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.episodes import episodes, joined_episodes
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
    """Alarm episodes: as a device counts them, its hold-off included."""
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


@dataclass(frozen=True)
class Alarms:
    """What a detector says of the rows after a train span, in order of time."""

    on: NDArray[np.bool_]
    """`(n,)`: there is an alarm."""
    ending: NDArray[np.bool_]
    """`(n,)`: the row may end an episode; its score is known and within the limit."""
    hold_off_s: float = 0.0
    """An alarm within this time of the last one belongs to the same episode."""


def continuous(on: NDArray[np.bool_]) -> Alarms:
    """Alarms `(n,)` of what has no scores, or no notion of rows without one."""
    return Alarms(on, ~on)


def tally(rows: LabelledRows, alarms: Alarms) -> Tally:
    """Judge `(n,)` alarms. Never point-adjusted: an alarm is worth the rows it is on."""
    labels, on = rows.labels, alarms.on
    alarmed = joined_episodes(rows.times, on, alarms.ending, alarms.hold_off_s)
    starts = [start for start, _ in episodes(labels)]
    return Tally(
        counts=confusion(labels, on),
        detection=detection(rows.times, labels, on, rows.period_s, alarmed),
        n_on_before=sum(start > 0 and bool(on[start - 1] and on[start]) for start in starts),
        n_episodes=len(alarmed),
        affiliations=affiliations(labels, on),
        changepoints=(
            Changepoints() if rows.changepoints is None else changepoints(rows.times, rows.changepoints, on)
        ),
    )
