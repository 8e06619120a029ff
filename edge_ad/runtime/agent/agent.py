"""The service as a whole: assets, spool, sinks, status page, and the signals that steer it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

from edge_ad import __version__
from edge_ad.runtime.agent.config import AgentConfig, AssetOptions, Part
from edge_ad.runtime.agent.courier import Courier
from edge_ad.runtime.agent.notify import ServiceManager
from edge_ad.runtime.agent.pipeline import Pipeline
from edge_ad.runtime.agent.spool import Spool
from edge_ad.runtime.agent.view import asset_snapshot
from edge_ad.runtime.health_report import health_report
from edge_ad.runtime.mqtt.brokers import Brokers
from edge_ad.runtime.process import cpu_seconds, give_back_memory, resident_bytes
from edge_ad.runtime.sinks.sink import DecisionSink, EventSink, HealthSink, Sink, SinkContext
from edge_ad.runtime.snapshot import AgentSnapshot, History
from edge_ad.runtime.store.store import open_store
from edge_ad.runtime.troubles import Note, Troubles

_READY_WITHIN_S = 60.0
"""After that the service counts as started, whatever is still missing."""
_BEAT_S = 1.0
_RETRY_S = 5.0
_FIRST_REPORT_S = 10.0
"""After the start: a bundle that is new here is heard of before long."""
_STOP_WITHIN_S = 5.0
"""For what is under way when the service is told to stop."""
_DRAIN_S = 10.0
"""For events to be delivered, after the last stream has ended by itself."""


class Agent:
    """Runs what a configuration says until it is told to stop, or until all streams have ended."""

    def __init__(self, config: AgentConfig, store: Path | None, say: Callable[[str], None]) -> None:
        """Open spool, brokers and sinks; nothing is connected yet. `say` writes a line to the log.

        Raises ConfigurationError, MissingDependencyError, OutputError for what can never work as configured.
        """
        self._config = config
        self._store = store
        self._troubles = Troubles(say)
        self._manager = ServiceManager()
        self._started, self._started_at = time.time(), monotonic()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._wants_reload: bool | None = None
        """None while none is under way; True where another one is wanted after it."""
        self._brokers = Brokers(config.brokers, config.agent.name, self._troubles)
        self._sinks = {part.name: self._open_sink(part) for part in config.sinks}
        event_sinks = {key: sink for key, sink in self._sinks.items() if isinstance(sink, EventSink)}
        self._http = None
        if config.http is not None:
            from edge_ad.runtime.http.server import HttpServer  # most devices are looked at from elsewhere

            self._http = HttpServer(config.http, self, *self._voice("http"))
        note, tell = self._voice("spool")
        self._spool = Spool(
            self._spool_path(),
            tuple(event_sinks),
            note=note,
            say=tell,
            most_events=config.agent.spool_events,
            most_bytes=config.agent.spool_mb * 1_000_000,
            sinks_of={
                asset.name: event_sinks.keys() & asset.sinks
                for asset in config.assets
                if asset.sinks is not None
            },
        )
        kinds = {part.name: part.kind for part in config.sinks}
        self._couriers = [
            Courier(self._spool, sink, key, kinds[key], *self._voice(key))
            for key, sink in event_sinks.items()
        ]
        self._loader = ThreadPoolExecutor(1, "bundles")
        self._pipelines = list(map(self._pipeline, config.assets))

    # --- life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT, or the end of all streams."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        streams: list[asyncio.Task[None]] = []
        try:
            for sink in self._sinks.values():
                await sink.start()
            saved = self._spool.checkpoints()
            streams = [asyncio.create_task(p.run(saved.get(p.options.name))) for p in self._pipelines]
            if self._http is not None:
                await self._http.start()
            for courier in self._couriers:
                self._begin(courier.run())
            self._begin(self._save_now_and_then())
            self._begin(self._beat())
            for name, sink in self._sinks.items():
                if isinstance(sink, HealthSink) and sink.health_every_s:
                    self._begin(self._report(name, sink))
            await self._until_the_end(streams)
        finally:
            await self._end(streams)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the process is about to end anyway
        self._troubles.say(self._config.agent.name, "has ended in good order")

    async def _until_the_end(self, streams: list[asyncio.Task[None]]) -> None:
        stop = asyncio.create_task(self._stop.wait())
        ready: asyncio.Future[Any] = asyncio.gather(*(p.ready.wait() for p in self._pipelines))
        try:
            starting: set[asyncio.Future[Any]] = {stop, ready}
            await asyncio.wait(starting, timeout=_READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
            give_back_memory()
            self._manager.ready(self._status())
            self._troubles.say(self._config.agent.name, f"watches {self._status()}")
            pending: set[asyncio.Task[Any]] = set(streams)
            while pending and not stop.done():
                done, _ = await asyncio.wait({*pending, stop}, return_when=asyncio.FIRST_COMPLETED)
                pending -= done
                for task in done - {stop}:
                    task.result()  # what no pipeline expects ends the agent: its manager starts it anew
            if not stop.done():
                self._begin(self._stop_when_delivered())
                await stop
        finally:
            ready.cancel()
            stop.cancel()

    async def _stop_when_delivered(self) -> None:
        """All streams have ended: events have some time left to be delivered."""
        deadline = monotonic() + _DRAIN_S
        while monotonic() < deadline and any(courier.snapshot().pending for courier in self._couriers):
            await asyncio.sleep(0.05)
        self._stop.set()

    async def _end(self, streams: list[asyncio.Task[None]]) -> None:
        """Decide on what was read, write down where every stream is, deliver what goes at once, close."""
        self._manager.stopping()
        for pipeline in self._pipelines:
            pipeline.stop()
        if streams:
            working = {task for task, p in zip(streams, self._pipelines, strict=True) if p.run_ is not None}
            if working:
                await asyncio.wait(working, timeout=_STOP_WITHIN_S)
            await _cancel(streams)
        await _within(_STOP_WITHIN_S, self._save())
        for pipeline in self._pipelines:
            pipeline.close()
        deadline = monotonic() + 2.0
        while monotonic() < deadline and any(courier.is_delivering for courier in self._couriers):
            await asyncio.sleep(0.02)
        await _cancel(self._tasks)
        if self._http is not None:
            await self._http.close()
        for sink in self._sinks.values():
            await sink.close()
        await self._brokers.close()
        await _within(_STOP_WITHIN_S, self._spool.close())
        # What the store was told last waits for its lock, but not for ever.
        last = asyncio.get_running_loop().run_in_executor(self._loader, lambda: None)
        await asyncio.wait({last}, timeout=_STOP_WITHIN_S)
        self._loader.shutdown(wait=False, cancel_futures=True)

    # --- what is done now and then ------------------------------------------------------------------

    def _hang_up(self) -> None:
        """SIGHUP: of several in a row, the last is heeded when the one before is done with."""
        is_reloading, self._wants_reload = self._wants_reload is not None, True
        if not is_reloading:
            self._begin(self._reload())

    async def _reload(self) -> None:
        """Let newly activated bundles take over."""
        try:
            while self._wants_reload and not self._stop.is_set():
                self._wants_reload = False
                self._manager.reloading()
                await asyncio.gather(*(pipeline.reload() for pipeline in self._pipelines))
                self._manager.ready(self._status())
        finally:
            self._wants_reload = None

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._config.agent.save_every_s)
            await self._save()

    async def _save(self) -> None:
        states = {p.options.name: p.take_state() for p in self._pipelines}
        await self._spool.add((), {name: state for name, state in states.items() if state is not None})

    async def _beat(self) -> None:
        """Tell the service manager that all is well, as long as it is."""
        watchdog_s = self._manager.watchdog_s
        beat_s = _BEAT_S if watchdog_s is None else min(_BEAT_S, watchdog_s / 4)
        next_retry = monotonic() + _RETRY_S
        while True:
            await asyncio.sleep(beat_s)
            if monotonic() >= next_retry and self._spool.busy_since is None:
                self._begin(self._spool.retry())
                next_retry = monotonic() + _RETRY_S
            if watchdog_s is not None and not self._hangs(watchdog_s / 2):
                self._manager.alive(self._status())

    async def _report(self, name: str, sink: HealthSink) -> None:
        """Tell a sink of the health of the assets that are its business."""
        wait_s = min(_FIRST_REPORT_S, sink.health_every_s)
        while True:
            await asyncio.sleep(wait_s)
            wait_s = sink.health_every_s
            for pipeline in self._pipelines:
                if pipeline.options.sinks is None or name in pipeline.options.sinks:
                    sink.report(health_report(self._config.agent.name, asset_snapshot(pipeline)))
                    await asyncio.sleep(0)  # samples are not to wait for all of them

    def _hangs(self, longest_s: float) -> bool:
        """Whether a batch of some stream, or the disk under the spool, has taken longer than that."""
        since = [self._spool.busy_since, *(pipeline.busy_since for pipeline in self._pipelines)]
        return any(begun is not None and monotonic() - begun > longest_s for begun in since)

    def _status(self) -> str:
        states = [pipeline.state for pipeline in self._pipelines]
        counts = {state: states.count(state) for state in dict.fromkeys(states)}
        return ", ".join(f"{n} {state}" for state, n in counts.items())

    # --- what others look at ------------------------------------------------------------------------

    def snapshot(self) -> AgentSnapshot:
        """The agent as it is now."""
        return AgentSnapshot(
            name=self._config.agent.name,
            version=__version__,
            started=self._started,
            uptime_s=monotonic() - self._started_at,
            rss_bytes=resident_bytes(),
            cpu_s=cpu_seconds(),
            assets=tuple(map(asset_snapshot, self._pipelines)),
            sinks=tuple(courier.snapshot() for courier in self._couriers),
            events_dropped=self._spool.dropped,
            events_unsaved=self._spool.n_unsaved,
            troubles=tuple((where, kind, n) for (where, kind), n in sorted(self._troubles.counts().items())),
        )

    def history(self, asset: str) -> History | None:
        """The newest scores of an asset; None for one that is not there."""
        found = (pipeline for pipeline in self._pipelines if pipeline.options.name == asset)
        return next((pipeline.recent.history() for pipeline in found), None)

    # --- parts --------------------------------------------------------------------------------------

    def _open_sink(self, part: Part) -> Sink:
        note, say = self._voice(part.name)
        context = SinkContext(self._config.agent.name, part.name, note, say)
        sink: Sink = part.open(part.options, context, *shared(part, self._brokers))
        return sink

    def _pipeline(self, asset: AssetOptions) -> Pipeline:
        part = self._config.sources[asset.name]
        chosen = self._sinks if asset.sinks is None else {name: self._sinks[name] for name in asset.sinks}
        return Pipeline(
            asset,
            lambda context: part.open(part.options, context, *shared(part, self._brokers)),
            part.address,
            [sink for sink in chosen.values() if isinstance(sink, DecisionSink)],
            self._spool,
            store=self._store,
            troubles=self._troubles,
            loader=self._loader,
        )

    def _spool_path(self) -> Path:
        if self._config.agent.spool:
            return Path(self._config.agent.spool)
        return open_store(self._store).root / "agent" / "spool.db"

    def _voice(self, where: str) -> tuple[Note, Callable[[str], None]]:
        return self._troubles.at(where), lambda text: self._troubles.over(where, text)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and task.exception() is not None:
            self._troubles.note("agent", "internal-error", f"a task failed: {task.exception()!r}")


def shared(part: Part, brokers: Brokers) -> tuple[Brokers, ...]:
    """What a kind of source or sink takes besides its options and context."""
    return (brokers,) if part.kind == "mqtt" else ()


async def _within(longest_s: float, work: Coroutine[Any, Any, None]) -> None:
    """Wait for something, but not for a disk that hangs."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(work, longest_s)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    tasks = list(tasks)  # each takes itself out of the agent's list as it ends
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
