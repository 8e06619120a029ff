"""Choosing the ranges of an integer-only model: how much headroom above what training windows need.

Ranges of the training windows alone cut anomalies off; ranges too wide leave too few of the 256 steps for
what is normal. The choice between them is searched on synthetic anomalies, without a label or a test row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Calibration, CalibrationPoint, Quantization
from edge_ad.errors import ConversionError, EdgeAdError, InterpreterError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.convert.admission import check_admissible
from edge_ad.toolchain.convert.integer import integer_model, quantize_ranges
from edge_ad.toolchain.convert.stress import synthetic_anomalies
from edge_ad.toolchain.oracle import Trace, reconstruct, window_scores

Reconstruct = Callable[[NDArray[np.float32]], NDArray[np.floating]]

HEADROOMS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
"""Factors on the training windows, whose ranges are then taken."""
GROUPS = ("all", "input", "cells", "sums", "output")
"""Quantities that share a headroom. The search takes one for all first, then one group after the other."""
_LARGEST_SEARCH = 128  # training windows that the search makes anomalies from,
_MOST_SAMPLES = 12_800  # or as many as these samples are, since time grows with both
_FULL_ALARM = 2.0  # a score of twice the UCL is an alarm, and no more of one beyond


def calibrated_model(
    architecture: Architecture, weights: Weights, windows: NDArray[np.float32]
) -> tuple[bytes, Calibration]:
    """The integer-only model with the best headrooms for `(n, window_length, n_channels)` scaled training
    windows. Raises ConversionError where there are none, or no headroom gives a model that a device can run.
    """
    if not len(windows):
        raise ConversionError("an int8-full model needs training windows to calibrate on; there are none")
    search = _Search(architecture, weights, windows)
    headrooms = search.run()
    content = search.model(headrooms)
    return content, Calibration(headrooms, search.errors[_key(headrooms)], tuple(search.curve))


class _Search:
    """Coordinate descent over the groups; every candidate is a real model that is really run.

    A relu LSTM can grow from step to step, and its ranges with it, so far that no integer stands for
    them. A candidate that a device would refuse is left out and never run: it could end the process.
    """

    def __init__(self, architecture: Architecture, weights: Weights, windows: NDArray[np.float32]) -> None:
        self._architecture, self._weights, self._windows = architecture, weights, windows
        self._largest = 0.0
        self._ranges = {headroom: self._traced(headroom) for headroom in HEADROOMS}
        most = max(1, min(_LARGEST_SEARCH, _MOST_SAMPLES // architecture.window_length))
        step = -(-len(windows) // most)
        there = {_group(name) for name in self._ranges[HEADROOMS[0]]}
        self._groups = [group for group in GROUPS[1:] if group in there]
        self._normal = windows[::step]
        self._unlike = synthetic_anomalies(windows[::step])
        self._expected = self._alarm_levels(lambda w: reconstruct(architecture, weights, w))
        self.errors: dict[tuple[float, ...], float] = {}
        """Of the candidates that can be run."""
        self._refused: dict[tuple[float, ...], EdgeAdError] = {}
        self.curve: list[CalibrationPoint] = []

    def run(self) -> dict[str, float]:
        """Headrooms by group. Raises ConversionError where no candidate can be run."""
        best = self._best(dict.fromkeys(self._groups, 1.0), "all")
        for group in self._groups:
            best = self._best(best, group)
        return best

    def _best(self, start: dict[str, float], group: str) -> dict[str, float]:
        candidates = []
        for headroom in HEADROOMS:
            chosen = dict.fromkeys(start, headroom) if group == "all" else {**start, group: headroom}
            error = self._error(chosen)
            if error is not None:
                candidates.append((error, chosen))
                self.curve.append(CalibrationPoint(group, headroom, error))
        if not candidates:
            raise self._no_model()
        return min(candidates, key=lambda candidate: candidate[0])[1]

    def _error(self, headrooms: dict[str, float]) -> float | None:
        """How far a candidate's alarm levels are from the network's; None where it cannot be run."""
        key = _key(headrooms)
        if key in self._refused:
            return None
        if key not in self.errors:
            try:
                model = ReconstructionModel(self.model(headrooms))
            except (ConversionError, InterpreterError) as error:
                self._refused[key] = error
                return None
            levels = self._alarm_levels(lambda w: np.array([model.reconstruct(window) for window in w]))
            self.errors[key] = float(np.abs(levels - self._expected).mean())
        return self.errors[key]

    def model(self, headrooms: dict[str, float]) -> bytes:
        """The model whose quantities have the ranges of their group's headroom.

        Raises ConversionError for one that a device would refuse.
        """
        names = self._ranges[HEADROOMS[0]]
        ranges = {name: self._ranges[headrooms[_group(name)]][name] for name in names}
        content = integer_model(self._architecture, self._weights, ranges)
        check_admissible(self._architecture, content, ends=(ranges["input"], ranges["output"]))
        return content

    def _no_model(self) -> ConversionError:
        reason = next(iter(self._refused.values()))
        return ConversionError(
            f"integers cannot hold this model: within a window of {self._architecture.window_length} samples "
            f"its values grow to {self._largest:.1e} ({reason}); train it with a shorter --window, or leave "
            "int8-full out of --precisions: float32 and int8 compute on floats"
        )

    def _traced(self, headroom: float) -> dict[str, Quantization]:
        trace = Trace()
        reconstruct(self._architecture, self._weights, self._windows * np.float32(headroom), trace)
        if headroom == HEADROOMS[0]:
            self._largest = max(*trace.high.values(), *(-low for low in trace.low.values()))
        return quantize_ranges(trace, self._architecture.activation)

    def _alarm_levels(self, network: Reconstruct) -> NDArray[np.float64]:
        """Scores of the synthetic anomalies over the 99th percentile of normal ones, times 1.5, cut."""
        with np.errstate(over="ignore", invalid="ignore"):
            limit = np.percentile(window_scores(self._normal, network(self._normal)), 99) * 1.5
            levels = window_scores(self._unlike, network(self._unlike)) / max(limit, 1e-9)
        # What has grown beyond all numbers is an alarm too.
        cut: NDArray[np.float64] = np.minimum(np.nan_to_num(levels, nan=_FULL_ALARM), _FULL_ALARM)
        return cut


def _key(headrooms: dict[str, float]) -> tuple[float, ...]:
    return tuple(headrooms.values())


def _group(name: str) -> str:
    if name in ("input", "output"):
        return name
    quantity = name.split(".")[1]
    return "cells" if quantity in ("added", "kept", "cell", "shown", "hidden") else "sums"
