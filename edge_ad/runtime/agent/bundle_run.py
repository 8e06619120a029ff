"""One bundle in service for one asset: lines in, decisions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edge_ad.bundle.manifest import Manifest
from edge_ad.detect.decision import Decision
from edge_ad.detect.episodes import EpisodeChange
from edge_ad.runtime.agent.config import AssetOptions
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.interpreter import interpreter_version
from edge_ad.runtime.monitor import Monitor
from edge_ad.runtime.normal_recorder import NormalRecorder
from edge_ad.runtime.sinks.sink import InService
from edge_ad.runtime.sources.csv_lines import Sample
from edge_ad.runtime.sources.decoder import open_decoder
from edge_ad.runtime.sources.in_order import Reorder
from edge_ad.runtime.sources.source import Line
from edge_ad.runtime.store.service import Service
from edge_ad.runtime.troubles import Note


class BundleRun:
    """Everything that depends on the bundle: how a line is read, how it is decided on, what is remembered."""

    def __init__(
        self,
        options: AssetOptions,
        store: Path | None,
        note: Note,
        say: Callable[[str], None],
        aside: Callable[[Callable[[], object]], object],
    ) -> None:
        """Begin the service of the asset's bundle. Reads files and may wait for them: not in the event loop.

        `aside` carries out, at another place and later, what the store is to be told. Raises BundleError,
        StoreError, ConfigurationError, InterpreterError, MissingDependencyError.
        """
        self._service = Service.start(options.reference, store, say, options.trial_s, aside)
        try:
            bundle = self._service.bundle
            del self._service.bundle  # as large as all the rest
            manifest = bundle.manifest
            names = [channel.name for channel in manifest.channels]
            detector = Detector.load(
                bundle, options.variant, num_threads=options.threads, resample=options.resample
            )
            self.changes: list[EpisodeChange] = []
            """Of episodes, since somebody took them from here."""
            self.monitor = Monitor(bundle, detector, options.variant, tell=self.changes.append)
            self._open_decoder = partial(open_decoder, options.format, manifest.input, names, note)
            self.decoder = self._open_decoder()
            self.service = _in_service(options.name, manifest, options.variant, self._service.overlay_id)
        except BaseException as error:
            self._service.close(error)
            raise
        self.window_length = manifest.window_length
        self.snapshots, self.layout = manifest.snapshots, options.format.layout(manifest.input)
        self.key = f"{self.service.label} {self.service.variant}{' resampled' * options.resample}"
        """What must be the same for a saved state to make sense."""
        self.newest: Decision | None = None
        self._new_recorder: Callable[[], NormalRecorder] | None = None
        """Only where it is wanted: it keeps the manifest in memory."""
        if options.record_normal is not None:
            path, minutes = Path(options.record_normal), options.record_minutes
            self._new_recorder = partial(NormalRecorder.of, manifest, path, minutes=minutes, say=say)
        self._reorder = Reorder(options.hold_s)
        self._watch = self._service.watched(_nothing)

    def read_below(self, header: str | None) -> None:
        """Go on in a stream whose line of column names came earlier."""
        self.decoder = self._open_decoder(header)

    def record(self) -> None:
        """Keep normal samples from now on, where that is wanted; a file has one recorder at a time."""
        if self._new_recorder is not None:
            self.monitor.record(self._new_recorder())

    def decide(self, line: Line) -> Iterator[tuple[Decision, Sample]]:
        """Take in the next line; give the decisions that follow, mostly one. Raises InterpreterError."""
        sample = self.decoder.decode(line)
        if sample is not None:
            yield from self._decide(self._reorder.push(sample))

    def end(self) -> Iterator[tuple[Decision, Sample]]:
        """The stream has ended: decide on what was held back. An open episode ends with the stream."""
        yield from self._decide(self._reorder.rest())
        self.end_episode()

    def end_episode(self) -> None:
        """An episode that is open ends here: another bundle takes over, or nothing comes any more."""
        self.monitor.end_episode()

    def save(self) -> dict[str, Any]:
        """The stream so far as JSON values, for `restore`."""
        return {"monitor": self.monitor.save(), "reorder": self._reorder.save()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on where the same bundle was saved. Raises KeyError, TypeError, ValueError."""
        self.monitor.restore(saved["monitor"])
        self.restore_held(saved)

    def restore_held(self, saved: dict[str, Any]) -> None:
        """Take over the samples that another bundle of the same channels held back. Raises as `restore`."""
        self._reorder.restore(saved["reorder"])

    @property
    def is_on_trial(self) -> bool:
        """Whether the store would roll it back for an error."""
        return self._service.is_on_trial

    def close(self, error: BaseException | None = None) -> None:
        """The service of this bundle has ended, in good order or by `error`. Episodes stay as they are."""
        self.monitor.put_down()
        self._service.close(error)

    def _decide(self, samples: Iterator[Sample]) -> Iterator[tuple[Decision, Sample]]:
        for sample in samples:
            self.newest = decision = self.monitor.take(sample)
            self._watch(decision, sample.stamp)
            yield decision, sample


def _in_service(asset: str, manifest: Manifest, variant: str | None, overlay_id: str | None) -> InService:
    entry = manifest.variant(variant)
    return InService(
        asset=asset,
        bundle_id=manifest.bundle_id,
        build_number=manifest.build_number,
        model_version=manifest.model_version,
        overlay_id=overlay_id,
        variant=entry.name,
        engine=interpreter_version(),
        channels=manifest.channels,
        ucl=entry.limit.ucl,
        severities=tuple(severity.name for severity in manifest.alarm_rule.severities),
        sample_period_s=manifest.sample_period_s,
    )


def _nothing(decision: Decision, stamp: str) -> None:
    """The trial watches decisions on their way to nowhere: who takes them is the pipeline's matter."""
