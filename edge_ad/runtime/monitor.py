"""A detector in service: with alarm episodes, health, and what normal operation looked like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_ad.bundle.bundle import Bundle
from edge_ad.detect.decision import Decision
from edge_ad.detect.episodes import EpisodeChange, EpisodeTracker
from edge_ad.runtime.arrivals import ArrivalRecorder
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.health import Health
from edge_ad.runtime.normal_recorder import NormalRecorder
from edge_ad.runtime.sources.csv_lines import Sample


class Monitor:
    """Takes samples one by one and tells of everything that follows from the decisions on them."""

    def __init__(
        self,
        bundle: Bundle,
        detector: Detector,
        variant: str | None = None,
        *,
        tell: Callable[[EpisodeChange], None] | None = None,
        recorder: NormalRecorder | None = None,
    ) -> None:
        """`detector` runs `variant` of `bundle`; `tell` hears of episodes that begin, worsen and end."""
        manifest = bundle.manifest
        rule = manifest.alarm_rule
        self.detector = detector
        self.variant = manifest.variant(variant).name
        self.health = Health.of(manifest, variant, detector.latency.journal)
        self.episodes = EpisodeTracker(
            [channel.name for channel in manifest.channels],
            [severity.name for severity in rule.severities],
            rule.hold_off_s,
        )
        self.arrivals = ArrivalRecorder(manifest.sample_period_s)
        self._tell = tell
        self._recorder = recorder
        self._newest = 0.0

    def record(self, recorder: NormalRecorder) -> None:
        """Have the samples of normal decisions recorded from now on."""
        self._recorder = recorder

    def take(self, sample: Sample) -> Decision:
        """Decide on the next sample."""
        time, values, stamp, _, problem, arrived = sample
        decision = self.detector.push(values, time, problem, arrived)
        if arrived is not None:
            self.arrivals.add(arrived)
        if decision.state != "normal":
            self.health.note(decision)
        change = self.episodes.update(decision)
        if change is not None:
            self.health.note_change(change)
            self._hand_on(change)
        if self._recorder is not None:
            self._recorder.add(decision, values, stamp)
        if decision.score is not None:
            self._newest = time
        return decision

    def end_episode(self) -> None:
        """An episode that is open ends with the newest scored sample."""
        change = self.episodes.close(self._newest)
        if change is not None:
            self._hand_on(change)

    def put_down(self) -> None:
        """Write down what is held. An open episode stays open: the stream may go on in another process."""
        if self._recorder is not None:
            self._recorder.close()
        self.detector.close()

    def close(self) -> None:
        """The stream has ended: an episode that is open ends with it, and what is held is written down."""
        self.end_episode()
        self.put_down()

    def save(self) -> dict[str, Any]:
        """Where the stream is, as JSON values, for `restore`: without health, latency and arrivals."""
        return {
            "detector": self.detector.save(),
            "episodes": self.episodes.save(),
            "newest": self._newest,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on where the same bundle and variant were saved. Raises KeyError, TypeError, ValueError."""
        self.detector.restore(saved["detector"])
        self.episodes.restore(saved["episodes"])
        self._newest = float(saved["newest"])

    def _hand_on(self, change: EpisodeChange) -> None:
        if self._tell is not None:
            self._tell(change)
