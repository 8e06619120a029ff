"""Snapshots of pipelines, for the status page and the metrics."""

from __future__ import annotations

from time import monotonic

from edge_ad.runtime.agent.pipeline import Pipeline
from edge_ad.runtime.snapshot import AssetSnapshot


def asset_snapshot(pipeline: Pipeline) -> AssetSnapshot:
    """An asset as it is now."""
    run, now = pipeline.run_, monotonic()
    decision, stamp = pipeline.newest or (None, None)
    scored = pipeline.newest_scored
    monitor = None if run is None else run.monitor
    latency = None if monitor is None else monitor.detector.latency
    shares: tuple[tuple[str, float], ...] = ()
    if run is not None and scored is not None and scored.contributions is not None:
        names = [channel.name for channel in run.service.channels]
        if len(names) == len(scored.contributions):  # not those of a former bundle with other channels
            shares = tuple(zip(names, scored.contributions.tolist(), strict=True))
    return AssetSnapshot(
        name=pipeline.options.name,
        service=None if run is None else run.service,
        state=pipeline.state,
        reason=pipeline.down if run is None else None if decision is None else decision.reason,
        time=None if decision is None else decision.time,
        stamp=stamp,
        score=None if decision is None else decision.score,
        severity=None if decision is None else decision.severity,
        contributions=shares,
        episode=None if monitor is None else monitor.episodes.open,
        episodes=0 if monitor is None else monitor.episodes.count,
        source=pipeline.source_name,
        lines=pipeline.lines,
        bad_lines=pipeline.bad_lines,
        queued=getattr(pipeline.source, "queued", 0),
        lag_s=pipeline.lag_s,
        silent_s=None if pipeline.arrived is None else now - pipeline.arrived,
        swaps=pipeline.swaps,
        health=None if monitor is None else monitor.health.summary(),
        latency={} if latency is None else latency.summary(),
        latency_histogram=() if latency is None else latency.histogram_us(),
        missed_deadlines=0 if latency is None else latency.missed_deadlines or 0,
        arrivals=None if monitor is None else monitor.arrivals.summary(now),
    )
