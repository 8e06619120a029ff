"""An agent that only pretends, for the page and the metrics: what it shows follows from the time alone.

`python -m tests.runtime.http.fake_agent [LISTEN [TOKEN_FILE]]` serves it until it is interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge_ad.bundle.manifest import Channel
from edge_ad.detect.drift import DriftFigures
from edge_ad.detect.episodes import Episode
from edge_ad.runtime.arrivals import ArrivalSummary
from edge_ad.runtime.health import HealthCounts, HealthSummary
from edge_ad.runtime.http.options import HttpOptions
from edge_ad.runtime.http.server import HttpServer
from edge_ad.runtime.latency import STAGES, LatencySummary
from edge_ad.runtime.sinks.sink import InService
from edge_ad.runtime.snapshot import AgentSnapshot, AssetSnapshot, History, SinkSnapshot

N_POINTS = 600
CHANNELS = (
    Channel("Accelerometer1RMS", "g"),
    Channel("Accelerometer2RMS", "g"),
    Channel("Current", "A"),
    Channel("Pressure", "bar"),
    Channel("Temperature", "°C"),
    Channel("Thermocouple", "°C"),
    Channel("Voltage", "V"),
    Channel("Volume Flow RateRMS", "l/min"),
)
SHARES = (0.05, 0.04, 0.11, 0.22, 0.03, 0.02, 0.06, 0.47)


@dataclass(frozen=True)
class Kind:
    """How a pretended asset does."""

    name: str
    state: str = "normal"
    reason: str | None = None
    level: float = 0.45
    """Score as a multiple of the limit, apart from its ups and downs."""
    silent_s: float | None = 0.4
    channels: tuple[Channel, ...] = CHANNELS
    bundle: str = "8c1f5e0a77d24b9eb3"
    source: str = "mqtt 10.0.0.2 plant/samples"
    ucl: float = 1.317


PLANT = (
    Kind("pump-1"),
    Kind("pump-2", "alarm", level=2.6, source="tcp 10.0.0.7:4000"),
    Kind("compressor", "unknown", "stuck: Temperature has shown 71.3 for 60 samples", level=0.5),
    Kind("cooling-fan", level=0.3, silent_s=192.0, source="serial /dev/ttyUSB0 115200"),
    Kind("mixer", "warming", "warming: 3 of 10 samples"),
    Kind(
        "furnace", "down", "there is no bundle for @furnace in the store", source="mqtt 10.0.0.2 oven/samples"
    ),
    Kind("conveyor", "waiting", silent_s=None, source="tail /var/log/conveyor.csv"),
    Kind("feed-pump", level=0.82),
)
SCRIPT = "<script>document.title='taken'</script>"
NASTY = (
    *PLANT[:3],
    Kind(
        f'a/b "{SCRIPT}',
        "alarm",
        level=1.4,
        channels=tuple(
            replace(channel, name=f"{SCRIPT}{i}", unit="<b>") for i, channel in enumerate(CHANNELS)
        ),
        bundle="<img src=x onerror=alert(1)>",
        source="tcp \x1b[2J\ud800<i>x</i>",
    ),
)
MANY = tuple(
    Kind(f"asset-{i:02d}", "alarm" if i == 50 else "normal", level=2 if i == 50 else 0.4) for i in range(64)
)


class FakeAgent:
    """An `AgentView`."""

    def __init__(self, kinds: Sequence[Kind] = PLANT, clock: Callable[[], float] = time.time) -> None:
        self.kinds = tuple(kinds)
        self.clock = clock
        self.started = clock() - 277_450.0
        self.alarm_since = clock() - 214.0
        self.snapshots = 0
        """How many were asked for."""
        self.frozen: float | None = None

    @property
    def now(self) -> float:
        return self.clock() if self.frozen is None else self.frozen

    def freeze(self) -> None:
        """From here on every snapshot is the same."""
        self.frozen = self.clock()

    def snapshot(self) -> AgentSnapshot:
        self.snapshots += 1
        now = self.now
        uptime = now - self.started
        return AgentSnapshot(
            name="pump-house",
            version="0.7.0",
            started=self.started,
            uptime_s=uptime,
            rss_bytes=56_300_000,
            cpu_s=round(uptime * 0.021, 2),
            assets=tuple(self._asset(kind, now) for kind in self.kinds),
            sinks=(
                SinkSnapshot("plant", "mqtt", 0, 84, 2, 0, None),
                SinkSnapshot(
                    "maintenance",
                    "webhook",
                    3,
                    81,
                    17,
                    1,
                    "https://hooks.example/edge answered 503 Service Unavailable; tried again in 40 s",
                ),
            ),
            events_dropped={"warning": 4},
            events_unsaved=0,
            troubles=(
                ("compressor", "bad-line", 12),
                ("maintenance", "undelivered", 17),
                ("http", "no-token", 2),
            ),
        )

    def history(self, asset: str) -> History | None:
        kind = next((kind for kind in self.kinds if kind.name == asset), None)
        if kind is None:
            return None
        if kind.state in ("down", "waiting"):
            return History((), (), (), ())
        newest = math.floor(self.now - (kind.silent_s or 0))
        times = range(newest - N_POINTS + 1, newest + 1)
        if kind.state == "warming":
            times = times[-3:]
        points = [self._point(kind, second) for second in times]
        return History(
            times=tuple(float(second) for second in times),
            scores=tuple(None if ratio is None else ratio * kind.ucl for _, ratio in points),
            states=tuple(state for state, _ in points),
            ucls=(kind.ucl,) * len(times),
        )

    def _point(self, kind: Kind, second: int) -> tuple[str, float | None]:
        """State and ratio at a second."""
        if kind.state == "warming":
            return "warming", None
        if kind.state == "unknown" and self.now - second < 95:
            return "unknown", None
        # Counted from the start, so that such a gap is at the same place whatever the time of day.
        if (second - math.floor(self.started) + 300) % 611 < 11 and second < self.now - 90:
            return "unknown", None
        phase = sum(map(ord, kind.name))
        noise = math.sin(second * 12.9898 + phase) * 43758.5453
        noise -= math.floor(noise)
        wave = math.sin(second / 47 + phase) * 0.08 + math.sin(second / 11) * 0.05
        level = kind.level
        if kind.state == "alarm":
            rise = min(1.0, max(0.0, (second - self.alarm_since + 12) / 30))
            level = 0.45 + (kind.level - 0.45) * rise
        ratio = max(0.02, level * (1 + wave) + (noise - 0.5) * 0.16 * max(1.0, level * 0.6))
        is_alarm = kind.state == "alarm" and second >= self.alarm_since
        return ("alarm" if is_alarm else "normal"), ratio

    def _asset(self, kind: Kind, now: float) -> AssetSnapshot:
        state, scored = kind.state, kind.state in ("normal", "alarm")
        newest = math.floor(now - (kind.silent_s or 0))
        has_time = state not in ("down", "waiting")
        ratio = self._point(kind, newest)[1] if scored else None
        score = None if ratio is None else ratio * kind.ucl
        n = int(now - self.started)
        return AssetSnapshot(
            name=kind.name,
            service=None if state == "down" else self._service(kind),
            state=state,
            reason=kind.reason,
            time=float(newest) if has_time else None,
            stamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest)) if has_time else None,
            score=score,
            severity="critical" if state == "alarm" else None,
            contributions=self._contributions(kind, score),
            episode=self._episode(kind, newest) if state == "alarm" else None,
            episodes=3 if state == "alarm" else 1,
            source=kind.source,
            lines=n + 1 if has_time else 0,
            bad_lines=12 if state == "unknown" else 0,
            queued=1 if state == "alarm" else 0,
            lag_s=0.0021 if has_time else None,
            silent_s=kind.silent_s if kind.silent_s is None or kind.silent_s < 2 else now - newest,
            swaps=1 if state == "alarm" else 0,
            health=self._health(state, n) if has_time else None,
            latency=_latency(n) if has_time else {},
            latency_histogram=_histogram(n) if has_time else (),
            missed_deadlines=0,
            arrivals=ArrivalSummary(n, 1000.0, 1001.2, 1000.1, 1043.0, 4.1, 43.5, 2210.0)
            if has_time
            else None,
        )

    def _contributions(self, kind: Kind, score: float | None) -> tuple[tuple[str, float], ...]:
        """Of the newest scored sample, which an unknown one is not."""
        if score is None and kind.state == "unknown":
            score = 0.5 * kind.ucl
        names = (channel.name for channel in kind.channels)
        if score is None:
            return ()
        return tuple((name, share * score) for name, share in zip(names, SHARES, strict=True))

    def _service(self, kind: Kind) -> InService:
        return InService(
            asset=kind.name,
            bundle_id=kind.bundle,
            build_number=14,
            model_version="2026.11",
            overlay_id="d00dfeed5a1e99" if kind.name == "pump-2" else None,
            variant="tiny-int8",
            engine="ai-edge-litert 2.3.0",
            channels=kind.channels,
            ucl=kind.ucl,
            severities=("warning", "critical"),
            sample_period_s=1.0,
        )

    def _episode(self, kind: Kind, newest: int) -> Episode:
        top = sorted(zip((c.name for c in kind.channels), SHARES, strict=True), key=lambda pair: -pair[1])
        return Episode(
            number=3,
            start=math.ceil(self.alarm_since),
            last=float(newest),
            end=None,
            peak_score=kind.level * 1.31 * kind.ucl,
            peak_time=math.ceil(self.alarm_since) + 96.0,
            peak_ratio=kind.level * 1.31,
            severity="critical",
            n_alarms=max(1, newest - math.ceil(self.alarm_since)),
            top_channels=tuple(top[:3]),
        )

    def _health(self, state: str, n: int) -> HealthSummary:
        reasons = (
            {"gap": 40, "refilling": 96, "warming": 9, "stuck": 95}
            if state == "unknown"
            else {"gap": 7, "warming": 9}
        )
        unknown = sum(reasons.values()) - 9
        alarm = 310 if state == "alarm" else 0

        def counts(total: int) -> HealthCounts:
            return HealthCounts(
                decisions=total,
                normal=total - unknown - alarm - 9,
                alarm=alarm,
                unknown=unknown,
                warming=9,
                unknown_share=unknown / total,
                reasons=reasons,
                episodes=3 if state == "alarm" else 1,
                episodes_per_day=3 * 86400 / total if state == "alarm" else 86400 / total,
                missed_deadlines=0,
            )

        level, psi = ("moderate", 0.171) if state == "alarm" else ("stable", 0.043)
        drift = DriftFigures(86_000, level, psi, 0.021, 0.06, 0.004)
        return HealthSummary(counts(min(n, 86_400)), counts(n), drift)


def _latency(n: int) -> dict[str, LatencySummary]:
    means = {**dict(zip(STAGES, (6.1, 4.4, 31.0, 7.3, 1.9), strict=True)), "total": 50.7}
    return {
        stage: LatencySummary(n, mean, mean * 0.97, mean * 1.4, mean * 2.1, mean * 5, mean * 23, mean * 0.2)
        for stage, mean in means.items()
    }


def _histogram(n: int) -> tuple[tuple[float, int], ...]:
    weights = (0.02, 0.83, 0.12, 0.02, 0.006, 0.003, 0.001)
    return tuple((2 ** (15 + i) / 1000, int(n * weight)) for i, weight in enumerate(weights))


async def serve(listen: str, token_file: str | None = None, kinds: Sequence[Kind] = PLANT) -> None:
    """Until cancelled."""
    tell = lambda *words: print(*words, file=sys.stderr)  # noqa: E731
    server = HttpServer(HttpOptions(listen, token_file), FakeAgent(kinds), tell, tell)
    await server.start()
    print(server.address and server.address.url, flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        chosen = {"nasty": NASTY, "many": MANY}.get(sys.argv[3] if len(sys.argv) > 3 else "", PLANT)
        asyncio.run(
            serve(
                sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080",
                (sys.argv[2:3] or [None])[0] or None,
                chosen,
            )
        )
