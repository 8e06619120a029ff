"""What people read of a benchmark."""

import re
from dataclasses import replace

import pytest

from edge_ad.bench.finding import Finding
from edge_ad.bench.report import report
from edge_ad.bench.results import Energy
from tests import naive
from tests.bench.files import PI_4, benchmark, counted, process, result


def line_with(text, *words):
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_the_figures_are_those_of_all_raw_values():
    found = result(runs=tuple(process(n=2000, seed=seed) for seed in range(5)))
    cells = line_with(report(benchmark(found)), "sample-to-decision").split()
    raw = [value / 1000 for values in found.series_ns("sample-to-decision") for value in values]
    expected = [naive.percentile(raw, percent) for percent in (50, 95, 99, 99.9, 100)]
    assert cells[-5:] == [f"{value:.1f}" for value in expected]
    headroom = line_with(report(benchmark(found)), "headroom")
    assert headroom.split()[3:5] == ["headroom", "late"]
    costs = report(benchmark(found)).split("headroom")[1].splitlines()[2].split()
    assert costs[-6:] == [f"{1e6 / expected[3]:.0f}", "0", "0.010", "301", "50.0", "52.0"]


def test_a_tail_that_is_not_known_is_not_shown():
    text = report(benchmark(result()))
    assert line_with(text, "sample-to-decision").split()[-2] == "-"
    # headroom is then that of the longest
    longest = max(max(values) for values in result().series_ns("sample-to-decision"))
    assert f" {1e9 / longest:.0f} " in text.split("headroom")[1]


def test_late_decisions_are_counted():
    text = report(benchmark(result(us=100), deadline_s=0.0001))
    late = int(text.split("headroom")[1].splitlines()[2].split()[5])
    raw = [value for values in result().series_ns("sample-to-decision") for value in values]
    assert late == sum(value > 100_000 for value in raw) > 0


def test_stages_are_shown_on_request():
    assert " admit " not in report(benchmark(result()))
    assert " admit " in report(benchmark(result()), stages=True)


def test_under_emulation_there_is_no_duration():
    void = Finding("emulated", "void", "qemu-arm-static translates", ("run it on the board",))
    text = report(benchmark(result(), findings=(void,)), stages=True)
    assert "verdict: none" in text
    for word in ("microseconds", "sample-to-decision", "cold start", "headroom", "p50"):
        assert word not in text
    durations = {f"{value / 1000:.1f}" for values in result().series_ns("invoke") for value in values}
    assert not durations & set(re.findall(r"[0-9.]+", text))
    assert "fix: run it on the board" in text


def test_energy_says_where_it_comes_from():
    energy = Energy("ina219 (hwmon, power1_input)", "what flows through it", 2.5, 3.0, 5.0, 10_000)
    text = report(benchmark(result(energy=energy), result(engine="numpy")))
    assert energy.window_j == pytest.approx(0.00025)
    assert "0.250" in text
    assert "energy by ina219 (hwmon, power1_input): what flows through it" in text
    assert "mJ/window" not in report(benchmark(result()))


def test_instructions_and_problems_have_their_place():
    failed = replace(result(engine="tflite-runtime"), runs=(), problem="built for numpy 1")
    text = report(benchmark(failed, instructions=(counted(),)))
    assert "tiny-int8 on tflite-runtime: not measured: built for numpy 1" in text
    assert line_with(text, "valgrind-3.19.0").split()[-2:] == ["1,000", "0.00"]
    assert "microseconds" not in text


def test_a_machine_without_a_board_goes_by_its_processor():
    text = report(benchmark(result(), machine=replace(PI_4, board=None), profile=None))
    assert text.startswith("Cortex-A72 (aarch64, 4 processors), CPython 3.11.2\n")
