"""The streaming detector: sample in, decision out, no look-ahead, constant memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.manifest import Channel
from edge_ad.detect.decision import Decision
from edge_ad.detect.rules import ConsecutiveRule
from edge_ad.detect.scaler import Scaler
from edge_ad.detect.score import ScoreKind, WindowScorer
from edge_ad.detect.window import CLOCK_ERROR_S, LARGEST_VALUE, WindowRing, usable
from edge_ad.errors import BundleMismatchError, BundleModelError, InterpreterError
from edge_ad.runtime.interpreter import ReconstructionModel
from edge_ad.runtime.latency import LatencyRecorder


class WindowModel:
    """Scores windows: scaled window -> reconstruction -> contributions."""

    def __init__(
        self, content: bytes, scaler: Scaler, score: ScoreKind, *, stateful: bool, num_threads: int = 1
    ) -> None:
        """Raises InterpreterError, BundleMismatchError where model and scaler differ in channels."""
        self.scaler = scaler
        self.model = ReconstructionModel(content, stateful=stateful, num_threads=num_threads)
        self.window_length, self.n_channels = self.model.shape
        if len(scaler.scale) != self.n_channels:
            raise BundleMismatchError(
                f"the model has {self.n_channels} channels, the scaler {len(scaler.scale)}"
            )
        self.scorer = WindowScorer(*self.model.shape, score)

    def scores(self, windows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores `(n,)` of `(n, window_length, n_channels)` windows in engineering units."""
        return self.scores_scaled(self.scaler.transform(windows))

    def scores_scaled(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores `(n,)` of `(n, window_length, n_channels)` scaled windows, each on its own."""
        return np.array([self.score(window)[1] for window in windows], np.float64)

    def score(self, window: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """Contributions `(n_channels,)` and score of one scaled window."""
        return self.scorer.score(window, self.model.reconstruct(window))


class Detector:
    """Decides, sample by sample, whether the monitored machine behaves as it was trained.

    >>> detector = Detector.load(bundle)                        # doctest: +SKIP
    >>> for time, sample in stream:                             # doctest: +SKIP
    ...     decision = detector.push(time, sample)              # doctest: +SKIP
    """

    def __init__(
        self,
        model: WindowModel,
        *,
        channels: Sequence[Channel],
        ucl: float,
        k: int,
        largest_gap_s: float,
    ) -> None:
        self.ucl = ucl
        self.latency = LatencyRecorder()
        self._model = model
        self._channels = [channel.name for channel in channels]
        self._largest_gap_s = largest_gap_s
        self._longest_step_s = largest_gap_s + CLOCK_ERROR_S
        self._rule = ConsecutiveRule(k)
        self._ring = WindowRing(model.window_length, model.n_channels)
        self._offset = model.scaler.offset
        self._scale = model.scaler.scale
        self._row = np.empty(model.n_channels, np.float64)
        self.reset()

    @classmethod
    def load(cls, bundle: Bundle, variant: str | None = None, *, num_threads: int = 1) -> Detector:
        """The detector a bundle describes, running `variant` (the bundle's default for None).

        Raises BundleError for a variant that is not there or contradicts the manifest,
        InterpreterError, MissingDependencyError.
        """
        manifest = bundle.manifest
        entry = manifest.variant(variant)
        scaler = Scaler(
            manifest.scaler.kind, np.array(manifest.scaler.offset), np.array(manifest.scaler.scale)
        )
        content = bundle.model(entry.name)
        try:
            model = WindowModel(
                content, scaler, manifest.score, stateful=entry.stateful, num_threads=num_threads
            )
        except InterpreterError as error:
            raise BundleModelError(f"{entry.name}: {error}") from error
        if model.window_length != manifest.window_length:
            raise BundleMismatchError(
                f"{entry.name}: the model's window is {model.window_length}, "
                f"the manifest's {manifest.window_length}"
            )
        return cls(
            model,
            channels=manifest.channels,
            ucl=entry.limit.ucl,
            k=manifest.alarm_rule.k,
            largest_gap_s=manifest.largest_gap_s,
        )

    def score_windows(self, windows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores `(n,)` of `(n, window_length, n_channels)` engineering-unit windows, off the stream."""
        return self._model.scores(windows)

    def bare_invoke(self, window: NDArray[np.floating]) -> Callable[[], None]:
        """What the interpreter alone costs, for benchmarks: its invoke on one window, and no more.

        `window` is `(window_length, n_channels)` in engineering units.
        """
        return self._model.model.bare_invoke(self._model.scaler.transform(window))

    def reset(self) -> None:
        """Forget the stream so far, as if newly loaded. Latency counts stay."""
        self._ring.clear()
        self._rule.reset()
        self._seen = 0
        self._last_time = -math.inf
        self._broken_by: str | None = None

    def push(
        self, time: float, sample: Sequence[float] | NDArray[np.floating], problem: str | None = None
    ) -> Decision | None:
        """Take in one sample: `time` in seconds since the epoch, `(n_channels,)` engineering units.

        `problem` says why a source could not read the sample; its values are then ignored.
        Returns None for the first `window_length - 1` samples, a decision for every later one.
        The state is `unknown`, with a reason, while the last `window_length` samples are not all
        there: after a value that is not finite, a step in time longer than the largest gap, or a
        clock set back. A sample whose time stamp repeats the previous one is left out.
        """
        start = perf_counter_ns()
        self._seen += 1
        step = time - self._last_time
        if problem is not None or not step > 0 or step > self._longest_step_s:
            unusable = self._examine(time, step, problem)
            if unusable:
                return self._unknown(time, unusable)
        self._last_time = time
        # The sum finds what no window may hold: NaN and infinity stay, an absurd value makes it large.
        # Python's own numbers, since numpy costs more for a handful of them.
        if isinstance(sample, np.ndarray):
            sample = sample.tolist()
        if not sum(map(abs, sample)) < LARGEST_VALUE and (names := self._not_finite(sample)):
            return self._unknown(time, self._break(f"not-finite: {names}"))
        row = self._row
        row[:] = sample
        np.subtract(row, self._offset, row)
        np.divide(row, self._scale, row)
        window = self._ring.push(row)
        if window is None:
            return self._unknown(time, self._refilling())
        self._broken_by = None
        scaled = perf_counter_ns()
        reconstruction = self._model.model.reconstruct(window)
        inferred = perf_counter_ns()
        shares, score = self._model.scorer.score(window, reconstruction)
        scored = perf_counter_ns()
        if not math.isfinite(score):
            return self._unknown(time, "not-finite: the score, from values far out of range")
        alarm = self._rule.update(score > self.ucl)
        decision = Decision(time, "alarm" if alarm else "normal", score, self.ucl, shares)
        self.latency.add(start, scaled, inferred, scored, perf_counter_ns())
        return decision

    def _examine(self, time: float, step: float, problem: str | None) -> str | None:
        """Why the sample cannot enter a window, or None where it can (perhaps as a new one's first)."""
        if problem is not None:
            if math.isfinite(time) and step > 0:
                self._last_time = time
            return self._break(f"unreadable: {problem}")
        if not math.isfinite(time):
            return self._break("unreadable: the time stamp is not a finite number")
        if step == 0:
            return "time-repeated: left out"
        if step < 0:
            self._break(f"time-backwards: {-step:g} s")
        elif self._last_time > -math.inf:
            self._break(f"gap: {step:g} s, the largest allowed is {self._largest_gap_s:g} s")
        return None

    def _break(self, reason: str) -> str:
        """Start a new window after this sample (or with it); remember why."""
        self._ring.clear()
        self._broken_by = reason
        return reason

    def _refilling(self) -> str:
        filled = f"{self._ring.filled} of {self._model.window_length} samples"
        return f"refilling: {filled} since {self._broken_by}" if self._broken_by else f"warming: {filled}"

    def _unknown(self, time: float, reason: str) -> Decision | None:
        self._rule.reset()
        if self._seen < self._model.window_length:
            return None
        return Decision(time, "unknown", None, self.ucl, None, reason)

    def _not_finite(self, sample: Sequence[float] | NDArray[np.floating]) -> str:
        """Names of the channels with a value that is not usable."""
        bad = ~usable(np.array(sample, np.float64, ndmin=2).T)
        return ", ".join(n for n, is_bad in zip(self._channels, bad, strict=True) if is_bad)
