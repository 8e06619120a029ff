"""`/metrics`: the agent's figures as Prometheus takes them.

Names and units follow the conventions of Prometheus: base units, `_total` for what only grows.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_ad.errors import MissingDependencyError
from edge_ad.runtime.snapshot import AgentSnapshot, AssetSnapshot, SinkSnapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("normal", "alarm", "unknown", "warming", "waiting", "down", "ended")
DECIDED = ("normal", "alarm", "unknown", "warming")
_BOUNDS_S = tuple(2**i / 1e9 for i in range(13, 34))
"""Of the buckets of a histogram, always the same ones: 8 µs to 8.6 s, bounds of the detector's own."""


def check_installed() -> None:
    """Raises MissingDependencyError. The package itself is loaded by the first request for metrics only."""
    if importlib.util.find_spec("prometheus_client") is None:
        raise MissingDependencyError(
            "[http] metrics needs prometheus-client: pip install 'edge-ad[prometheus]' (or metrics = false)"
        )


def exposition(snapshot: AgentSnapshot) -> bytes:
    """A snapshot in the text format of Prometheus."""
    from prometheus_client import generate_latest

    return generate_latest(_Collected(snapshot))


class _Collected:
    """Metrics of one snapshot; what there is no value for is left out."""

    def __init__(self, snapshot: AgentSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        yield from _agent(self._snapshot)
        yield from _scores(self._snapshot.assets)
        yield from _decisions(self._snapshot.assets)
        yield from _sources(self._snapshot.assets)
        yield from _sinks(self._snapshot.sinks)


def _agent(agent: AgentSnapshot) -> Iterator[Metric]:
    info = _Family("gauge", "edge_ad_agent_info", "The agent that is asked; always 1.", "agent", "version")
    info.add(1, agent.name, agent.version)
    yield info.metric
    for name, text, value in (
        ("process_start_time_seconds", "When the process started, since the epoch.", agent.started),
        ("process_resident_memory_bytes", "Resident memory of the process.", agent.rss_bytes),
    ):
        yield _single("gauge", name, text, value)
    yield _single("counter", "process_cpu_seconds", "Processor time that the process has used.", agent.cpu_s)
    dropped = _Family(
        "counter", "edge_ad_spool_dropped", "Events that the spool had no room for.", "severity"
    )
    for severity, count in agent.events_dropped.items():
        dropped.add(count, severity)
    yield dropped.metric
    text = "Events that wait in memory for room on the disk."
    yield _single("gauge", "edge_ad_spool_unsaved", text, agent.events_unsaved)
    troubles = _Family("counter", "edge_ad_troubles", "What went wrong, by place and kind.", "where", "kind")
    for where, kind, count in agent.troubles:
        troubles.add(count, where, kind)
    yield troubles.metric


def _scores(assets: tuple[AssetSnapshot, ...]) -> Iterator[Metric]:
    score = _Family("gauge", "edge_ad_asset_score", "Anomaly score of the newest decision.", "asset")
    ucl = _Family("gauge", "edge_ad_asset_ucl", "Upper control limit of the score.", "asset")
    ratio = _Family("gauge", "edge_ad_asset_score_ratio", "Score as a multiple of its limit.", "asset")
    state = _Family("gauge", "edge_ad_asset_state", "1 for the state the asset is in.", "asset", "state")
    share = _Family(
        "gauge", "edge_ad_contribution", "A channel's part of the newest score.", "asset", "channel"
    )
    labels = ("asset", "bundle", "build", "version", "variant", "engine")
    bundle = _Family("gauge", "edge_ad_bundle_info", "The bundle in service; always 1.", *labels)
    swaps = _Family("counter", "edge_ad_bundle_swaps", "Bundles that took over while the agent ran.", "asset")
    psi = _Family("gauge", "edge_ad_drift_psi", "Population stability index of a day's scores.", "asset")
    noise = _Family("gauge", "edge_ad_drift_psi_noise", "What that reaches by chance alone.", "asset")
    for asset in assets:
        name, service = asset.name, asset.service
        score.add(asset.score, name)
        for known in STATES:
            state.add(int(asset.state == known), name, known)
        for channel, contribution in asset.contributions:
            share.add(contribution, name, channel)
        swaps.add(asset.swaps, name)
        if service is not None:
            ucl.add(service.ucl, name)
            if asset.score is not None and service.ucl:
                ratio.add(asset.score / service.ucl, name)
            build, version = str(service.build_number), service.model_version
            bundle.add(1, name, service.label, build, version, service.variant, service.engine)
        if asset.health is not None and asset.health.drift is not None:
            psi.add(asset.health.drift.psi, name)
            noise.add(asset.health.drift.psi_noise, name)
    yield from (family.metric for family in (score, ucl, ratio, state, share, bundle, swaps, psi, noise))


def _decisions(assets: tuple[AssetSnapshot, ...]) -> Iterator[Metric]:
    decisions = _Family("counter", "edge_ad_decisions", "Decisions since the start.", "asset", "state")
    text = "Decisions without a score since the start, by kind of reason."
    unknown = _Family("counter", "edge_ad_unknown", text, "asset", "reason")
    seconds = _Family("histogram", "edge_ad_decision_seconds", "From sample to decision.", "asset")
    missed = _Family("counter", "edge_ad_missed_deadlines", "Decisions later than the next sample.", "asset")
    newest = _Family(
        "gauge", "edge_ad_decision_timestamp_seconds", "Newest decision, by the stream's clock.", "asset"
    )
    episodes = _Family("counter", "edge_ad_episodes", "Alarm episodes that began.", "asset")
    is_open = _Family("gauge", "edge_ad_episode_open", "Whether an alarm episode lasts.", "asset")
    for asset in assets:
        name = asset.name
        if asset.health is not None:
            counts = asset.health.since_start
            for state in DECIDED:
                decisions.add(getattr(counts, state), name, state)
            for reason, count in counts.reasons.items():
                unknown.add(count, name, reason)
        seconds.add_histogram(asset)
        missed.add(asset.missed_deadlines, name)
        newest.add(asset.time, name)
        episodes.add(asset.episodes, name)
        is_open.add(int(asset.episode is not None), name)
    yield from (f.metric for f in (decisions, unknown, seconds, missed, newest, episodes, is_open))


def _sources(assets: tuple[AssetSnapshot, ...]) -> Iterator[Metric]:
    lines = _Family("counter", "edge_ad_lines", "Lines received.", "asset")
    bad = _Family("counter", "edge_ad_bad_lines", "Lines that could not be read as a sample.", "asset")
    lag = _Family("gauge", "edge_ad_source_lag_seconds", "From arrival to decision, newest sample.", "asset")
    queue = _Family("gauge", "edge_ad_source_queue", "Lines received and not decided.", "asset")
    silent = _Family("gauge", "edge_ad_source_silence_seconds", "Since the newest arrival.", "asset")
    for asset in assets:
        lines.add(asset.lines, asset.name)
        bad.add(asset.bad_lines, asset.name)
        lag.add(asset.lag_s, asset.name)
        queue.add(asset.queued, asset.name)
        silent.add(asset.silent_s, asset.name)
    yield from (family.metric for family in (lines, bad, lag, queue, silent))


def _sinks(sinks: tuple[SinkSnapshot, ...]) -> Iterator[Metric]:
    labels = ("sink", "kind")
    pending = _Family("gauge", "edge_ad_sink_pending", "Events that the sink does not have yet.", *labels)
    delivered = _Family("counter", "edge_ad_sink_delivered", "Events that the sink has.", *labels)
    failed = _Family("counter", "edge_ad_sink_failed", "Deliveries that are tried again.", *labels)
    refused = _Family("counter", "edge_ad_sink_refused", "Events that the sink will never take.", *labels)
    for sink in sinks:
        pending.add(sink.pending, sink.name, sink.kind)
        delivered.add(sink.delivered, sink.name, sink.kind)
        failed.add(sink.failed, sink.name, sink.kind)
        refused.add(sink.refused, sink.name, sink.kind)
    yield from (family.metric for family in (pending, delivered, failed, refused))


class _Family:
    """One metric with its samples."""

    def __init__(self, kind: str, name: str, text: str, *labels: str) -> None:
        from prometheus_client.core import Metric

        self.metric = Metric(name, text, kind)
        self._suffix = "_total" if kind == "counter" else ""
        self._labels = labels

    def add(self, value: float | None, *labels: str) -> None:
        """A sample; none for None."""
        if value is not None:
            self._add(self._suffix, dict(zip(self._labels, map(_utf8, labels), strict=True)), value)

    def add_histogram(self, asset: AssetSnapshot) -> None:
        """How long the asset's decisions took."""
        total = asset.latency.get("total")
        if total is None or not asset.latency_histogram:
            return
        label, whole = {"asset": _utf8(asset.name)}, sum(count for _, count in asset.latency_histogram)
        for bound in _BOUNDS_S:
            # of two equal bounds either may be rounded
            up_to = sum(n for bound_us, n in asset.latency_histogram if bound_us / 1e6 <= bound * 1.000001)
            self._add("_bucket", {**label, "le": repr(bound)}, up_to)
        self._add("_bucket", {**label, "le": "+Inf"}, whole)
        self._add("_count", label, whole)
        self._add("_sum", label, total.mean_us * total.count / 1e6)

    def _add(self, suffix: str, labels: dict[str, str], value: float) -> None:
        self.metric.add_sample(self.metric.name + suffix, labels, value)


def _single(kind: str, name: str, text: str, value: float) -> Metric:
    family = _Family(kind, name, text)
    family.add(value)
    return family.metric


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
