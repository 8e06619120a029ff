import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.codec import encode
from edge_ad.detect.decision import Decision
from edge_ad.errors import OutputError
from edge_ad.runtime import Detector
from edge_ad.runtime.monitor import Monitor
from edge_ad.runtime.sinks.episode_lines import EpisodeLines
from edge_ad.runtime.sinks.ndjson import NdjsonSink
from edge_ad.runtime.sources.csv_lines import CsvLines, Sample
from edge_ad.runtime.sources.in_order import InOrder
from edge_ad.runtime.stream import StreamRun, timed


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


def run(toy, samples, emit=lambda decision, stamp: None, *, tell=None):
    return StreamRun(Monitor(toy, Detector.load(toy), tell=tell), emit).run(samples)


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
    path, said = tmp_path / "episodes.ndjson", []
    path.write_text('{"torn": ')  # by a run that was killed
    with toy_csv.open() as file:
        samples = CsvLines(file, toy.manifest.input, columns, name="toy", strict=False)
        summary = run(toy, samples, tell=EpisodeLines(path, said.append).write)
    torn, *lines = path.read_text().splitlines()
    assert (torn, said) == ('{"torn": ', [])
    records = [json.loads(line) for line in lines]
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
    arrivals = run(toy, timed(samples)).arrivals
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


def test_a_disk_that_fills_ends_no_monitoring(toy_bundle_path, toy_csv):
    toy, said = bundles.read(toy_bundle_path), []
    columns = [channel.name for channel in toy.manifest.channels]
    tell = EpisodeLines(Path("/dev/full"), said.append).write
    with toy_csv.open() as file:
        summary = run(toy, CsvLines(file, toy.manifest.input, columns, name="toy", strict=False), tell=tell)
    assert summary.samples == 185
    assert said == ["episodes cannot be written to /dev/full for now: No space left on device"]


def test_a_file_for_episodes_that_cannot_be_written_is_said_at_once(tmp_path):
    with pytest.raises(OutputError, match="cannot write .*none/episodes"):
        EpisodeLines(tmp_path / "none" / "episodes", print)


def test_samples_that_are_held_are_decided_on_when_a_stream_is_stopped(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)

    def stopped():
        for t in range(15):
            yield Sample(float(t), toy.manifest.scaler.offset, str(t), t)
        raise KeyboardInterrupt

    ordered = InOrder(stopped(), 600.0)
    monitor = Monitor(toy, Detector.load(toy))
    summary = StreamRun(monitor, lambda decision, stamp: None).run(ordered, ordered.rest)
    assert (summary.samples, summary.scored, summary.interrupted) == (15, 6, True)


def test_a_gap_is_told_from_a_clock_set_forward_though_samples_are_held(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)
    normal, kinds = toy.manifest.scaler.offset, []
    times = [*range(20), *range(80, 95)]
    for arrivals in (times, range(len(times))):
        samples = [
            Sample(float(t), normal, str(t), i, None, float(arrived))
            for i, (t, arrived) in enumerate(zip(times, arrivals, strict=True))
        ]
        got = []
        monitor = Monitor(toy, Detector.load(toy))
        StreamRun(monitor, lambda d, stamp, got=got: got.append(d)).run(InOrder(samples, 10.0))
        kinds.append(got[20].reason.partition(":")[0])
    assert kinds == ["gap", "clock-forward"]


def test_an_episode_ends_with_the_last_score_not_with_a_stray_stamp(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)
    normal = np.array(toy.manifest.scaler.offset)
    samples = [Sample(float(t), normal + (t > 12) * 0.3 * normal, str(t), t) for t in range(30)]
    changes = []
    run(toy, [*samples, Sample(4e9, normal, "stray", 31)], tell=changes.append)
    assert [change.kind for change in changes][-1] == "ended"
    assert changes[-1].episode.end == 29.0


def test_a_monitor_is_closed_whatever_ends_the_stream(toy_bundle_path, toy_csv):
    toy = bundles.read(toy_bundle_path)
    columns = [channel.name for channel in toy.manifest.channels]
    changes = []

    def gone(decision, stamp):
        if stamp.endswith("08:12:00"):
            raise BrokenPipeError

    with toy_csv.open() as file:
        samples = CsvLines(file, toy.manifest.input, columns, name="toy", strict=False)
        with pytest.raises(BrokenPipeError):
            run(toy, samples, gone, tell=changes.append)
    assert changes[-1].kind == "ended"
