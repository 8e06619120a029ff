"""The clock: right now, at a start, and its zone."""

import calendar
import subprocess

import pytest

from edge_ad.runtime.doctor.clock import _kernel_says, clock
from tests.runtime.doctor.trees import by_check, pi


def found(tree, check, **machine):
    return by_check(clock(tree.machine(**machine))).get(check)


@pytest.mark.parametrize(
    ("ntp", "synchronized", "level", "fix"),
    [
        ("yes", "yes", "ok", None),
        ("no", "yes", "ok", None),
        ("yes", "no", "warn", "timedatectl timesync-status"),
        ("no", "no", "warn", "sudo timedatectl set-ntp true"),
    ],
)
def test_what_timedatectl_says(tmp_path, ntp, synchronized, level, fix):
    tree = pi(tmp_path)
    tree.answers("timedatectl", f"Timezone=UTC\nNTP={ntp}\nNTPSynchronized={synchronized}")
    finding = found(tree, "clock")
    assert finding.level == level
    assert fix is None or finding.fix[0].startswith(fix)


@pytest.mark.parametrize(
    ("leap", "level"), [("Normal", "ok"), ("Insert second", "warn"), ("Not synchronised", "warn")]
)
def test_chrony_counts_where_the_kernel_was_not_told(tmp_path, leap, level):
    tree = pi(tmp_path)
    tree.answers("timedatectl", "NTPSynchronized=no")
    tree.answers("chronyc", f"Stratum         : 3\nLeap status     : {leap}")
    assert found(tree, "clock").level == level


def test_without_any_program_a_tree_does_not_tell(tmp_path):
    tree = pi(tmp_path)
    (tree.programs / "timedatectl").unlink()
    assert found(tree, "clock").level == "skip"
    tree.program("timedatectl", "echo 'Failed to connect to bus: Host is down' >&2; exit 1")
    assert found(tree, "clock").level == "skip"


def test_the_kernel_can_be_asked_here():
    # The same question, put by another program where there is one.
    said = _kernel_says()
    assert said in (True, False)
    answer = subprocess.run(
        ["timedatectl", "show", "-p", "NTPSynchronized"], capture_output=True, text=True, check=False
    )
    if answer.returncode == 0:
        assert said == (answer.stdout.strip() == "NTPSynchronized=yes")


@pytest.mark.parametrize(("year", "level"), [(1970, "fail"), (2023, "fail"), (2024, None), (2037, None)])
def test_the_year(tmp_path, year, level):
    now = calendar.timegm((year, 6, 1, 12, 0, 0))
    finding = found(pi(tmp_path), "date", now_s=now)
    assert (finding and finding.level) == level
    if finding:
        assert f"{year}-06-01 12:00 UTC" in finding.text
        assert finding.fix


def test_a_board_without_a_clock_that_goes_on(tmp_path):
    tree = pi(tmp_path)
    tree.unit(wait_sync="disabled")
    finding = found(tree, "real-time-clock")
    assert finding.level == "warn"
    assert finding.fix[0].startswith("sudo systemctl enable systemd-time-wait-sync")
    tree.write("/dev/rtc0")
    assert found(tree, "real-time-clock").level == "ok"


def test_a_virtual_machine_has_the_time_of_its_host(tmp_path):
    tree = pi(tmp_path)
    tree.unit(wait_sync="disabled")
    tree.write("/proc/cpuinfo", "flags\t\t: fpu vme hypervisor lahf_lm\n")
    assert found(tree, "real-time-clock").level == "skip"


@pytest.mark.parametrize(
    ("zone", "level", "words"),
    [
        ("Europe/Berlin", "ok", "summer time"),
        ("Etc/UTC", "ok", "the same all year"),
        ("Mars/Olympus", "skip", "no zone that Python knows"),
        ("../../etc/passwd", "skip", "no zone that Python knows"),
        ("Europe", "skip", "no zone that Python knows"),
    ],
)
def test_zones(tmp_path, zone, level, words):
    tree = pi(tmp_path)
    tree.answers("timedatectl", f"Timezone={zone}\nNTPSynchronized=yes")
    finding = found(tree, "time-zone")
    assert finding.level == level
    assert words in finding.text


def test_a_zone_from_files(tmp_path):
    tree = pi(tmp_path)
    (tree.programs / "timedatectl").unlink()
    assert "Europe/Berlin" in found(tree, "time-zone").text
    tree.remove("/etc/timezone")
    (tree.root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert "Asia/Tokyo, the same all year" in found(tree, "time-zone").text
    tree.remove("/etc/localtime")
    assert found(tree, "time-zone").text == "not known"
