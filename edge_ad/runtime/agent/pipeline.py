"""One asset's way from its source to the sinks, with whatever befalls it."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from time import monotonic
from typing import Any

from edge_ad.detect.decision import Decision
from edge_ad.detect.episodes import EpisodeChange
from edge_ad.errors import EdgeAdError, InterpreterError
from edge_ad.runtime.agent.bundle_run import BundleRun
from edge_ad.runtime.agent.candidate import Candidate
from edge_ad.runtime.agent.config import AssetOptions
from edge_ad.runtime.agent.history import RecentScores
from edge_ad.runtime.agent.saved_stream import SavedStream
from edge_ad.runtime.agent.spool import Spool
from edge_ad.runtime.events import Event, event_of
from edge_ad.runtime.sinks.sink import DecisionSink, TakeDecision
from edge_ad.runtime.sources.csv_lines import Sample
from edge_ad.runtime.sources.source import Line, Source, SourceContext
from edge_ad.runtime.store.open import wanted_run
from edge_ad.runtime.troubles import Troubles

_FLUSH_EVERY = 64
"""Scored samples, of which the notes are then counted: they take more room than the counts."""
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 60.0


class Pipeline:
    """Reads lines, decides on them, hands decisions and events on, and keeps the place in the stream.

    The order that makes events safe: a batch of lines is decided; the events that followed and the state of
    the stream after it are written to the spool in one transaction; only then the source is told that it is
    done with them. A process that is killed anywhere goes on from the last state, and comes to the same
    events with the same ids.

    A bundle that takes over is first run beside the one in service, on the same lines, until it decides too:
    no sample is without a decision, and a bundle that cannot decide never takes over.
    """

    def __init__(
        self,
        options: AssetOptions,
        open_source: Callable[[SourceContext], Source],
        source_name: str,
        sinks: Sequence[DecisionSink],
        spool: Spool,
        *,
        store: Path | None,
        troubles: Troubles,
        loader: Executor,
    ) -> None:
        """`loader` runs what reads bundles. `source_name` tells kind and address of the source."""
        self.options = options
        self.source_name = source_name
        self.recent = RecentScores()
        self.run_: BundleRun | None = None
        """The bundle in service."""
        self.down: str | None = "not started yet"
        """Why there is none."""
        self.newest: tuple[Decision, str] | None = None
        """Decision, and its time as written."""
        self.newest_scored: Decision | None = None
        self.lines = self.bad_lines = self.swaps = 0
        self.arrived: float | None = None
        """When the newest line came, on the monotonic clock."""
        self.lag_s: float | None = None
        self.busy_since: float | None = None
        """Since when a batch is being worked on; None while the source is waited for."""
        self.has_ended = False
        self.source: Source | None = None
        self.ready = asyncio.Event()
        """Set once a bundle is in service and the source is open."""
        self._open_source = open_source
        self._sinks = sinks
        self._spool = spool
        self._store = store
        self._troubles = troubles
        self._note = troubles.at(options.name)
        self._loader = loader
        self._lines: deque[Line] = deque()
        self._takers: list[TakeDecision] = []
        self._next: Candidate | None = None
        self._is_trying = False
        """Whether what is said just now is said of that."""
        self._events: list[Event] = []
        self._position: str | None = None
        self._changed = False
        self._is_stopping = False
        self._reading: asyncio.Future[Sequence[Line]] | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        """How often in a row the model failed without deciding on anything in between."""

    # --- the stream ---------------------------------------------------------------------------------

    async def run(self, saved: str | None) -> None:
        """Serve until the stream ends or the task is cancelled. `saved` is an earlier process's state."""
        try:
            state = self._parsed(saved)
            await self._put_in_service(None if state is None else state.header)
            if state is not None:
                self._resume(state)
                await self._save_events()
            await self._open()
            if self._wake.is_set():  # asked for while the bundle was loaded
                await self.reload()
        finally:
            self.ready.set()
        try:
            while lines := await self._read():
                self.busy_since = monotonic()
                await self._work(lines)
                self.busy_since = None
                # A source that has lines ready would never let others have their turn.
                await asyncio.sleep(0)
            if not self._is_stopping:
                self._hand_on_rest()
                await self._save_events()
                self.has_ended = True
        finally:
            if self.source is not None:
                await self.source.close()

    async def _open(self) -> None:
        """Open the source, however often it takes: one whose package is not installed holds up no other."""
        while True:
            try:
                self.source = self._open_source(self._context())
            except EdgeAdError as error:
                self._note("no-source", f"{error}; tried again in {_LONGEST_WAIT_S:g} s")
                self.ready.set()
                await asyncio.sleep(_LONGEST_WAIT_S)
            else:
                return

    @property
    def state(self) -> str:
        """Of the newest decision, or `waiting`, `ended`, `down`; see `AssetSnapshot`."""
        if self.run_ is None:
            return "down"
        if self.has_ended:
            return "ended"
        return "waiting" if self.newest is None else self.newest[0].state

    def stop(self) -> None:
        """Let `run` return as soon as what was read is decided and safe."""
        self._is_stopping = True
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> Sequence[Line]:
        """The next lines; none at the end of the stream, or when the agent stops."""
        while not self._is_stopping and self.source is not None:
            self._reading = asyncio.ensure_future(self.source.read())
            try:
                return await self._reading
            except asyncio.CancelledError:
                if not self._is_stopping:
                    raise
            except Exception as error:  # noqa: BLE001  a third party's: it must not end the monitoring
                self._note("source-failed", f"the source failed ({error!r}); it is opened anew")
                await self.source.close()
                await asyncio.sleep(_FIRST_WAIT_S)
                await self._open()
            finally:
                self._reading = None
        return ()

    async def _work(self, lines: Sequence[Line]) -> None:
        source = self.source
        if source is None:
            return
        self.lines += len(lines)
        self._lines.extend(lines)
        while self._lines:
            try:
                self._decide()
            except InterpreterError as error:
                await self._replace_failed(error)
            except Exception:  # noqa: BLE001  a third party's sink, or a mistake of ours: one line is lost
                self._note("internal-error", f"a line was lost: {traceback.format_exc()}")
        self.arrived = lines[-1].arrived
        if self.arrived is not None:
            self.lag_s = max(0.0, monotonic() - self.arrived)
        self._position = source.position()
        self._changed = True
        self._flush()
        await self._save_events()
        source.done()
        for sink in self._sinks:
            with self._forgiven():
                await sink.drain()

    def _decide(self) -> None:
        """Decide on the lines that are there."""
        lines = self._lines
        while lines:
            run = self._running()
            line = lines.popleft()
            for decision, sample in run.decide(line):
                self._hand_on(decision, sample)
            if self._next is not None:
                self._try_next(self._next, line)
        latency = self._running().monitor.detector.latency
        if len(latency.pending) >= _FLUSH_EVERY:
            latency.flush()

    def _hand_on(self, decision: Decision, sample: Sample) -> None:
        for take in self._takers:
            take(decision, sample.stamp)
        self.recent.add(decision)
        self.newest = decision, sample.stamp
        if decision.score is not None:
            self.newest_scored = decision
            self._failures = 0
        if sample.problem is not None:
            self.bad_lines += 1
            self._note("bad-line", f"line {sample.line} cannot be read: {sample.problem}")
        run = self._running()
        if run.changes:
            self._take_changes(run)

    def _hand_on_rest(self) -> None:
        """The stream has ended."""
        run = self._running()
        for decision, sample in run.end():
            self._hand_on(decision, sample)
        self._take_changes(run)
        self._changed = True
        self._flush()

    def _flush(self) -> None:
        for sink in self._sinks:
            with self._forgiven():
                sink.flush()

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        """Bear the mistakes of a sink, which may be a third party's: the machine is watched all the same."""
        try:
            yield
        except Exception:  # noqa: BLE001
            self._note("internal-error", f"a sink failed: {traceback.format_exc()}")

    def _take_changes(self, run: BundleRun) -> None:
        for change in run.changes:
            self._take_change(run.service.label, run.service.severities, change)
        run.changes.clear()

    def _take_change(self, label: str, severities: Sequence[str], change: EpisodeChange) -> None:
        severity = change.episode.severity
        rank = severities.index(severity) if severity in severities else -1
        self._events.append(event_of(self.options.name, label, change, rank))

    async def _save_events(self) -> None:
        if self._events:
            events, self._events = self._events, []
            await self._spool.add(events, {self.options.name: self._state()})
            self._changed = False

    # --- the place in the stream --------------------------------------------------------------------

    def take_state(self) -> str | None:
        """The state to be saved; None where nothing happened since it was taken last."""
        if not self._changed or self.busy_since is not None or self.run_ is None:
            return None
        self._changed = False
        return self._state()

    def _state(self) -> str:
        return SavedStream.of(self._running(), self.source_name, self._position).text()

    def _parsed(self, text: str | None) -> SavedStream | None:
        if text is None:
            return None
        try:
            saved = SavedStream.parse(text)
        except ValueError as error:
            self._note("state-lost", f"the saved state makes no sense ({error}); the stream begins anew")
            return None
        if saved.source == self.source_name:
            return saved
        self._say("another source than before: the stream begins anew")
        return saved.without_place()

    def _resume(self, saved: SavedStream) -> None:
        """Go on where an earlier process was, as far as bundle and source are the same."""
        run = self._running()
        self._position = saved.position
        try:
            if saved.key == run.key:
                run.restore(saved.run)
                return
            change = saved.end_of_episode()
            if change is not None:
                self._take_change(saved.label, saved.severities, change)
            if saved.key is not None and saved.channels == tuple(c.name for c in run.service.channels):
                run.restore_held(saved.run)
        except (KeyError, TypeError, ValueError) as error:
            self._note("state-lost", f"the saved state makes no sense ({error!r}); the window fills anew")

    def _context(self) -> SourceContext:
        return SourceContext(
            asset=self.options.name,
            sample_period_s=self._running().service.sample_period_s,
            position=self._position,
            note=self._note,
            say=lambda text: self._troubles.over(self.options.name, text),
            snapshots=self._running().snapshots,
            layout=self._running().layout,
        )

    # --- bundles ------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Let another bundle take over if another one is active now: after it has shown that it decides."""
        if self.run_ is None or self.source is None:
            self._wake.set()
            return
        self._wake.clear()
        try:
            wanted = await self._in_loader(lambda: wanted_run(self.options.reference, self._store))
            # The one that runs by now: another one may have taken over meanwhile.
            if wanted == _ids(self._running()):
                self._drop_next()
                self._say(f"{_name(self._running())} stays in service: it is the active one")
                return
            if self._next is not None and wanted == _ids(self._next.run):
                return
            following = await self._in_loader(self._load)
            if following.service.label == self._running().service.label:  # the store has put it in its place
                following.close()
                self._say(f"{_name(self._running())} stays in service: nothing else can be run")
                return
            try:
                # Now, not before it was loaded: another header may have come meanwhile.
                with self._trying():
                    following.read_below(self._running().decoder.header)
            except EdgeAdError as error:
                following.close(error)
                raise
        except EdgeAdError as error:
            self._troubles.count(self.options.name, "not-reloaded")
            self._say(f"{error}; the bundle in service goes on")
            return
        self._drop_next()
        self._next = Candidate(following)
        self._say(f"{_name(following)} takes over as soon as it decides")

    def _try_next(self, candidate: Candidate, line: Line) -> None:
        """Let the next bundle decide on a line as well; it takes over with the line after its first score."""
        try:
            with self._trying():
                is_ready = candidate.decides_on(line, self._running().newest)
        except InterpreterError as error:
            self._refuse_next(candidate.run, error)
        else:
            if is_ready:
                self._swap(candidate.run)

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        """What is said meanwhile is said of the next bundle."""
        self._is_trying = True
        try:
            yield
        finally:
            self._is_trying = False

    def _swap(self, following: BundleRun) -> None:
        former = self._running()
        former.end_episode()
        self._take_changes(former)
        former.close()
        self._next = None
        # What it said while it was on its own: of that, only an episode that is open counts.
        following.changes.clear()
        self._install(following)
        opened = following.monitor.episodes.open
        if opened is not None:
            following.changes.append(EpisodeChange("began", opened))
            self._take_changes(following)
        self.swaps += 1
        self._say(f"{_name(following)} has taken over from {_name(former)}")

    def _refuse_next(self, following: BundleRun, error: InterpreterError) -> None:
        self._next = None
        stays = (
            ""
            if following.is_on_trial
            else "; it stays active in the store, and runs at the next start: edge-ad store rollback "
            f"{self.options.reference.removeprefix('@')} goes back to another"
        )
        following.close(error)
        self._note("bundle-refused", f"{_name(following)} does not take over: {error}{stays}")

    def _drop_next(self) -> None:
        if self._next is not None:
            self._next.run.close()
            self._next = None

    async def _put_in_service(self, header: str | None) -> None:
        """Load the asset's bundle, however often it takes."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                run = await self._in_loader(self._load)
                run.read_below(header)
            except EdgeAdError as error:
                self.down = str(error)
                self._note("down", f"{error}; tried again in {wait_s:g} s, or at a reload")
                self.ready.set()  # the others are not to wait for this one
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            else:
                self._install(run)
                return

    async def _replace_failed(self, error: InterpreterError) -> None:
        """The model failed at a line: end its service, which may roll it back, and begin anew."""
        failed = self._running()
        wait_s = min(_LONGEST_WAIT_S, 2.0**self._failures - 1)
        self._failures += 1
        self._note("model-failed", f"{_name(failed)}: {error}; it is loaded anew in {wait_s:g} s")
        self._drop_next()
        header, held = failed.decoder.header, failed.save()
        failed.end_episode()
        self._take_changes(failed)
        failed.close(error)
        self.run_ = None
        self.busy_since = None  # waiting for a bundle is no work that hangs
        await asyncio.sleep(wait_s)
        await self._put_in_service(header)
        if self._running().service.channels == failed.service.channels:
            self._running().restore_held(held)
        self.busy_since = monotonic()

    def _install(self, run: BundleRun) -> None:
        self.run_, self.down = run, None
        self.newest_scored = None  # its contributions are of other channels
        run.record()
        self._takers = []
        for sink in self._sinks:
            with self._forgiven():
                self._takers.append(sink.begin(run.service))

    def _load(self) -> BundleRun:
        return BundleRun(self.options, self._store, self._note_of_run, self._say, self._loader.submit)

    def _note_of_run(self, kind: str, text: str, n: int = 1) -> None:
        """What a bundle's reader of lines has to say, of the one in service or of the next one."""
        self._note(kind, f"the next bundle: {text}" if self._is_trying else text, n)

    def _say(self, text: str) -> None:
        self._troubles.say(self.options.name, text)

    async def _in_loader(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._loader, call)

    def _running(self) -> BundleRun:
        if self.run_ is None:
            raise RuntimeError("no bundle is in service")
        return self.run_

    def close(self) -> None:
        """The agent stops: write down what is held. The state must have been taken before."""
        self._drop_next()
        if self.run_ is not None:
            self.run_.close()


def _ids(run: BundleRun) -> tuple[str, str | None]:
    return run.service.bundle_id, run.service.overlay_id


def _name(run: BundleRun) -> str:
    return f"build {run.service.build_number} ({run.service.label})"
