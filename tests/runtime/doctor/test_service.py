"""The agent's unit, agents that run, memory, extras, and what is read of a configuration."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_ad.runtime.doctor.agent_files import AgentFiles, read_agent_files
from edge_ad.runtime.doctor.agents import agents
from edge_ad.runtime.doctor.extras import EXTRAS, extras
from edge_ad.runtime.doctor.memory import memory
from edge_ad.runtime.doctor.service import service
from edge_ad.runtime.doctor.unit import read_unit
from tests.runtime.doctor.trees import AARCH64, PI, by_check, pi

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tree(tmp_path):
    return pi(tmp_path / "pi")


def found(tree, files=None):
    return by_check(service(read_unit(tree.machine()), files))


@pytest.mark.parametrize(
    ("properties", "check", "level", "fix"),
    [
        ({}, "service", "ok", None),
        ({"LoadState": "not-found"}, "service", "warn", "systemctl enable --now edge-ad-agent.service"),
        ({"LoadState": "masked"}, "service", "warn", "systemctl enable --now edge-ad-agent.service"),
        ({"LoadState": ""}, "service", "skip", "systemctl status"),
        ({"ActiveState": "failed"}, "service", "fail", "journalctl -u edge-ad-agent.service"),
        ({"ActiveState": "inactive"}, "service", "warn", "sudo systemctl start edge-ad-agent.service"),
        (
            {"UnitFileState": "disabled"},
            "service-start",
            "warn",
            "sudo systemctl enable edge-ad-agent.service",
        ),
        ({"UnitFileState": ""}, "service-start", "warn", "sudo systemctl enable edge-ad-agent.service"),
        ({"WatchdogUSec": "0"}, "watchdog", "warn", "WatchdogSec=60"),
        ({"WatchdogUSec": "infinity"}, "watchdog", "warn", "WatchdogSec=60"),
        ({"NRestarts": "12"}, "restarts", "warn", "journalctl"),
    ],
)
def test_units(tree, properties, check, level, fix):
    tree.unit(**properties)
    finding = found(tree)[check]
    assert finding.level == level
    assert (fix is None) == (not finding.fix)
    assert fix is None or fix in " ".join(finding.fix)


def test_a_unit_that_is_as_it_should_be(tree):
    assert set(found(tree)) == {"service"}


def test_without_systemd(tree):
    (tree.root / "run/systemd/system").rmdir()
    tree.write("/proc/1/comm", "init\n")
    assert found(tree)["service"].level == "skip"


def test_the_account_of_the_service(tree):
    assert (
        read_unit(tree.machine()).account(tree.machine()) == PI
    )  # an account that this machine does not have
    tree.unit(User="root")
    assert read_unit(tree.machine()).account(tree.machine()).is_root
    tree.unit(User="")
    assert read_unit(tree.machine()).account(tree.machine()).is_root
    tree.unit(LoadState="not-found", User="root")
    assert read_unit(tree.machine()).account(tree.machine()) == PI


def test_a_unit_that_keeps_devices_from_the_agent(tree, tmp_path):
    files = AgentFiles(tmp_path / "agent.toml", devices=("/dev/ttyUSB0",), kinds=frozenset({"gpio"}))
    finding = found(tree, files)["unit-devices"]
    assert finding.level == "fail"
    assert "DeviceAllow=/dev/ttyUSB0 rw" in finding.fix[0]
    tree.unit(DeviceAllow="/dev/ttyUSB0 rw /dev/gpiochip0 rw")
    assert "unit-devices" not in found(tree, files)
    tree.unit(PrivateDevices="no")
    assert "unit-devices" not in found(tree, files)


def test_the_unit_that_is_shipped_satisfies_the_checks():
    text = (ROOT / "firmware_configs" / "edge-ad-agent.service").read_text()
    assert "WatchdogSec=" in text
    assert "time-sync.target" in text  # what the check of the clock speaks of
    assert "WantedBy=" in text


# Agents that run


def agent(tree, pid, *words, cwd="/"):
    tree.write(f"/proc/{pid}/cmdline", "\0".join(words) + "\0")
    (tree.root / f"proc/{pid}/cwd").symlink_to(cwd)


def running(tree):
    return list(agents(tree.machine(), Path("/var/lib/edge-ad")))


def test_nothing_runs(tree):
    agent(tree, 7, "/usr/bin/python3", "-m", "edge_ad", "run", "agent")
    agent(tree, 8, "ssh-agent")
    agent(tree, 9, "edge-ad", "agent", "--check", "/etc/x.toml")
    tree.write("/proc/10/cmdline", "")
    (finding,) = running(tree)
    assert (finding.level, finding.text) == ("skip", "none runs")


def test_one_agent(tree, tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text('[agent]\nspool = "/data/spool.db"\n')
    agent(tree, 812, "/opt/edge-ad/bin/python", "/opt/edge-ad/bin/edge-ad", "agent", str(config))
    (finding,) = running(tree)
    assert (finding.level, finding.text) == ("ok", "process 812 with /data/spool.db")


def test_two_agents_on_one_spool(tree, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text('[agent]\nname = "x"\n')
    agent(tree, 812, "edge-ad", "agent", str(tmp_path / "a.toml"), "--store", "/var/lib/edge-ad")
    agent(tree, 813, "python3", "-m", "edge_ad", "agent", "b.toml", cwd=str(tmp_path))
    (finding,) = running(tree)
    assert finding.level == "fail"
    assert "2 agents share /var/lib/edge-ad/agent/spool.db: processes 812, 813" in finding.text
    assert finding.fix[1].startswith("kill 813")
    agent(tree, 814, "edge-ad", "agent", "--store=/elsewhere", str(tmp_path / "a.toml"))
    assert [finding.level for finding in running(tree)] == ["fail"]
    tree.remove("/proc/812/cmdline")
    assert [finding.level for finding in running(tree)] == ["ok"]


def test_agents_whose_configuration_cannot_be_read(tree):
    agent(tree, 1, "edge-ad", "agent", "/none/a.toml")
    agent(tree, 2, "edge-ad", "agent", "/none/b.toml")
    assert [finding.level for finding in running(tree)] == ["ok"]
    agent(tree, 3, "edge-ad", "agent", "b.toml", cwd="/none")
    (finding,) = running(tree)
    assert finding.level == "fail"
    agent(tree, 4, "edge-ad", "agent")
    assert [finding.level for finding in running(tree)] == ["fail"]


# Memory


def test_little_memory(tree):
    tree.write("/proc/meminfo", "MemAvailable:      90000 kB\n")
    finding = by_check(memory(tree.machine()))["memory"]
    assert finding.level == "warn"
    assert "92 MB are available" in finding.text
    tree.write("/proc/meminfo", "MemAvailable: many\n")
    assert by_check(memory(tree.machine()))["memory"].level == "skip"


@pytest.mark.parametrize(
    ("swaps", "level"),
    [
        ("/dev/zram0 partition 102396 0 100", "ok"),
        ("/var/swap file 102396 0 -2", "warn"),
        ("/dev/mmcblk0p3 partition 102396 0 -2", "warn"),
        ("/dev/sda2 partition 102396 0 -2", "ok"),
        ("", "ok"),
        ("rubbish", "ok"),
    ],
)
def test_swap(tree, swaps, level):
    tree.write("/proc/swaps", f"Filename Type Size Used Priority\n{swaps}\n")
    finding = by_check(memory(tree.machine()))["swap"]
    assert finding.level == level
    tree.write("/etc/dphys-swapfile")
    if level == "warn":
        assert finding.fix[0].startswith("sudo swapoff ")
        assert "dphys-swapfile" in by_check(memory(tree.machine()))["swap"].fix[0]


@pytest.mark.parametrize(
    ("controllers", "cgroups", "level"),
    [
        ("cpuset cpu io pids", None, "warn"),
        (None, "#subsys_name hierarchy num_cgroups enabled\nmemory 0 95 0", "warn"),
        (None, "#subsys_name hierarchy num_cgroups enabled\nmemory 4 95 1", "ok"),
        (None, None, "skip"),
        ("cpu memory", None, "ok"),
    ],
)
def test_limits_of_memory(tree, controllers, cgroups, level):
    tree.remove("/sys/fs/cgroup/cgroup.controllers")
    if controllers is not None:
        tree.write("/sys/fs/cgroup/cgroup.controllers", controllers)
    if cgroups is not None:
        tree.write("/proc/cgroups", cgroups)
    finding = by_check(memory(tree.machine()))["memory-limits"]
    assert finding.level == level
    if level == "warn":
        assert " /boot/cmdline.txt" in finding.fix[0]
        tree.write("/boot/firmware/cmdline.txt")
        assert " /boot/firmware/cmdline.txt" in by_check(memory(tree.machine()))["memory-limits"].fix[0]


# Extras and configuration

CONFIG = """
[agent]
spool = "/var/lib/edge-ad/agent/spool.db"
[broker.plant]
host = "10.0.0.2"
username = "pump"
password_file = "/etc/edge-ad/plant.password"
key_file = "/etc/edge-ad/plant.key"
[[asset]]
name = "pump-1"
source = { kind = "serial", device = "/dev/ttyUSB0" }
[[sink]]
kind = "gpio"
pin = 17
[[sink]]
kind = "webhook"
token_file = "hook.token"
[http]
token_file = "/etc/edge-ad/http.token"
"""


def test_what_is_read_of_a_configuration(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG)
    files = read_agent_files(path)
    assert files.problem == ""
    assert files.spool == Path("/var/lib/edge-ad/agent/spool.db")
    assert {str(secret) for secret in files.secrets} == {
        "/etc/edge-ad/plant.password",
        "/etc/edge-ad/plant.key",
        "/etc/edge-ad/http.token",
        "hook.token",
    }
    assert files.devices == ("/dev/ttyUSB0",)
    assert files.kinds == {"serial", "gpio", "webhook", "mqtt", "http", "metrics"}
    path.write_text(CONFIG + "metrics = false\n")
    assert "metrics" not in read_agent_files(path).kinds


def test_the_configuration_that_is_shipped():
    files = read_agent_files(ROOT / "firmware_configs" / "agent.toml")
    assert files.problem == ""
    assert "follow" in files.kinds


@pytest.mark.parametrize(
    "content",
    [b"[", b"\xff", b"a = " + b"[" * 5000, b"agent = 3\nhttp = 'x'\nbroker = []", b"[agent]\nspool = 3"],
)
def test_configurations_that_make_no_sense(tmp_path, content):
    path = tmp_path / "agent.toml"
    path.write_bytes(content)
    assert read_agent_files(path).spool is None
    assert read_agent_files(tmp_path).problem
    assert read_agent_files(tmp_path / "none").problem


def test_extras_that_a_configuration_needs(tree, tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG)
    machine = tree.machine(replace(AARCH64, packages=AARCH64.packages | {"pyserial": "3.5"}))
    found = {finding.text.split()[0]: finding for finding in extras(machine, read_agent_files(path))}
    assert set(found) == {extra.package for extra in EXTRAS}
    levels = {name: finding.level for name, finding in found.items()}
    assert levels == {
        "paho-mqtt": "fail",
        "pyserial": "ok",
        "gpiozero": "fail",
        "waitress": "fail",
        "prometheus-client": "fail",
        "cryptography": "skip",
    }
    assert found["paho-mqtt"].fix == ("/opt/edge-ad/bin/python -m pip install 'paho-mqtt>=2.1'",)
    assert {finding.level for finding in extras(machine, None)} == {"ok", "skip"}
