"""The streaming detector: sample in, decision out, no look-ahead, constant memory."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.bundle import Bundle
from edge_ad.bundle.manifest import AlarmRuleEntry, Channel
from edge_ad.detect.decision import Decision, State
from edge_ad.detect.numbers import seconds
from edge_ad.detect.quality import Fault, QualityRules, SampleGate
from edge_ad.detect.resample import ResampledWindow
from edge_ad.detect.rules import AlarmRule
from edge_ad.detect.scaler import Scaler
from edge_ad.detect.window import Window
from edge_ad.errors import BundleMismatchError, BundleModelError, InterpreterError
from edge_ad.runtime.journal import FLUSH_EVERY
from edge_ad.runtime.latency import LatencyRecorder
from edge_ad.runtime.replay import Replay
from edge_ad.runtime.window_model import WindowModel

_LARGEST_SCALED = 1e30
"""Far within float32, so that nothing is lost on the way through a network's first layer."""
_FASTER_OR_SLOWER = 1.0
"""Rate tolerance of a resampled stream: half to double the nominal period."""
_BLOCK = 1024
_new_decision = tuple.__new__
"""Half the time of calling the class, and one is made for every sample; goes by the order of its fields."""
_NOT_FINITE = "not-finite: the score, from values far out of range"


class Detector:
    """Decides, sample by sample, whether the monitored machine behaves as it was trained.

    >>> detector = Detector.load(bundle)                        # doctest: +SKIP
    >>> for time, sample in stream:                             # doctest: +SKIP
    ...     decision = detector.push(sample, time)              # doctest: +SKIP
    """

    def __init__(
        self,
        model: WindowModel,
        quality: QualityRules,
        alarm: AlarmRuleEntry,
        *,
        ucl: float,
        resample: bool = False,
        follow: bool = True,
    ) -> None:
        """With `resample`, windows are interpolated to the nominal sample period. Without `follow`, what
        follows in other streams stays where it was fitted.
        """
        self.ucl = ucl
        self.resample = resample
        self.latency = LatencyRecorder(quality.sample_period_s)
        self._pending = self.latency.pending
        self.faults: Counter[str] = Counter()
        """How often there was no whole window, by kind of reason."""
        self._model = model
        self._run = model.run
        self._following = model.following_scorer() if follow else None
        self._score = (self._following or model.scorer).score
        self._rule = AlarmRule(ucl, alarm.k, alarm.n, alarm.clear_ratio)
        self._severities = [(severity.above * ucl, severity.name) for severity in alarm.severities][::-1]
        self._gate = SampleGate(_within_float32(quality, model.scaler))
        self._plain_window = Window(model.window_length, model.scaler)
        self._window = (
            ResampledWindow(model.window_length, model.scaler, quality.sample_period_s)
            if resample
            else self._plain_window
        )
        self._broken_by: str | None = None
        self._is_warm = False
        """Whether there has been a whole window."""

    @classmethod
    def load(
        cls,
        bundle: Bundle,
        variant: str | None = None,
        *,
        num_threads: int = 1,
        resample: bool = False,
        follow: bool = True,
    ) -> Detector:
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
                content,
                scaler,
                manifest.scoring(entry.name),
                stateful=entry.stateful,
                num_threads=num_threads,
            )
        except InterpreterError as error:
            raise BundleModelError(f"{entry.name}: {error}") from error
        if model.window_length != manifest.window_length:
            raise BundleMismatchError(
                f"{entry.name}: the model's window is {model.window_length}, "
                f"the manifest's {manifest.window_length}"
            )
        quality = quality_rules(
            manifest.channels,
            sample_period_s=manifest.sample_period_s,
            largest_gap_s=manifest.largest_gap_s,
            rate_tolerance=_FASTER_OR_SLOWER if resample else manifest.rate_tolerance,
        )
        return cls(model, quality, manifest.alarm_rule, ucl=entry.limit.ucl, resample=resample, follow=follow)

    @property
    def follows(self) -> bool:
        """Whether a score depends on the windows before, since a head's center follows them."""
        return self._following is not None

    def score_windows(self, windows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores `(n,)` of `(n, window_length, n_channels)` engineering-unit windows, off the stream."""
        return self._model.scores(windows)

    def try_network(self, windows: NDArray[np.floating]) -> None:
        """Reconstruct `(n, window_length, n_channels)` engineering-unit windows, whatever scores them.

        A network that no head looks at ships all the same, and must work. Raises InterpreterError where it
        fails, or makes something else than numbers of a window.
        """
        model = self._model
        for index, window in enumerate(model.scaler.transform(windows)[:, np.newaxis]):
            if not np.isfinite(model.model.run(window)).all():
                raise InterpreterError(f"its network makes no finite numbers of window {index}")

    def bare_invoke(self, window: NDArray[np.floating]) -> Callable[[], None]:
        """What the interpreter alone costs, for benchmarks: its invoke on one window, and no more.

        `window` is `(window_length, n_channels)` in engineering units.
        """
        return self._model.model.bare_invoke(self._model.scaler.transform(window))

    def reset(self) -> None:
        """Forget the stream so far, as if newly loaded. Counts of latency and faults stay."""
        self._gate.reset()
        self._window.clear()
        self._rule.reset()
        self._broken_by = None
        self._is_warm = False
        if self._following is not None:
            self._following.reset()

    def close(self) -> None:
        """Forget the stream, and hand what is pending to those who read the journal."""
        self.reset()
        self.latency.flush()

    def save(self) -> dict[str, Any]:
        """The stream so far as JSON values, for `restore`; without counts of latency and faults."""
        return {
            "gate": self._gate.save(),
            "window": self._window.save(),
            "rule": self._rule.save(),
            "broken_by": self._broken_by,
            "is_warm": self._is_warm,
            "centers": [] if self._following is None else self._following.save(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on with the stream of a detector of the same bundle and variant, as that one would have.

        Raises KeyError, TypeError, ValueError for what no such detector has saved; it is then as if newly
        loaded.
        """
        try:
            self._gate.restore(saved["gate"])
            self._window.restore(saved["window"])
            self._rule.restore(saved["rule"])
            self._broken_by, self._is_warm = saved["broken_by"], bool(saved["is_warm"])
            if self._following is not None:
                self._following.restore(saved["centers"])
        except (KeyError, TypeError, ValueError):
            self.reset()
            raise

    def push(
        self,
        sample: Sequence[float] | NDArray[np.floating],
        time: float,
        problem: str | None = None,
        arrived: float | None = None,
    ) -> Decision:
        """Take in one sample, `(n_channels,)` in engineering units, of `time` in seconds since the epoch.

        `problem` says why a source could not read the sample; its values are then ignored. `arrived`, in
        seconds of a clock that is never set, tells a gap from a clock that was set forward.

        The state is `warming` until the first window is full, and `unknown`, with a reason, for a sample
        that cannot be part of a window and until the window is whole again: see `SampleGate`. A model that
        scores as not finite is `unknown` as well. Raises InterpreterError where the model fails.
        """
        start = perf_counter_ns()
        if type(time) is not float:
            time = seconds(time)
        row = self._gate.admit(sample, time, problem, arrived)
        if isinstance(row, Fault):
            fault = row
            self._take_note(fault)
            if not fault.new_window:
                return self._unknown(time, fault.reason)
            for earlier in fault.new_window[:-1]:
                self._window.push(*earlier)
            row, _ = fault.new_window[-1]
        admitted = perf_counter_ns()
        window = self._window.push(row, time)
        if window is None:
            return self._filling(time)
        self._is_warm = True
        scaled = perf_counter_ns()
        reconstruction = self._run(window)
        inferred = perf_counter_ns()
        shares, score = self._score(window, reconstruction)
        scored = perf_counter_ns()
        if not score < math.inf:
            self._rule.reset()
            return self._unknown(time, _NOT_FINITE)
        self._broken_by = None
        alarm = self._rule.update(score)
        if self._following is not None and not alarm:
            self._following.follow(score / self.ucl)
        state: State = "alarm" if alarm else "normal"
        severity = self._severity(score) if alarm else None
        decided = perf_counter_ns()
        pending = self._pending
        pending.append((start, admitted, scaled, inferred, scored, decided, time, score))
        if len(pending) >= FLUSH_EVERY:
            self.latency.flush()
        return _new_decision(
            Decision,
            (time, state, score, self.ucl, shares, None, severity, self.resample, decided - start),
        )

    def replay(self, samples: NDArray[np.floating], times: NDArray[np.float64]) -> Replay:
        """Take in `(n, n_channels)` samples of `(n,)` times at once: the decisions of `push`, to the bit.

        Goes on from the stream so far, so that a long recording can be handed over block by block. What
        needs no closer look is admitted and scaled in bulk, at little more than the interpreter's own cost;
        where a head follows, each window has to wait for the one before.
        """
        rows, times = np.array(np.ma.filled(samples, np.nan), np.float64), np.array(times, np.float64)
        if rows.shape != (len(times), self._model.n_channels):
            raise ValueError(
                f"{len(times)} samples of {self._model.n_channels} channels are "
                f"{(len(times), self._model.n_channels)}, not {rows.shape}"
            )
        replay = Replay(times, self._model.n_channels, self.ucl, resampled=self.resample)
        row = 0
        while row < len(times):
            n, fault = self._admit_many(rows[row : row + _BLOCK], times[row : row + _BLOCK])
            if n:
                self._replay_admitted(rows, slice(row, row + n), replay)
                row += n
            if fault is not None:
                self._take_note(fault)
                replay.put(row, self._unknown(float(times[row]), fault.reason))
                row += 1
            elif n == 0:
                replay.put(row, self.push(rows[row], float(times[row])))
                row += 1
        return replay

    def _admit_many(
        self, samples: NDArray[np.float64], times: NDArray[np.float64]
    ) -> tuple[int, Fault | None]:
        """As the gate's; none while a sample would not make a whole window, or needs interpolation."""
        if self.resample or self.follows or self._window.filled < self._model.window_length - 1:
            return 0, None
        return self._gate.admit_many(times, samples)

    def _replay_admitted(self, samples: NDArray[np.float64], rows: slice, replay: Replay) -> None:
        windows = self._plain_window.extend(samples[rows])
        scores = self._model.score_each(windows, replay.contributions[rows])
        replay.scores[rows] = scores
        if self._rule.is_quiet(float(replay.scores[rows].max())):  # not where one of them is not finite
            self._broken_by = None
            return
        for row, score in enumerate(scores, rows.start):
            if not score < math.inf:
                self._rule.reset()
                replay.put(row, self._unknown(float(replay.times[row]), _NOT_FINITE))
                continue
            self._broken_by = None
            if self._rule.update(score):
                replay.put_alarm(row, self._severity(score))

    def _take_note(self, fault: Fault) -> None:
        """A sample that was left out alone leaves window and alarm as they are."""
        if fault.breaks:
            self._window.clear()
            self._rule.reset()
            self._broken_by = fault.reason

    def _filling(self, time: float) -> Decision:
        """No window yet: at the start, or after what broke the last one."""
        filled = f"{self._window.filled} of {self._model.window_length} samples"
        if self._broken_by is not None:
            return self._unknown(time, f"refilling: {filled} since {self._broken_by}")
        if self._is_warm:  # only resampled windows come to this
            self._rule.reset()
            return self._unknown(time, f"rate: {filled}, the samples come too fast to be resampled")
        return Decision(time, "warming", None, self.ucl, None, f"warming: {filled}")

    def _unknown(self, time: float, reason: str) -> Decision:
        self.faults[reason.partition(":")[0]] += 1
        return Decision(time, "unknown", None, self.ucl, None, reason)

    def _severity(self, score: float) -> str:
        return next((name for above, name in self._severities if score > above), self._severities[-1][1])


def quality_rules(
    channels: Sequence[Channel], *, sample_period_s: float, largest_gap_s: float, rate_tolerance: float
) -> QualityRules:
    """What a bundle, or the format of a recording, says of its channels and their times."""
    return QualityRules(
        names=tuple(channel.name for channel in channels),
        low=tuple(-math.inf if channel.low is None else channel.low for channel in channels),
        high=tuple(math.inf if channel.high is None else channel.high for channel in channels),
        flat_after=tuple(channel.flat_after or 0 for channel in channels),
        sample_period_s=sample_period_s,
        largest_gap_s=largest_gap_s,
        rate_tolerance=rate_tolerance,
    )


def _within_float32(rules: QualityRules, scaler: Scaler) -> QualityRules:
    """The same rules, with no more than what can be scaled to float32 taken for plausible."""
    with np.errstate(over="ignore"):
        reach = _LARGEST_SCALED * scaler.scale
    return dataclasses.replace(
        rules,
        low=tuple(np.maximum(rules.low, scaler.offset - reach).tolist()),
        high=tuple(np.minimum(rules.high, scaler.offset + reach).tolist()),
    )
