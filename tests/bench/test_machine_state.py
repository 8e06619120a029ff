"""What the machine says of itself, on boards that are folders."""

import pytest

from edge_ad.bench.host import Host
from edge_ad.bench.machine import machine_facts
from edge_ad.bench.machine_state import Clock, machine_state
from edge_ad.bench.other_programs import busiest, processor_seconds
from tests.runtime.doctor.trees import CPUFREQ, Tree, pi


@pytest.fixture
def tree(tmp_path):
    tree = pi(tmp_path, n_processors=11)
    for cpu in range(11):
        tree.write(CPUFREQ.format(cpu, "scaling_cur_freq"), f"{600_000 + cpu}\n")
    tree.write("/sys/devices/system/cpu/cpufreq/policy0/stats/total_trans", "1234\n")
    tree.write("/proc/loadavg", "0.42 0.36 0.30 1/123 4567\n")
    tree.write("/proc/stat", "cpu  1000 200 300 40000 500 60 70 80 5 6\ncpu0 1 2 3 4\nintr 5\n")
    return tree


def test_a_board_that_tells_everything(tree):
    state = machine_state(tree.machine())
    # by number, not by name: cpu10 comes after cpu9
    assert state.clocks == tuple(Clock(cpu, "performance", 600_000 + cpu) for cpu in range(11))
    assert state.clock_changes == 1234
    assert (state.temperature_c, state.firmware_flags, state.load_1min) == (48.2, 0, 0.42)
    # ticks of 1/100 s: all but idle, waiting for a disk, and stolen
    assert state.busy_s == pytest.approx(16.30)
    assert state.stolen_s == pytest.approx(0.8)
    assert state.throttle_events is None


def test_x86_processors_count_their_throttling(tree):
    for cpu, count in enumerate((2, 3)):
        tree.write(f"/sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", f"{count}\n")
    assert machine_state(tree.machine()).throttle_events == 5


@pytest.mark.parametrize("text", ["", "cpu", "cpu  1 2", "cpu  a b c d e f g h", "no cpu\n"])
def test_a_kernel_that_makes_no_sense(tree, text):
    tree.write("/proc/stat", text)
    tree.write("/proc/loadavg", text)
    tree.write(CPUFREQ.format(0, "scaling_cur_freq"), "<unknown>")
    state = machine_state(tree.machine())
    assert (state.busy_s, state.stolen_s, state.load_1min) == (None, None, None)
    assert state.clocks[0].frequency_khz is None


def test_a_machine_that_tells_nothing(tmp_path):
    state = machine_state(Tree(tmp_path).machine())
    assert state.clocks == ()
    assert {state.clock_changes, state.temperature_c, state.busy_s, state.load_1min} == {None}


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd08\nModel\t\t: Raspberry Pi 4 Model B\n", "Cortex-A72"),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "0x41 0xd0c"),
        ("model name\t: ARMv7 Processor rev 4 (v7l)\nCPU part\t: 0xd03\n", "ARMv7 Processor rev 4 (v7l)"),
        ("vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
    ],
)
def test_the_processors_name(tree, text, model):
    tree.write("/proc/cpuinfo", text)
    facts = machine_facts(tree.machine())
    assert facts.cpu_model == model
    assert facts.board == facts.title == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts.max_frequency_khz == 1_500_000
    assert facts.memory_bytes == 3_884_340 * 1024


def test_this_machine():
    facts = machine_facts()
    assert facts.n_cpus >= 1
    assert facts.state.busy_s > 0
    assert facts.python.startswith("CPython 3.")


def status(name, user, system, parent=1):
    """A line of /proc/PID/stat, from the second field on."""
    fields = ["S", parent, *[0] * 9, user, system, *[0] * 20]
    return f"({name}) {' '.join(map(str, fields))}\n"


def test_the_busiest_programs(tree):
    import os

    tree.write("/proc/10/stat", f"10 {status('web (old) browser', 100, 50)}")
    tree.write("/proc/11/stat", f"11 {status('sshd', 5, 5)}")
    tree.write("/proc/12/stat", f"12 {status('ours', 0, 0, parent=os.getpid())}")
    before = processor_seconds(tree.machine())
    tree.write("/proc/10/stat", f"10 {status('web (old) browser', 300, 50)}")
    tree.write("/proc/12/stat", f"12 {status('ours', 900, 0, parent=os.getpid())}")
    tree.write("/proc/13/stat", f"13 {status('new', 0, 30)}")
    tree.write("/proc/14/stat", "garbage")
    after = processor_seconds(tree.machine())
    assert busiest(before, after) == ["web (old) browser (10), 2.0 s", "new (13), 0.3 s"]


def test_programs_of_this_machine():
    import os

    found = processor_seconds(Host())
    assert os.getpid() not in {pid for pid, _ in found}
