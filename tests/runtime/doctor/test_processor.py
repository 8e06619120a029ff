"""Governor, power supply, temperature."""

import pytest

from edge_ad.runtime.doctor.processor import processor
from tests.runtime.doctor.trees import CPUFREQ, by_check, pi


def found(tree, check, **machine):
    return by_check(processor(tree.machine(**machine)))[check]


# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
@pytest.mark.parametrize(
    ("flags", "level", "words"),
    [
        ("0x0", "ok", ["no under-voltage"]),
        ("0x1", "fail", ["now: under-voltage", "not before", "power supply"]),
        ("0x50005", "fail", ["now: under-voltage, throttled", "since the start: under-voltage, throttled"]),
        ("0x50000", "warn", ["since the start: under-voltage, throttled", "power supply"]),
        ("0x2", "warn", ["now: the clock is capped"]),
        ("0x4", "warn", ["now: throttled", "heat sink"]),
        ("0x80008", "warn", ["the soft temperature limit is active", "limit was active", "heat sink"]),
        ("0x20000", "warn", ["the clock was capped"]),
        ("0xe0000", "warn", ["the clock was capped, throttled, the soft temperature limit was active"]),
    ],
)
def test_what_the_firmware_says(tmp_path, flags, level, words):
    tree = pi(tmp_path)
    tree.answers("vcgencmd", f"throttled={flags}")
    finding = found(tree, "power")
    assert finding.level == level
    for word in words:
        assert word in finding.text
    assert bool(finding.fix) == (level != "ok")
    assert all("vcgencmd get_throttled" in command for command in finding.fix)


def test_without_the_firmwares_program_the_kernel_is_asked(tmp_path):
    tree = pi(tmp_path)
    (tree.programs / "vcgencmd").unlink()
    assert found(tree, "power").level == "skip"
    tree.write("/sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    assert "since the start" in found(tree, "power").text
    tree.write("/sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    tree.write("/sys/class/hwmon/hwmon0/in0_lcrit_alarm", "0\n")
    assert found(tree, "power").level == "fail"
    # The driver for it comes before the file that the kernel calls deprecated.
    tree.write("/sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    tree.write("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    assert found(tree, "power").level == "ok"
    tree.write("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert found(tree, "power").level == "fail"


def test_an_account_that_may_not_ask_the_firmware(tmp_path):
    tree = pi(tmp_path)
    tree.program("vcgencmd", 'echo "Can\'t open device file: /dev/vcio" >&2; exit 255')
    tree.write("/dev/vcio")
    (tree.root / "dev/vcio").chmod(0o600)
    finding = found(tree, "power")
    assert finding.level == "skip"
    assert finding.fix == ("sudo usermod -aG video pi  # then log in anew",)


@pytest.mark.parametrize("answer", ["", "throttled=", "throttled=0xzz", 'error=1 error_msg="unknown"'])
def test_an_answer_that_makes_no_sense(tmp_path, answer):
    tree = pi(tmp_path)
    tree.answers("vcgencmd", answer)
    assert found(tree, "power").level == "skip"


def test_a_program_that_hangs(tmp_path, monkeypatch):
    from edge_ad.bench import host

    monkeypatch.setattr(host, "COMMAND_TIME_LIMIT_S", 0.2)
    tree = pi(tmp_path)
    tree.program("vcgencmd", "sleep 1000")
    assert found(tree, "power").level == "skip"


@pytest.mark.parametrize("governor", ["ondemand", "powersave", "schedutil", "conservative"])
def test_a_governor_that_saves_power(tmp_path, governor):
    tree = pi(tmp_path)
    tree.write(CPUFREQ.format(2, "scaling_governor"), f"{governor}\n")
    finding = found(tree, "governor")
    assert finding.level == "warn"
    assert f"{governor}: the clock may be 600 MHz instead of 1500 MHz" in finding.text
    assert finding.fix[0].startswith("echo performance | sudo tee /sys/devices/system/cpu/")
    assert "/etc/tmpfiles.d/" in finding.fix[1]
    assert len(finding.fix) == 2
    # Raspberry Pi OS has a service that would undo it.
    tree.write("/etc/init.d/raspi-config", "echo ondemand > $SYS/cpu0/cpufreq/scaling_governor\n")
    assert found(tree, "governor").fix[2].startswith("sudo systemctl disable raspi-config")


def test_a_governor_whose_clock_is_not_told(tmp_path):
    tree = pi(tmp_path, n_processors=1)
    tree.write(CPUFREQ.format(0, "scaling_governor"), "powersave\n")
    tree.write(CPUFREQ.format(0, "cpuinfo_min_freq"), "<unknown>\n")
    assert "the clock is low when a sample comes" in found(tree, "governor").text


def test_a_processor_that_chooses_its_clock_itself(tmp_path):
    tree = pi(tmp_path, n_processors=1)
    tree.write(CPUFREQ.format(0, "scaling_governor"), "powersave\n")
    tree.write(CPUFREQ.format(0, "scaling_driver"), "intel_pstate\n")
    assert found(tree, "governor").level == "ok"


@pytest.mark.parametrize(
    ("millidegrees", "level"),
    [
        ("48200", "ok"),
        ("69999", "ok"),
        ("70000", "warn"),
        ("85123", "warn"),
        ("-274000", "skip"),
        ("x", "skip"),
    ],
)
def test_temperatures(tmp_path, millidegrees, level):
    tree = pi(tmp_path)
    tree.write("/sys/class/thermal/thermal_zone0/temp", millidegrees)
    assert found(tree, "temperature").level == level


def test_the_hottest_sensor_counts(tmp_path):
    tree = pi(tmp_path)
    tree.write("/sys/class/thermal/thermal_zone1/temp", "81000")
    finding = found(tree, "temperature")
    assert "81 °C" in finding.text
    assert "slowed down" in finding.text
