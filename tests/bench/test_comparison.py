"""Two benchmarks against each other: what is refused, what is marked, what is left out."""

from dataclasses import replace

import pytest

from edge_ad.bench.comparison import compare
from edge_ad.bench.comparison_report import comparison_report
from edge_ad.bench.finding import Finding
from edge_ad.errors import ConfigurationError
from tests.bench.files import GOOD, PI_4, benchmark, counted, result

VOID = Finding("emulated", "void", "qemu-arm-static translates", ("run it on the board",))
DOUBT = Finding("governor", "doubt", "ondemand instead of performance", ("echo performance",))
NOTE = Finding("virtual-machine", "note", "kvm", ("mind it",))


def on_machine(**changes):
    return benchmark(result(), machine=replace(PI_4, **changes))


def clocked(governor):
    return replace(GOOD, clocks=tuple(replace(clock, governor=governor) for clock in GOOD.clocks))


UNLIKE = [
    (
        on_machine(board="Raspberry Pi 5 Model B Rev 1.0"),
        "board: Raspberry Pi 4 Model B Rev 1.4, and Raspberry",
    ),
    (on_machine(cpu_model="Cortex-A76"), "processor: Cortex-A72, and Cortex-A76"),
    (on_machine(architecture="armv7l"), "architecture: aarch64, and armv7l"),
    (on_machine(n_cpus=2), "processors: 4, and 2"),
    (on_machine(max_frequency_khz=1_800_000), "highest clock: 1500 MHz, and 1800 MHz"),
    (on_machine(state=clocked("ondemand")), "governor: performance, and ondemand"),
    (on_machine(python="CPython 3.13.5"), "Python: CPython 3.11.2, and CPython 3.13.5"),
    (on_machine(translator="qemu-aarch64"), "emulated: no, and qemu-aarch64"),
    (on_machine(hypervisor="kvm"), "virtual machine: no, and kvm"),
    (benchmark(result(), versions={"numpy": "1.26.4"}), "numpy: 2.2.6, and 1.26.4"),
    (
        benchmark(result(engine_version="ai-edge-litert 2.1.0")),
        "engine: ai-edge-litert 2.3.0, and ai-edge-litert 2.1.0",
    ),
]


@pytest.mark.parametrize(("other", "words"), UNLIKE)
def test_unlike_machines_are_refused_by_name(other, words):
    with pytest.raises(ConfigurationError) as refusal:
        compare(benchmark(result()), other)
    assert words in str(refusal.value)
    assert "--across-machines" in str(refusal.value)
    compared = compare(benchmark(result()), other, across_machines=True)
    assert any(line.startswith(words) for line in compared.unlike)
    assert compared.rows
    assert words in comparison_report(compared)


def test_every_difference_is_named():
    other = on_machine(board="Raspberry Pi 5 Model B Rev 1.0", python="CPython 3.13.5", n_cpus=8)
    with pytest.raises(ConfigurationError) as refusal:
        compare(benchmark(result()), other)
    for word in ("board:", "Python:", "processors:"):
        assert word in str(refusal.value)


def test_engines_that_only_one_has_are_no_difference():
    a = benchmark(result(), result(engine="numpy"))
    compared = compare(a, benchmark(result(seed=1)))
    assert compared.unlike == ()
    assert compared.only_a == ("tiny-int8 on numpy",)
    assert {row.engine for row in compared.rows} == {"ai-edge-litert"}


def test_what_may_be_compared_is_only_remarked():
    newer = benchmark(result(), versions={"edge-ad": "0.2.0", "numpy": "2.2.6"})
    newer = replace(newer, bundle=replace(newer.bundle, bundle_id="cd" * 32))
    compared = compare(benchmark(result()), newer)
    assert compared.remarks == ("edge_ad: 0.1.0, and 0.2.0", "bundle: abababababab, and cdcdcdcdcdcd")


def test_ratios_are_b_to_a_with_intervals():
    compared = compare(benchmark(result(us=100)), benchmark(result(us=80, seed=1)), stages=True)
    rows = {row.name: row for row in compared.rows}
    assert set(rows) == {
        "invoke",
        "admit",
        "scale",
        "infer",
        "score",
        "decide",
        "sample-to-decision",
        "cold-start",
    }
    for name, row in rows.items():
        if name != "cold-start":
            for ratio in (row.p50, row.p95, row.p99):
                assert ratio.value == pytest.approx(0.8, rel=0.02)
                assert ratio.is_difference
    assert (rows["cold-start"].p95, rows["cold-start"].p99) == (None, None)
    short = compare(benchmark(result(us=100)), benchmark(result(us=80, seed=1)))
    assert {row.name for row in short.rows} == {"invoke", "sample-to-decision", "cold-start"}


def test_what_is_no_difference_is_marked():
    same = comparison_report(compare(benchmark(result()), benchmark(result(seed=1))))
    line = next(line for line in same.splitlines() if "sample-to-decision" in line)
    assert line.count("= ") == 3
    slower = comparison_report(compare(benchmark(result()), benchmark(result(us=120, seed=1))))
    line = next(line for line in slower.splitlines() if "sample-to-decision" in line)
    assert "= " not in line
    assert "1.2" in line


@pytest.mark.parametrize("side", ["A", "B"])
def test_durations_that_mean_nothing_are_refused(side):
    files = {"A": benchmark(result()), "B": benchmark(result())}
    files[side] = replace(files[side], findings=(VOID,), trust="none")
    with pytest.raises(ConfigurationError, match=f"the durations in {side} mean nothing: qemu-arm-static"):
        compare(files["A"], files["B"])
    assert compare(files["A"], files["B"], untrusted=True).rows


def test_a_doubtful_side_is_flagged():
    compared = compare(benchmark(result()), benchmark(result(), findings=(DOUBT, NOTE)))
    assert compared.untrusted == ("B: governor: ondemand instead of performance",)
    assert "B: governor: ondemand" in comparison_report(compared)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (benchmark(result()), benchmark(result(variant="full-int8"))),
        (benchmark(result()), benchmark(result(threads=2))),
        (benchmark(result()), benchmark(result(runs=(), problem="it died"))),
        (benchmark(result()), benchmark(instructions=(counted(),))),
        (benchmark(), benchmark()),
    ],
)
def test_nothing_in_common(a, b):
    with pytest.raises(ConfigurationError, match="nothing in common"):
        compare(a, b)


def test_instructions():
    a = benchmark(instructions=(counted(), counted(variant="tiny-float32")))
    b = benchmark(instructions=(counted(many=(1_819_200, 1_819_300)), counted(variant="tiny-float32")))
    rows = {row.variant: row.ratio for row in compare(a, b).counts}
    assert rows["tiny-int8"].value == pytest.approx(0.8, rel=1e-3)
    assert rows["tiny-int8"].is_difference
    assert rows["tiny-float32"].value == 1
    assert not rows["tiny-float32"].is_difference
    text = comparison_report(compare(a, b))
    assert "B/A of instructions/window" in text


def test_instructions_can_be_compared_where_durations_cannot():
    a, b = (benchmark(result(), instructions=(counted(),), findings=(VOID,)) for _ in "ab")
    compared = compare(a, b)
    assert compared.counts
    assert not compared.rows


@pytest.mark.parametrize(
    "other",
    [counted(counter="perf 6.1"), counted(architecture="aarch64"), counted(few=(), many=(), problem="no")],
)
def test_instructions_of_another_kind_are_not_compared(other):
    with pytest.raises(ConfigurationError, match="nothing in common"):
        compare(benchmark(instructions=(counted(),)), benchmark(instructions=(other,)))
