import io
import json
import math

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.detect.decision import Decision
from edge_ad.runtime import Detector
from edge_ad.runtime.sinks.ndjson import NdjsonSink
from edge_ad.runtime.sources.csv_lines import Sample
from edge_ad.runtime.stream import run_stream


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


def test_the_summary_counts(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)
    normal = toy.manifest.scaler.offset
    samples = [Sample(float(t), normal, str(t), t) for t in range(30)]
    samples[20] = Sample(20.0, [math.nan] * 8, "20", 20)
    got = []
    summary = run_stream(samples, Detector.load(toy), lambda decision, stamp: got.append(stamp))
    assert (summary.samples, summary.decisions, summary.unknown, summary.alarms) == (30, 21, 10, 0)
    assert got == [str(t) for t in range(9, 30)]
    assert summary.latency_us["total"].count == 11
    assert summary.rss_bytes > 1e6
    assert not summary.interrupted


def test_ctrl_c_still_gives_a_summary(toy_bundle_path):
    toy = bundles.read(toy_bundle_path)

    def stream():
        for t in range(15):
            yield Sample(float(t), toy.manifest.scaler.offset, str(t), t)
        raise KeyboardInterrupt

    summary = run_stream(stream(), Detector.load(toy), lambda decision, stamp: None)
    assert summary.interrupted
    assert summary.decisions == 6
