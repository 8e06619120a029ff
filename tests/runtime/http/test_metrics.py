"""What Prometheus gets, as its own tools and a real one read it."""

import json
import math
import shutil
import subprocess
import urllib.parse
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_ad.runtime.http.metrics import STATES, exposition
from edge_ad.runtime.http.options import HttpOptions
from tests.runtime.http.browser import free_port
from tests.runtime.http.fake_agent import MANY, NASTY, PLANT, FakeAgent
from tests.runtime.http.serving import TOKEN, Serving, wait_until


@pytest.fixture
def agent():
    agent = FakeAgent()
    agent.freeze()
    return agent


def samples_of(snapshot):
    """Value by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition(snapshot).decode())
        for sample in family.samples
    }


def test_every_figure_is_there(agent):
    snapshot = agent.snapshot()
    samples = samples_of(snapshot)

    def value(name, **labels):
        return samples.get((name, frozenset(labels.items())))

    for asset in snapshot.assets:
        name = asset.name
        assert value("edge_ad_asset_score", asset=name) == asset.score
        states = {state: value("edge_ad_asset_state", asset=name, state=state) for state in STATES}
        assert states == {state: float(state == asset.state) for state in STATES}
        assert value("edge_ad_lines_total", asset=name) == asset.lines
        assert value("edge_ad_bad_lines_total", asset=name) == asset.bad_lines
        assert value("edge_ad_source_queue", asset=name) == asset.queued
        assert value("edge_ad_source_lag_seconds", asset=name) == asset.lag_s
        assert value("edge_ad_source_silence_seconds", asset=name) == asset.silent_s
        assert value("edge_ad_episodes_total", asset=name) == asset.episodes
        assert value("edge_ad_episode_open", asset=name) == (asset.episode is not None)
        assert value("edge_ad_missed_deadlines_total", asset=name) == asset.missed_deadlines
        assert value("edge_ad_bundle_swaps_total", asset=name) == asset.swaps
        assert value("edge_ad_decision_timestamp_seconds", asset=name) == asset.time
        for channel, contribution in asset.contributions:
            assert value("edge_ad_contribution", asset=name, channel=channel) == contribution
        if asset.service is None:
            assert value("edge_ad_asset_ucl", asset=name) is None
        else:
            assert value("edge_ad_asset_ucl", asset=name) == asset.service.ucl
            labels = {
                "bundle": asset.service.label,
                "build": "14",
                "version": "2026.11",
                "variant": "tiny-int8",
            }
            assert value("edge_ad_bundle_info", asset=name, engine="ai-edge-litert 2.3.0", **labels) == 1
        if asset.score is not None:
            assert value("edge_ad_asset_score_ratio", asset=name) == asset.score / asset.service.ucl
        if asset.health is not None:
            counts = asset.health.since_start
            for state in ("normal", "alarm", "unknown", "warming"):
                assert value("edge_ad_decisions_total", asset=name, state=state) == getattr(counts, state)
            for reason, count in counts.reasons.items():
                assert value("edge_ad_unknown_total", asset=name, reason=reason) == count
            assert value("edge_ad_drift_psi", asset=name) == asset.health.drift.psi
            assert value("edge_ad_drift_psi_noise", asset=name) == asset.health.drift.psi_noise
    for sink in snapshot.sinks:
        labels = {"sink": sink.name, "kind": sink.kind}
        assert value("edge_ad_sink_pending", **labels) == sink.pending
        assert value("edge_ad_sink_delivered_total", **labels) == sink.delivered
        assert value("edge_ad_sink_failed_total", **labels) == sink.failed
        assert value("edge_ad_sink_refused_total", **labels) == sink.refused
    for where, kind, count in snapshot.troubles:
        assert value("edge_ad_troubles_total", where=where, kind=kind) == count
    assert value("edge_ad_spool_dropped_total", severity="warning") == 4
    assert value("edge_ad_spool_unsaved") == snapshot.events_unsaved
    assert value("edge_ad_agent_info", agent="pump-house", version="0.7.0") == 1
    assert value("process_resident_memory_bytes") == snapshot.rss_bytes
    assert value("process_cpu_seconds_total") == snapshot.cpu_s
    assert value("process_start_time_seconds") == snapshot.started
    assert not any("python_" in name for name, _ in samples)


def test_the_histogram_is_one(agent):
    asset = agent.snapshot().assets[0]
    families = text_string_to_metric_families(exposition(agent.snapshot()).decode())
    family = next(family for family in families if family.name == "edge_ad_decision_seconds")
    assert family.type == "histogram"
    mine = [sample for sample in family.samples if sample.labels["asset"] == asset.name]
    buckets = [(float(s.labels["le"]), s.value) for s in mine if s.name.endswith("_bucket")]
    assert buckets[-1][0] == math.inf
    assert len(buckets) > 20
    for bound, count in buckets:
        assert count == sum(n for bound_us, n in asset.latency_histogram if bound_us <= bound * 1e6 + 1e-6)
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    (count,) = [s.value for s in mine if s.name.endswith("_count")]
    assert count == counts[-1] == sum(n for _, n in asset.latency_histogram)
    (total,) = [s.value for s in mine if s.name.endswith("_sum")]
    assert total == pytest.approx(asset.latency["total"].mean_us * asset.latency["total"].count / 1e6)


def test_an_agent_without_anything():
    empty = FakeAgent(kinds=()).snapshot()
    samples = samples_of(replace(empty, sinks=(), troubles=(), events_dropped={}))
    assert {name for name, _ in samples} == {
        "edge_ad_agent_info",
        "edge_ad_spool_unsaved",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    }


@pytest.mark.parametrize("kinds", [PLANT, NASTY, MANY, ()])
def test_prometheus_s_own_linter_has_nothing_to_say(kinds):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool")
    content = exposition(FakeAgent(kinds).snapshot())
    result = subprocess.run([promtool, "check", "metrics"], input=content, capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_strange_numbers_and_names(agent):
    snapshot = agent.snapshot()
    asset = replace(snapshot.assets[0], score=math.nan, name='a\n"\\\ud800é')
    samples = samples_of(replace(snapshot, assets=(asset,)))
    assert math.isnan(samples["edge_ad_asset_score", frozenset({("asset", 'a\n"\\?é')})])


class Prometheus:
    """A real one with one target. Use it in a `with` statement."""

    def __init__(self, folder, target, token_file=None):
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("needs prometheus")
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [{"job_name": "edge-ad", "static_configs": [{"targets": [target]}]}],
        }
        if token_file is not None:
            config["scrape_configs"][0]["authorization"] = {"credentials_file": str(token_file)}
        path = folder / "prometheus.yml"
        path.write_text(json.dumps(config))  # which is YAML too
        self._port = free_port()
        self._arguments = [
            program,
            f"--config.file={path}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._log = (folder / "prometheus.log").open("wb")

    def __enter__(self):
        self._process = subprocess.Popen(self._arguments, stdout=self._log, stderr=self._log)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def ask(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}", timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None  # not yet

    def query(self, expression):
        """Value by labels, the name and the target aside."""
        data = self.ask("query?" + urllib.parse.urlencode({"query": expression}))
        return {
            tuple(
                v for k, v in sorted(entry["metric"].items()) if k not in ("__name__", "instance", "job")
            ): float(entry["value"][1])
            for entry in (data["result"] if data else [])
        }


@pytest.mark.parametrize("with_token", [False, True])
def test_a_real_prometheus(tmp_path, agent, token_file, with_token):
    options = HttpOptions("127.0.0.1:0", str(token_file) if with_token else None)
    with (
        Serving(agent, options) as serving,
        Prometheus(tmp_path, f"127.0.0.1:{serving.port}", token_file if with_token else None) as prometheus,
    ):
        wait_until(lambda: prometheus.query("up") == {(): 1.0}, "prometheus scrapes")
        snapshot = agent.snapshot()
        scores = {(a.name,): a.score for a in snapshot.assets if a.score is not None}
        assert prometheus.query("edge_ad_asset_score") == scores
        assert prometheus.query("edge_ad_asset_score_ratio > 1").keys() == {("pump-2",)}
        assert prometheus.query("edge_ad_asset_state == 1") == {(a.name, a.state): 1 for a in snapshot.assets}
        assert prometheus.query("edge_ad_troubles_total") == {(k, w): n for w, k, n in snapshot.troubles}
        assert prometheus.query('edge_ad_contribution{asset="pump-2"}') == {
            ("pump-2", channel): value for channel, value in snapshot.assets[1].contributions
        }
        quantile = "histogram_quantile(0.5, edge_ad_decision_seconds_bucket)"
        assert prometheus.query(quantile)["pump-1",] == pytest.approx(50e-6, rel=0.3)
        target = prometheus.ask("targets")["activeTargets"][0]
        assert (target["health"], target["lastError"]) == ("up", "")
        types = {name: entry[0]["type"] for name, entry in prometheus.ask("metadata").items()}
        assert types["edge_ad_lines_total"] == "counter"
        assert types["edge_ad_decision_seconds"] == "histogram"
        assert serving.notes == []


def test_a_real_prometheus_with_another_token(tmp_path, agent, token_file):
    other = tmp_path / "other"
    other.write_text(TOKEN[::-1])
    with (
        Serving(agent, HttpOptions("127.0.0.1:0", str(token_file))) as serving,
        Prometheus(tmp_path, f"127.0.0.1:{serving.port}", other) as prometheus,
    ):
        wait_until(lambda: prometheus.query("up") == {(): 0.0}, "prometheus tries")
        wait_until(lambda: "no-token" in serving.kinds)
        target = prometheus.ask("targets")["activeTargets"][0]
        assert "401" in target["lastError"] or "429" in target["lastError"]
