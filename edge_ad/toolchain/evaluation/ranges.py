"""Precision and recall of ranges instead of rows: the affiliation metrics, by telemeval.

Huet, Navarro, Rossi: "Local Evaluation of Time Series Anomaly Detection Algorithms", KDD 2022. Every labelled
anomaly has the part of the recording that is nearest to it. There, precision asks how near alarms are to the
anomaly, recall how near the anomaly is to an alarm, each as the share of rows chosen at random that would be
further away: 1 is a hit, and alarms at random places have a precision about 0.5. No anomaly counts more for
being long. telemeval keeps the authors' own implementation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.episodes import episodes


@dataclass(frozen=True)
class Affiliation:
    """Of the part of a recording that belongs to one labelled anomaly."""

    precision: float | None
    """0…1; None where there is no alarm in that part."""
    recall: float
    """0…1; 0 where there is no alarm in that part."""


def affiliations(labels: NDArray[np.bool_], alarms: NDArray[np.bool_]) -> tuple[Affiliation, ...]:
    """One for each labelled anomaly of `(n,)` rows, in their order. A row stands for one step in time."""
    labelled = episodes(labels)
    if not labelled:
        return ()
    import pandas as pd
    from telemeval import build_metric_inputs, score_affiliation, validate_labels

    # Row numbers as times: telemeval counts in rows as well, and gaps in a recording are nobody's anomaly.
    clock = pd.date_range("2000-01-01", periods=len(labels), freq="s")
    events = pd.DataFrame(
        {
            "ID": [str(number) for number in range(len(labelled))],
            "Channel": "recording",
            "StartTime": clock[[start for start, _ in labelled]],
            "EndTime": clock[[end - 1 for _, end in labelled]],
        }
    )
    decisions = pd.DataFrame({"Timestamp": clock, "Score": alarms.astype(np.uint8)})
    found = score_affiliation(build_metric_inputs(validate_labels(events), {"recording": decisions}), beta=1)
    pairs = zip(
        found["individual_precision_probabilities"], found["individual_recall_probabilities"], strict=True
    )
    return tuple(Affiliation(precision, recall or 0.0) for precision, recall in pairs)


def affiliation_figures(
    parts: Sequence[Affiliation],
) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and their harmonic mean over the anomalies of all recordings; None where undefined.

    The precision is the mean over those parts that have an alarm, the recall the mean over all.
    """
    precisions = [part.precision for part in parts if part.precision is not None]
    precision = math.fsum(precisions) / len(precisions) if precisions else None
    recall = math.fsum(part.recall for part in parts) / len(parts) if parts else None
    if precision is None or recall is None or precision + recall == 0:
        return precision, recall, None
    return precision, recall, 2 * precision * recall / (precision + recall)
