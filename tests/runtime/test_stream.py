import io
import json
import math

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.codec import encode
from edge_ad.detect.decision import Decision
from edge_ad.runtime import Detector
from edge_ad.runtime.monitor import Monitor
from edge_ad.runtime.sinks.episode_lines import EpisodeLines
from edge_ad.runtime.sinks.ndjson import NdjsonSink
from edge_ad.runtime.sources.csv_lines import CsvLines, Sample
from edge_ad.runtime.stream import StreamRun


def written(decision, stamp="now", names=("a", "b")):
    stream = io.StringIO()
    NdjsonSink(stream, names, flush_each=True).write(decision, stamp)
    assert stream.getvalue().endswith("\n")
    return json.loads(stream.getvalue())


def test_a_scored_line():
    decision = Decision(5.0, "alarm", 3.3000000000000003, 1.5, np.array([1.1, 2.2]))
    assert written(decision) == {
        "time": "now",
        "state": "alarm",
        "score": 3.3000000000000003,
        "ucl": 1.5,
        "alarm": True,
        "contributions": {"a": 1.1, "b": 2.2},
    }


def test_an_unknown_line():
    decision = Decision(5.0, "unknown", None, 1.5, None, "gap: 247 s")
    line = written(decision)
    assert (line["state"], line["score"], line["alarm"]) == ("unknown", None, False)
    assert (line["contributions"], line["reason"]) == (None, "gap: 247 s")


@pytest.mark.parametrize("text", ['a"b', "back\\slash", "50 %", "%s%d", "µ", "line\nend", "\x00"])
def test_odd_names_and_stamps(text):
    decision = Decision(5.0, "normal", 1.0, 1.5, np.array([0.25, 0.75]))
    line = written(decision, stamp=text, names=(text, "other"))
    assert line["time"] == text
    assert line["contributions"] == {text: 0.25, "other": 0.75}


def run(toy, samples, emit=lambda decision, stamp: None, *, live=False, tell=None):
    monitor = Monitor(toy, Detector.load(toy), tell=tell)
    return StreamRun(monitor, emit, live=live).run(samples)


def test_an_alarm_names_its_severity():
    decision = Decision(5.0, "alarm", 3.0, 1.5, np.array([1.0, 2.0]), None, "critical")
    assert written(decision)["severity"] == "critical"
    assert "resampled" not in written(decision)
    assert written(decision._replace(resampled=True))["resampled"] is True


def test_the_summary_counts(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)
    normal = toy.manifest.scaler.offset
    samples = [Sample(float(t), normal, str(t), t) for t in range(30)]
    samples[20] = Sample(20.0, [math.nan] * 8, "20", 20)
    got = []
    summary = run(toy, samples, lambda decision, stamp: got.append(stamp))
    assert (summary.samples, summary.scored, summary.unknown, summary.alarms) == (30, 11, 10, 0)
    assert got == [str(t) for t in range(30)]
    assert summary.latency_us["total"].count == 11
    assert summary.rss_bytes > 1e6
    assert not summary.interrupted
    assert (summary.missed_deadlines, summary.episodes, summary.arrivals) == (0, 0, None)
    assert summary.cold_start_s > 0
    assert summary.cpu_share > 0
    health = summary.health.since_start
    assert (health.decisions, health.normal, health.unknown, health.warming) == (30, 11, 10, 9)
    assert health.reasons == {"warming": 9, "missing": 1, "refilling": 9}
    assert summary.health.drift.n_windows == 11
    json.dumps(encode(summary))


def test_episodes_are_told_and_counted(toy_bundle_path, toy_csv, tmp_path):
    toy = bundles.read(toy_bundle_path)
    columns = [channel.name for channel in toy.manifest.channels]
    lines = io.StringIO()
    with toy_csv.open() as file:
        samples = CsvLines(file, toy.manifest.input, columns, name="toy", strict=False)
        summary = run(toy, samples, tell=EpisodeLines(lines).write)
    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [record["change"] for record in records] == ["began", "worsened", "ended"]
    assert (summary.episodes, summary.health.day.episodes) == (1, 1)
    ended = records[-1]
    assert ended["start"] == "2026-01-05T08:11:08.000Z"
    assert ended["n_alarms"] == summary.alarms
    assert ended["severity"] == "critical"
    assert next(iter(ended["top_channels"])) == "Volume Flow RateRMS"


def test_a_live_stream_times_arrivals(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)
    samples = [Sample(float(t), toy.manifest.scaler.offset, str(t), t) for t in range(12)]
    arrivals = run(toy, samples, live=True).arrivals
    assert (arrivals.count, arrivals.nominal_ms) == (11, 1000.0)


def test_ctrl_c_still_gives_a_summary(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)

    def stream():
        for t in range(15):
            yield Sample(float(t), toy.manifest.scaler.offset, str(t), t)
        raise KeyboardInterrupt

    summary = run(toy, stream())
    assert summary.interrupted
    assert summary.scored == 6
