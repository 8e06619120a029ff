"""Features of a vibration snapshot: one number per signal and feature from some thousand readings.

The same code runs on the workstation and on the device, so that a model sees in service what it was trained
on. Formulas: ISO 13373-2 and any textbook of condition monitoring; `mean-abs` is that of the seed's post.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FeatureKind = Literal["mean-abs", "rms", "kurtosis", "crest-factor", "band-energy"]
"""`mean-abs`: mean of the absolute values. `rms`: root of the mean square. `kurtosis`: fourth central moment
over the squared variance, 3 for noise. `crest-factor`: largest absolute value over the rms. `band-energy`:
the part of the variance that lies in each band of frequencies."""

_MOST_READINGS, _MOST_SIGNALS, _MOST_BANDS = 10_000_000, 256, 64
_LONGEST_NAME = 400


@dataclass(frozen=True)
class SnapshotFeatures:
    """What a snapshot holds, and which features become the channels of a sample."""

    signals: tuple[str, ...]
    """Names of the columns in their order, one per sensor."""
    rows: int = 20_480
    """Readings per signal; a snapshot with another number is refused."""
    rate_hz: float = 20_000.0
    """Readings per second, by which the bands are found."""
    kinds: tuple[FeatureKind, ...] = ("mean-abs",)
    band_edges_hz: tuple[float, ...] = ()
    """Of `band-energy`: a band between each edge and the next, the lower edge included; up to half the rate,
    which belongs to the last band."""
    drop_first_row: bool = False
    """Leave out the first reading, as a reader does that takes it for a line of names."""
    separator: str = "\t"
    """One character between the columns; a run of spaces counts as one."""
    name_format: str = "%Y.%m.%d.%H.%M.%S"
    """strptime pattern of a file's name, which is the time (UTC) at which the snapshot was taken."""

    def __post_init__(self) -> None:
        if not 0 < len(self.signals) <= _MOST_SIGNALS or len(set(self.signals)) < len(self.signals):
            raise ValueError(f"signals must be 1 to {_MOST_SIGNALS} different names")
        if not all(0 < len(name) <= _LONGEST_NAME for name in self.signals):
            raise ValueError(f"a signal needs a name, of at most {_LONGEST_NAME} characters")
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ValueError("kinds must be at least one feature, each once")
        if not 2 <= self.rows <= _MOST_READINGS or self.rows * len(self.signals) > _MOST_READINGS:
            raise ValueError(f"rows must be at least 2, and give at most {_MOST_READINGS} readings")
        if not 0 < self.rate_hz <= 1e9:
            raise ValueError("rate_hz must lie above 0 and at most at 1e9")
        edges = self.band_edges_hz
        if ("band-energy" in self.kinds) != (len(edges) > 1):
            raise ValueError("band-energy and at least two band_edges_hz belong together")
        if len(edges) > _MOST_BANDS or any(not low < high for low, high in pairwise(edges)):
            raise ValueError(f"band_edges_hz must rise, and be at most {_MOST_BANDS}")
        if edges and not 0 <= edges[0] < edges[-1] <= self.rate_hz / 2:
            raise ValueError("band_edges_hz must lie between 0 and half of rate_hz")
        if len(self.separator) != 1 or self.separator in "\r\n+-.0123456789eE_":
            raise ValueError("separator must be one character that is in no number, and no line end")
        if not 0 < len(self.name_format) <= 100 or "%" not in self.name_format or "/" in self.name_format:
            raise ValueError("name_format must be a strptime pattern of at most 100 characters, without /")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels in the order of `extract`: all features of a signal, then the next signal.

        With `mean-abs` alone they are the signals' own names, as in the seed's post.
        """
        if self.kinds == ("mean-abs",):
            return self.signals
        return tuple(f"{signal} {name}" for signal in self.signals for name in self._feature_names())

    def _feature_names(self) -> list[str]:
        bands = [f"{low:g}-{high:g} Hz" for low, high in pairwise(self.band_edges_hz)]
        return [name for kind in self.kinds for name in (bands if kind == "band-energy" else [kind])]

    def extract(self, readings: NDArray[np.float64]) -> NDArray[np.float64]:
        """The features `(n_channels,)` of a snapshot `(rows, n_signals)`, in float64.

        NaN where a feature is not defined: the kurtosis or crest factor of a signal that does not vary, or is
        zero throughout, and whatever a reading that is not finite enters.
        """
        signals = np.ascontiguousarray(readings.T[:, 1:] if self.drop_first_row else readings.T)
        columns: list[NDArray[np.float64]] = []
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for kind in self.kinds:
                if kind == "band-energy":
                    columns += _band_energies(signals, self.rate_hz, self.band_edges_hz)
                else:
                    columns.append(_FEATURES[kind](signals))
        features = np.stack(columns, axis=1).ravel()
        return np.where(np.isfinite(features), features, np.nan)


def _mean_abs(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.abs(signals).mean(axis=1)
    return means


def _rms(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    roots: NDArray[np.float64] = np.sqrt(np.square(signals).mean(axis=1))
    return roots


def _kurtosis(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = np.square(signals - signals.mean(axis=1, keepdims=True))
    varies = np.ptp(signals, axis=1) > 0  # rounding alone gives a constant signal a tiny variance
    quotients = np.square(squares).mean(axis=1) / np.square(squares.mean(axis=1))
    return np.where(varies, quotients, np.nan)


def _crest_factor(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    factors: NDArray[np.float64] = np.abs(signals).max(axis=1) / _rms(signals)
    return factors


_FEATURES = {"mean-abs": _mean_abs, "rms": _rms, "kurtosis": _kurtosis, "crest-factor": _crest_factor}


def _band_energies(
    signals: NDArray[np.float64], rate_hz: float, edges_hz: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    """The variance in each band, `(n_signals,)` each: by Parseval's theorem all bands add up to all of it."""
    n = signals.shape[1]
    spectra = np.fft.rfft(signals - signals.mean(axis=1, keepdims=True), axis=1)
    powers = (np.square(spectra.real) + np.square(spectra.imag)) / n**2
    powers[:, 1 : (n + 1) // 2] *= 2  # each stands for a negative frequency as well
    frequencies = np.arange(powers.shape[1]) * (rate_hz / n)
    bounds = np.searchsorted(frequencies, edges_hz, side="left")
    if edges_hz[-1] == rate_hz / 2:
        bounds[-1] = len(frequencies)
    return [powers[:, first:end].sum(axis=1) for first, end in pairwise(bounds.tolist())]
