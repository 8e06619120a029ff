"""`edge-ad replay --report` and `edge-ad bench report`: their figures, and their pages in a browser."""

import dataclasses
import json
import re

import numpy as np
import pytest

from edge_ad.bench.finding import Finding
from edge_ad.bench.machine import machine_facts
from edge_ad.bench.results import BenchmarkFile, BundleFacts, Measurement, ProcessRun, Result, Settings
from edge_ad.runtime.benchmark.file import write_benchmark
from edge_ad.runtime.latency import STAGES
from edge_ad.toolchain.report.latency import deadline_view, figures, histogram
from tests.helpers import edge_ad
from tests.runtime.http.browser import missing_program
from tests.toolchain.report.test_pages import complaints, each, fetched, scroll_through, small_texts, visit

in_browser = pytest.mark.skipif(missing_program() is not None, reason=f"needs {missing_program()}")
US = 1000


def benchmark(findings=(), late=0):
    """Two results on this machine: one of 20 us, one of 100, with as many late decisions."""
    random = np.random.default_rng(0)

    def result(variant, typical_us):
        stages = [random.gamma(9, typical_us * US / 9 / len(STAGES), 600).astype(int) for _ in STAGES]
        whole = np.sum(stages, axis=0)
        whole[:late] = 2_000_000_000
        names = {**dict(zip(STAGES, stages, strict=True)), "sample-to-decision": whole, "invoke": stages[2]}
        runs = ProcessRun(tuple(Measurement(n, 10, True, tuple(v.tolist())) for n, v in names.items()))
        return Result("numpy", "numpy <2>", variant, 1, (runs,))

    machine = machine_facts()
    return BenchmarkFile(
        schema="2.0",
        created="2026-01-05T08:00:00+00:00",
        bundle=BundleFacts("id", "<b>pump</b>", "1", 1),
        profile=None,
        sample_period_s=1.0,
        deadline_s=0.1,
        settings=Settings(600, 1, 10, 60.0),
        versions={"numpy": "2"},
        machine_before=machine,
        machine_after=machine,
        results=(result("tiny-int8", 20), result("full-float32", 100)),
        instructions=(),
        trust={"void": "none", "doubt": "doubtful"}.get(findings[0].weight if findings else "", "trusted"),
        findings=tuple(findings),
    )


@pytest.fixture(scope="module")
def replayed(small_build, tmp_path_factory):
    root, _, _ = small_build
    page = tmp_path_factory.mktemp("replay") / "replay.html"
    arguments = [root / "build" / "bundles" / "north.edgead", root / "data" / "north.csv"]
    result = edge_ad("replay", *arguments, "--label", "anomaly", "--report", page, "--json")
    assert result.returncode == 0, result.stderr
    return root, arguments, result, page


def test_a_replay_decides_as_a_run_does(replayed):
    _, arguments, result, page = replayed
    lines = [json.loads(line) for line in edge_ad("run", *arguments).stdout.splitlines()]
    summary = json.loads(result.stdout)
    assert summary["samples"] == len(lines)
    assert summary["alarms"] == sum(line["alarm"] for line in lines)
    data = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text())
    chart = json.loads(data[0])
    (series,) = chart["series"]
    for value, line in zip(series["values"], lines, strict=True):
        assert (value is None) == (line["score"] is None)
        if value is not None:
            assert value == pytest.approx(line["score"] / line["ucl"], rel=1e-4)


def test_a_replay_prints_a_summary_for_people(replayed, tmp_path):
    _, arguments, _, _ = replayed
    result = edge_ad("replay", *arguments)
    assert result.returncode == 0
    assert "latency us" in result.stdout
    assert " alarm in " in result.stdout


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (["--label", "Label"], 5, "column 'Label' is missing from line 1"),
        (["--label", "Voltage"], 5, "not 0 or 1"),
        (["--variant", "huge"], 2, "huge"),
        (["--report", "{folder}"], 1, "it is a folder"),
        (["--report", "{folder}/no/r.html"], 1, "there is no folder"),
        (["--report", "{recording}"], 1, "is what is read"),
        (["--separator", ","], 5, "is the separator ';'?"),
    ],
)
def test_what_a_replay_cannot_do_is_told(replayed, tmp_path, change, code, words):
    _, arguments, _, _ = replayed
    before = arguments[1].read_bytes()
    change = [part.format(folder=tmp_path, recording=arguments[1]) for part in change]
    result = edge_ad("replay", *arguments, *change)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert arguments[1].read_bytes() == before


def test_a_replay_outlives_garbage_and_a_clock_that_is_set_back(replayed, tmp_path):
    _, (bundle, csv), _, _ = replayed
    lines = csv.read_text().splitlines()
    lines[50] = "what is this"
    lines[80] = lines[80].replace("2026", "1999", 1)
    lines[90] = ";".join([lines[90].split(";")[0], "warm", *lines[90].split(";")[2:]])
    (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n")
    page = tmp_path / "r.html"
    result = edge_ad("replay", bundle, tmp_path / "bad.csv", "--label", "anomaly", "--report", page)
    assert result.returncode == 0, result.stderr
    assert "2 rows whose time is none, or goes back, are not drawn" in page.read_text()


@in_browser
def test_the_page_of_a_replay(browser, replayed):
    page = replayed[3]
    visit(browser, page)
    scroll_through(browser)
    assert complaints(browser) == []
    assert fetched(browser, page) == []
    assert small_texts(browser) == []
    names = each(browser, "figure", "e.dataset.chart")
    assert names == ["north-timeline", "north-contributions", "north-scores", "latency", "deadline"]
    stages = each(browser, "section:last-of-type tbody th", "e.innerText")
    assert stages == [*STAGES, "whole way"]


@in_browser
def test_the_page_of_a_benchmark(browser, tmp_path):
    write_benchmark(tmp_path / "bench.json", benchmark(late=3))
    result = edge_ad("bench", "report", tmp_path / "bench.json", "--figures", tmp_path / "figures")
    assert result.returncode == 0, result.stderr
    page = tmp_path / "bench.html"
    assert result.stdout.strip() == str(page)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        f"{name}.{end}" for name in ("deadline", "invoke", "latency") for end in ("png", "svg")
    ]
    visit(browser, page)
    scroll_through(browser)
    assert complaints(browser) == []
    assert fetched(browser, page) == []
    assert small_texts(browser) == []
    assert browser.run("return document.querySelector('h1').innerText") == "Benchmark of <b>pump</b>"
    assert (
        dict(each(browser, ".key div", "[e.children[0].innerText, e.children[1].firstChild.data]"))["late"]
        == "6"
    )


def test_durations_that_mean_nothing_are_not_shown(tmp_path):
    void = Finding("translated", "void", "by <qemu>", ("measure on the board",))
    write_benchmark(tmp_path / "bench.json", benchmark([void]))
    assert edge_ad("bench", "report", tmp_path / "bench.json").returncode == 0
    text = (tmp_path / "bench.html").read_text()
    assert "by &lt;qemu&gt;" in text
    assert "say nothing of any board" in text
    body = text.split("<body>")[1].split("<script>")[0]
    assert "<figure" not in body
    assert "microseconds" not in body


def test_a_file_that_is_no_benchmark_is_told_and_kept(tmp_path):
    (tmp_path / "b.html").write_text("before")
    (tmp_path / "b.json").write_text("{}")
    result = edge_ad("bench", "report", tmp_path / "b.json")
    assert result.returncode == 5
    assert "it does not name its schema" in result.stderr
    assert (tmp_path / "b.html").read_text() == "before"
    same = edge_ad("bench", "report", tmp_path / "b.json", "-o", tmp_path / "b.json")
    assert same.returncode == 1
    assert (tmp_path / "b.json").read_text() == "{}"


def test_a_result_that_could_not_be_measured_says_why(tmp_path):
    whole = benchmark()
    broken = Result("numpy", "numpy 2", "tiny-int8-full", 1, (), problem="no <operator>")
    write_benchmark(tmp_path / "b.json", dataclasses.replace(whole, results=(*whole.results, broken)))
    assert edge_ad("bench", "report", tmp_path / "b.json").returncode == 0
    assert "tiny-int8-full on numpy: no &lt;operator&gt;" in (tmp_path / "b.html").read_text()


def test_the_histogram_has_every_duration_once():
    durations = {"a": np.array([10, 20, 30, 40, 5000]) * US, "b": np.array([15] * 7) * US}
    chart = histogram("h", "t", durations, ["a"])
    for series in chart.series:
        assert series.values[:-1].sum() == pytest.approx(100)
    assert [series.shown for series in chart.series] == [True, False]


def test_the_deadline_view_counts_what_is_slower():
    values = np.arange(1, 1001) * US
    chart = deadline_view("d", {"a": values}, 0.0005, ["a"])
    (series,) = chart.series
    for x, share in zip(chart.x.tolist(), series.values.tolist(), strict=True):
        slower = 100 * sum(1 for value in values.tolist() if value > x * US) / 1000
        assert share == pytest.approx(slower) if slower else np.isnan(share)
    assert chart.marks[0].value == 500
    assert "a: 500 of 1000" in chart.text


def test_a_percentile_of_too_few_is_not_told():
    assert figures(np.arange(1, 401) * US) == ["200.5", "380.0", "-", "-", "400.0"]
    assert figures(np.array([], np.int64)) == ["-"] * 5
