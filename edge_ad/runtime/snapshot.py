"""What an agent shows of itself at a moment: the status page and the metrics are made of this alone."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.detect.episodes import Episode
from edge_ad.runtime.arrivals import ArrivalSummary
from edge_ad.runtime.health import HealthSummary
from edge_ad.runtime.latency import LatencySummary
from edge_ad.runtime.sinks.sink import InService


@dataclass(frozen=True)
class AssetSnapshot:
    """One asset and its stream."""

    name: str
    service: InService | None
    """None while no bundle is in service."""
    state: str
    """Of the newest decision: `normal`, `alarm`, `unknown`, `warming`; `waiting` before any; `down` while no
    bundle is in service; `ended` after the end of a stream that has one."""
    reason: str | None
    """Of `unknown`, `warming` and `down`."""
    time: float | None
    """Of the newest decision, in seconds since the epoch, by the stream's clock."""
    stamp: str | None
    """The same as it was written."""
    score: float | None
    severity: str | None
    contributions: tuple[tuple[str, float], ...]
    """Channel name and contribution, of the newest scored sample; in the bundle's order."""
    episode: Episode | None
    """The one that is open."""
    episodes: int
    """Begun since the agent's state was first written."""
    source: str
    """Kind and address of the source, without secrets: `tcp 10.0.0.7:4000`."""
    lines: int
    """Received since the start, headers and empty ones included."""
    bad_lines: int
    """Those that could not be read as a sample."""
    queued: int
    """Received and not decided."""
    lag_s: float | None
    """From the arrival of the newest decided sample to its decision; None where arrivals are not timed."""
    silent_s: float | None
    """Since the newest arrival; None before it."""
    swaps: int
    """Bundles that took over while the agent ran."""
    health: HealthSummary | None
    latency: dict[str, LatencySummary]
    latency_histogram: tuple[tuple[float, int], ...]
    """Upper bounds in microseconds, doubling, and how many decisions took as long; empty before any."""
    missed_deadlines: int
    arrivals: ArrivalSummary | None


@dataclass(frozen=True)
class SinkSnapshot:
    """One sink that events are delivered to."""

    name: str
    kind: str
    pending: int
    """Events on disk, or waiting for the disk, that the sink does not have yet."""
    delivered: int
    """Since the start."""
    failed: int
    """Deliveries that did not get through, since the start; each is tried again."""
    refused: int
    """Events given up since the start, because the other side will never take them."""
    last_error: str | None
    """Why the newest delivery did not get through; None after one that did."""


@dataclass(frozen=True)
class AgentSnapshot:
    """All of it."""

    name: str
    version: str
    started: float
    """Seconds since the epoch."""
    uptime_s: float
    rss_bytes: int
    cpu_s: float
    """Processor time used so far."""
    assets: tuple[AssetSnapshot, ...]
    sinks: tuple[SinkSnapshot, ...]
    events_dropped: dict[str, int]
    """Events that the bounded spool had no room for, by severity (`none` without one)."""
    events_unsaved: int
    """Events that wait for room on the disk, in memory."""
    troubles: tuple[tuple[str, str, int], ...]
    """Place, kind, how often since the start."""


@dataclass(frozen=True)
class History:
    """The newest decisions of an asset, oldest first, thinned to about one a second at most."""

    times: tuple[float, ...]
    """Seconds since the epoch."""
    scores: tuple[float | None, ...]
    """Highest of its second; None where there was none."""
    states: tuple[str, ...]
    """Worst of its second."""
    ucls: tuple[float, ...]
