"""The service as a whole: assets, spool, sinks, status page, and the signals that steer it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

from edge_ad import __version__
from edge_ad.runtime.agent.config import AgentConfig, Part
from edge_ad.runtime.agent.courier import Courier
from edge_ad.runtime.agent.notify import ServiceManager
from edge_ad.runtime.agent.pipeline import Pipeline
from edge_ad.runtime.agent.spool import Spool
from edge_ad.runtime.agent.view import asset_snapshot
from edge_ad.runtime.mqtt.brokers import Brokers
from edge_ad.runtime.process import cpu_seconds, give_back_memory, resident_bytes
from edge_ad.runtime.sinks.sink import DecisionSink, EventSink, Sink, SinkContext
from edge_ad.runtime.snapshot import AgentSnapshot, History
from edge_ad.runtime.store.store import open_store
from edge_ad.runtime.troubles import Troubles

_READY_WITHIN_S = 60.0
"""After that the service counts as started, whatever is still missing."""
_BEAT_S = 1.0
_RETRY_S = 5.0
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
        self._pipelines = [self._pipeline(i) for i in range(len(config.assets))]

    # --- life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT, or the end of all streams."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._begin(self._reload()))
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
            await self._until_the_end(streams)
        finally:
            await self._end(streams)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _until_the_end(self, streams: list[asyncio.Task[None]]) -> None:
        stop = asyncio.create_task(self._stop.wait())
        ready: asyncio.Future[Any] = asyncio.gather(*(p.ready.wait() for p in self._pipelines))
        try:
            starting: set[asyncio.Future[Any]] = {stop, ready}
            await asyncio.wait(starting, timeout=_READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
            give_back_memory()
            self._manager.ready(self._status())
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
        await self._save()
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
        await self._spool.close()
        self._loader.shutdown(wait=False, cancel_futures=True)

    # --- what is done now and then ------------------------------------------------------------------

    async def _reload(self) -> None:
        """SIGHUP: let newly activated bundles take over."""
        self._manager.reloading()
        for pipeline in self._pipelines:
            await pipeline.reload()
        self._manager.ready(self._status())

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
            if monotonic() >= next_retry:
                self._begin(self._spool.retry())
                next_retry = monotonic() + _RETRY_S
            if watchdog_s is not None and not self._hangs(watchdog_s / 2):
                self._manager.alive(self._status())

    def _hangs(self, longest_s: float) -> bool:
        """Whether a batch of some stream has been worked on for longer than that."""
        now = monotonic()
        return any(p.busy_since is not None and now - p.busy_since > longest_s for p in self._pipelines)

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
        sink: Sink = part.open(part.options, context, *self._shared(part))
        return sink

    def _shared(self, part: Part) -> tuple[Brokers, ...]:
        """What a kind of source or sink takes besides its options and context."""
        return (self._brokers,) if part.kind == "mqtt" else ()

    def _pipeline(self, number: int) -> Pipeline:
        asset = self._config.assets[number]
        part = self._config.sources[asset.name]
        chosen = self._sinks if asset.sinks is None else {name: self._sinks[name] for name in asset.sinks}
        return Pipeline(
            asset,
            lambda context: part.open(part.options, context, *self._shared(part)),
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
        # systemd's own folder for the service, where there is one
        made = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        return (Path(made) if made else open_store(self._store).root / "agent") / "spool.db"

    def _voice(self, where: str) -> tuple[Any, Callable[[str], None]]:
        return self._troubles.at(where), lambda text: self._troubles.say(where, text)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and task.exception() is not None:
            self._troubles.note("agent", "internal-error", f"a task failed: {task.exception()!r}")


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
