"""Sensors of energy, as files and as the firmware of a Raspberry Pi 5."""

import pytest

from edge_ad.bench import energy
from edge_ad.bench.energy import find_sensor, pmic_watts
from edge_ad.bench.host import Host
from tests.runtime.doctor.trees import Tree

# A Raspberry Pi 5 under load; three supplies of twelve.
PMIC = """\
 3V7_WL_SW_A current(0)=0.10000000A
  VDD_CORE_A current(7)=6.22421000A
      HDMI_A current(22)=0.02417580A
 3V7_WL_SW_V volt(8)=3.70000000V
  VDD_CORE_V volt(15)=0.86173300V
     EXT5V_V volt(24)=5.09066000V
      BATT_V volt(25)=0.00000000V
"""


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    tree.machine()  # makes the folders
    return tree


def joules(tree, change):
    """What is measured while something changes."""
    meter = find_sensor(tree.machine()).meter()
    change()
    return meter.joules()


def rapl(tree, zone, name, microjoules, largest=262_143_328_850):
    folder = f"/sys/class/powercap/{zone}"
    tree.write(f"{folder}/name", f"{name}\n")
    tree.write(f"{folder}/energy_uj", f"{microjoules}\n")
    tree.write(f"{folder}/max_energy_range_uj", f"{largest}\n")


def test_a_machine_without_a_sensor(tree):
    assert find_sensor(tree.machine()) is None


def test_the_processors_packages_are_counted_without_their_parts(tree):
    rapl(tree, "intel-rapl:0", "package-0", 1_000_000)
    rapl(tree, "intel-rapl:0:0", "core", 500_000)
    rapl(tree, "intel-rapl:1", "package-1", 2_000_000)
    rapl(tree, "intel-rapl:2", "psys", 7_000_000)

    def use():
        rapl(tree, "intel-rapl:0", "package-0", 4_000_000)
        rapl(tree, "intel-rapl:0:0", "core", 3_000_000)
        rapl(tree, "intel-rapl:1", "package-1", 2_500_000)
        rapl(tree, "intel-rapl:2", "psys", 99_000_000)

    assert joules(tree, use) == pytest.approx(3.5)
    sensor = find_sensor(tree.machine())
    assert "RAPL" in sensor.source
    assert "packages only" in sensor.scope


def test_a_counter_that_begins_anew(tree):
    rapl(tree, "intel-rapl:0", "package-0", 9_000_000, largest=10_000_000)
    used = joules(tree, lambda: rapl(tree, "intel-rapl:0", "package-0", 1_000_000, largest=10_000_000))
    assert used == pytest.approx(2.0)


def test_a_counter_that_only_root_may_read(tree):
    rapl(tree, "intel-rapl:0", "package-0", "not for you")
    assert find_sensor(tree.machine()) is None


def test_a_counter_that_fails_meanwhile(tree):
    rapl(tree, "intel-rapl:0", "package-0", 1)
    assert joules(tree, lambda: tree.remove("/sys/class/powercap/intel-rapl:0/energy_uj")) is None


def monitor(tree, name, file, value, number=0):
    tree.write(f"/sys/class/hwmon/hwmon{number}/name", f"{name}\n")
    tree.write(f"/sys/class/hwmon/hwmon{number}/{file}", f"{value}\n")


@pytest.mark.parametrize("name", ["ina219", "ina226", "ina260"])
def test_a_chip_in_the_supply_line(tree, name, monkeypatch):
    monkeypatch.setattr(energy, "monotonic", iter([10.0, 12.0]).__next__)
    rapl(tree, "intel-rapl:0", "package-0", 1)
    monitor(tree, "cpu_thermal", "temp1_input", 48_000)
    monitor(tree, "amdgpu", "power1_input", 99_000_000, number=1)
    monitor(tree, name, "power1_input", 3_250_000, number=2)
    sensor = find_sensor(tree.machine())
    assert sensor.source == f"{name} (hwmon, power1_input)"
    assert name in sensor.scope
    assert sensor.meter().joules() == pytest.approx(6.5)  # 3.25 W for 2 s


def test_a_chip_that_counts_itself(tree):
    monitor(tree, "ina228", "power1_input", 1)
    monitor(tree, "ina228", "energy1_input", 5_000_000)
    assert joules(tree, lambda: monitor(tree, "ina228", "energy1_input", 7_500_000)) == pytest.approx(2.5)


def test_a_chip_that_stops_to_answer(tree, monkeypatch):
    monkeypatch.setattr(energy, "_POWER_PERIOD_S", 0.001)
    monitor(tree, "ina219", "power1_input", 3_250_000)
    sensor = find_sensor(tree.machine())
    meter = sensor.meter()
    tree.remove("/sys/class/hwmon/hwmon0/power1_input")
    while len(meter._watts) < 3:
        pass
    assert meter.joules() is None


def test_the_power_management_of_a_pi_5(tree):
    tree.answers("vcgencmd", PMIC)
    assert pmic_watts(tree.machine()) == pytest.approx(0.1 * 3.7 + 6.22421 * 0.861733)
    sensor = find_sensor(tree.machine())
    assert "pmic_read_adc" in sensor.source
    assert "USB" in sensor.scope


@pytest.mark.parametrize(
    "answer",
    ["", 'error=1 error_msg="Command not registered"', "VDD_CORE_A current(7)=1.0A", "throttled=0x0"],
)
def test_boards_without_that_power_management(tree, answer):
    tree.answers("vcgencmd", answer)
    assert find_sensor(tree.machine()) is None


def test_this_machine():
    """Whatever it has can be read, or is not there."""
    sensor = find_sensor(Host())
    if sensor is not None:
        assert sensor.meter().joules() >= 0
