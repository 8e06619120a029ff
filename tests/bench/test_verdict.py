"""Whether numbers can be trusted: one thing wrong at a time, on a board where all else is well."""

import dataclasses
import re
from dataclasses import replace

import pytest

from edge_ad.bench.finding import trust_of
from edge_ad.bench.machine_state import Clock
from edge_ad.bench.verdict import verdict
from tests.bench.files import GOOD, PI_4, counted, process, result
from tests.runtime.doctor.trees import CPUFREQ, pi


def enough(**changes):
    """A result with as many windows as a p99.9 takes."""
    runs = tuple(process(n=2000, seed=seed) for seed in range(5))
    return result(**({"runs": runs} | changes))


@pytest.fixture
def tree(tmp_path):
    return pi(tmp_path)


def judged(tree, *, before=GOOD, after=GOOD, facts=PI_4, results=None, counts=(), busiest=()):
    """Findings by check, and the verdict."""
    found = verdict(
        tree.machine(),
        replace(facts, state=before),
        replace(facts, state=after),
        [enough()] if results is None else results,
        counts,
        busiest,
    )
    assert all(finding.text and finding.fix for finding in found)
    return {finding.check: finding for finding in found}, trust_of(found)


def test_a_board_on_which_all_is_well(tree):
    assert judged(tree) == ({}, "trusted")


@pytest.mark.parametrize(
    "translator", ["qemu-aarch64-static on x86_64", "a translator from armv7l on x86_64"]
)
def test_emulation_voids_everything(tree, translator):
    found, trust = judged(tree, facts=replace(PI_4, translator=translator))
    assert trust == "none"
    assert found["emulated"].weight == "void"
    assert translator in found["emulated"].text
    assert any("--instructions" in step for step in found["emulated"].fix)


def test_a_machine_that_qemu_translates_whole(tree):
    found, trust = judged(tree, facts=replace(PI_4, architecture="x86_64", hypervisor="qemu"))
    assert (found["emulated"].weight, trust) == ("void", "none")


def test_a_virtual_machine_is_a_note(tree):
    found, trust = judged(tree, facts=replace(PI_4, hypervisor="kvm"))
    assert (found["virtual-machine"].weight, trust) == ("note", "trusted")


# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0x0, 0x0, {}),
        (0x0, 0x1, {"under-voltage": "doubt"}),
        (0x1, 0x0, {"under-voltage": "doubt"}),
        (0x0, 0x10000, {"under-voltage": "doubt"}),  # came and went meanwhile
        (0x10000, 0x10000, {"under-voltage": "note"}),  # some time before
        (0x0, 0x2, {"throttled": "doubt"}),
        (0x4, 0x4, {"throttled": "doubt"}),
        (0x0, 0x8, {"throttled": "doubt"}),
        (0x0, 0x20000, {"throttled": "doubt"}),
        (0x0, 0x40000, {"throttled": "doubt"}),
        (0xE0000, 0xE0000, {"throttled": "note"}),
        (0x50000, 0x50005, {"under-voltage": "doubt", "throttled": "doubt"}),
        (0x50000, 0x50000, {"under-voltage": "note", "throttled": "note"}),
        (None, None, {}),
        (None, 0x4, {"throttled": "doubt"}),
    ],
)
def test_what_the_firmware_says(tree, before, after, expected):
    found, trust = judged(
        tree, before=replace(GOOD, firmware_flags=before), after=replace(GOOD, firmware_flags=after)
    )
    assert {check: finding.weight for check, finding in found.items()} == expected
    assert trust == ("doubtful" if "doubt" in expected.values() else "trusted")


def test_flags_between_two_results_count_as_well(tree):
    hot = replace(GOOD, firmware_flags=0x8)
    found, _ = judged(tree, results=[enough(after=hot), enough(variant="tiny-float32", before=hot)])
    assert "the soft temperature limit is active" in found["throttled"].text


def test_an_x86_processor_that_slowed_itself_down(tree):
    before, after = (replace(GOOD, firmware_flags=None, throttle_events=count) for count in (3, 5))
    found, trust = judged(tree, before=before, after=after)
    assert "2 times" in found["throttled"].text
    assert trust == "doubtful"
    assert judged(tree, before=before, after=before) == ({}, "trusted")


@pytest.mark.parametrize(
    ("degrees", "weight"), [(48.2, None), (69.9, None), (70.0, "note"), (80.0, "doubt"), (85.3, "doubt")]
)
def test_temperatures(tree, degrees, weight):
    found, _ = judged(tree, after=replace(GOOD, temperature_c=degrees))
    assert (found["temperature"].weight if weight else None) == weight
    assert bool(found) == bool(weight)


def test_a_governor_that_saves_power(tree):
    tree.write(CPUFREQ.format(1, "scaling_governor"), "ondemand\n")
    tree.write("/etc/init.d/raspi-config", "echo ondemand > $SYS/cpu0/cpufreq/scaling_governor\n")
    found, trust = judged(tree)
    assert trust == "doubtful"
    assert "ondemand instead of performance" in found["governor"].text
    assert "600 MHz instead of 1500 MHz" in found["governor"].text
    assert found["governor"].fix[0].startswith("echo performance | sudo tee /sys/devices/system/cpu/")
    assert any("raspi-config.service" in step for step in found["governor"].fix)


def test_a_processor_that_chooses_its_clock_itself(tree):
    for cpu in range(4):
        tree.write(CPUFREQ.format(cpu, "scaling_governor"), "powersave\n")
        tree.write(CPUFREQ.format(cpu, "scaling_driver"), "intel_pstate\n")
    assert judged(tree) == ({}, "trusted")


def test_a_clock_that_changed(tree):
    clocks = (*GOOD.clocks[:3], Clock(3, "performance", 1_000_000))
    found, trust = judged(tree, after=replace(GOOD, clocks=clocks))
    assert trust == "doubtful"
    assert "1000 to 1500 MHz on processor 3" in found["frequency"].text
    # as much as a clock that is measured rather than told differs from look to look
    clocks = (*GOOD.clocks[:3], Clock(3, "performance", 1_499_000))
    assert judged(tree, after=replace(GOOD, clocks=clocks)) == ({}, "trusted")


def test_a_clock_that_changed_and_came_back(tree):
    found, trust = judged(tree, after=replace(GOOD, clock_changes=19))
    assert (found["frequency"].weight, trust) == ("note", "trusted")
    assert "12 times" in found["frequency"].text


@pytest.mark.parametrize(
    ("others", "is_busy"), [(0.0, False), (0.19, False), (0.21, True), (3.0, True), (None, False)]
)
def test_other_programs(tree, others, is_busy):
    """Of four processors a twentieth is 0.2."""
    found, trust = judged(tree, results=[enough(others_cpus=others)], busiest=["chromium (812), 4.0 s"])
    assert ("busy" in found) is is_busy
    assert trust == ("doubtful" if is_busy else "trusted")
    if is_busy:
        assert "chromium (812), 4.0 s" in found["busy"].text


def test_a_hypervisor_that_gives_the_processor_away(tree):
    assert judged(tree, results=[enough(stolen_cpus=0.03)]) == ({}, "trusted")
    found, trust = judged(tree, results=[enough(stolen_cpus=0.05)])
    assert (list(found), trust) == (["stolen"], "doubtful")


def with_decisions(change):
    """A result whose raw values of sample to decision are changed, process by process."""
    runs = []
    for number in range(5):
        run = process(n=2000, seed=number)
        *others, decisions = run.measurements
        decisions = replace(decisions, raw_ns=tuple(change(number, decisions.raw_ns)))
        runs.append(replace(run, measurements=(*others, decisions)))
    return enough(runs=tuple(runs))


@pytest.mark.parametrize(
    ("check", "change", "share"),
    [
        ("spread", lambda _, raw: (v * (1 + i % 2) for i, v in enumerate(raw)), 67),
        ("drift", lambda _, raw: (v + v * (i > 1000) // 5 for i, v in enumerate(raw)), 20),
        ("processes", lambda number, raw: (v * (6 if number == 2 else 5) // 5 for v in raw), 20),
    ],
)
def test_durations_that_tell_against_themselves(tree, check, change, share):
    found, trust = judged(tree, results=[enough(variant="tiny-float32"), with_decisions(change)])
    assert (list(found), trust) == ([check], "doubtful")
    told = re.search(r"up to (\d+)%.*: tiny-int8 on ai-edge-litert \((\d+)%\)$", found[check].text)
    assert told[1] == told[2]
    assert int(told[1]) == pytest.approx(share, abs=3)


def test_a_warm_up_that_never_ended(tree):
    runs = tuple(process(n=2000, seed=seed, stable=seed != 3) for seed in range(5))
    found, trust = judged(tree, results=[enough(runs=runs)])
    assert (list(found), trust) == (["warm-up"], "doubtful")


def test_too_few_windows_for_the_tail(tree):
    runs = tuple(process(n=1999, seed=seed) for seed in range(5))
    found, trust = judged(tree, results=[enough(runs=runs)])
    assert (list(found), trust) == (["few-windows"], "trusted")
    assert "9995 windows" in found["few-windows"].text


def test_long_lists_are_cut(tree):
    results = [result(variant=f"tiny-{number}") for number in range(9)]
    found, _ = judged(tree, results=[*results, enough()])
    assert found["few-windows"].text.endswith(
        ": tiny-0 on ai-edge-litert, tiny-1 on ai-edge-litert, tiny-2 on ai-edge-litert and 6 more"
    )
    found, _ = judged(tree, results=results)
    assert found["few-windows"].text.endswith(": all results")


def test_counts_that_differ(tree):
    assert judged(tree, counts=[counted()]) == ({}, "trusted")
    found, trust = judged(tree, counts=[counted(many=(2_024_000, 2_044_000))])
    assert (list(found), trust) == (["instruction-spread"], "doubtful")
    failed = counted(few=(), many=(), problem="it died")
    assert judged(tree, counts=[failed]) == ({}, "trusted")


def test_the_gravest_comes_first(tree):
    facts = replace(PI_4, translator="qemu-arm-static", hypervisor=None)
    found = verdict(
        tree.machine(),
        replace(facts, state=replace(GOOD, temperature_c=75.0)),
        replace(facts, state=replace(GOOD, firmware_flags=1)),
        [enough()],
    )
    assert [finding.weight for finding in found] == ["void", "doubt", "note"]


def test_results_without_decisions_are_not_judged_by_them(tree):
    """Keras, and what could not be measured."""
    failed = dataclasses.replace(result(), runs=(), problem="the interpreter died of SIGILL")
    only_invoke = process().measurements[0]
    keras = result(engine="keras", runs=(replace(process(), measurements=(only_invoke,)),))
    assert judged(tree, results=[failed, keras]) == ({}, "trusted")
