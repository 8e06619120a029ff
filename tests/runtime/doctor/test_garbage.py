"""Any bytes in any file, any answer of any program: every check still comes to an end."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ad.bench.command import Answer
from edge_ad.runtime.doctor.account import Account
from edge_ad.runtime.doctor.agent_files import read_agent_files
from edge_ad.runtime.doctor.agents import agents
from edge_ad.runtime.doctor.clock import clock
from edge_ad.runtime.doctor.device_profile import device_profile
from edge_ad.runtime.doctor.disks import disks
from edge_ad.runtime.doctor.engines import engines
from edge_ad.runtime.doctor.environment import environment
from edge_ad.runtime.doctor.memory import memory
from edge_ad.runtime.doctor.permissions import permissions
from edge_ad.runtime.doctor.probing import facts_of
from edge_ad.runtime.doctor.processor import processor
from edge_ad.runtime.doctor.service import service
from edge_ad.runtime.doctor.stores import stores
from edge_ad.runtime.doctor.unit import read_unit
from edge_ad.text import printable
from tests.runtime.doctor.trees import CPUFREQ, Tree

OTHER = Account(4_000_000, "edge-ad", frozenset())
FILES = [
    "/dev/gpiochip0",
    "/dev/rtc0",
    "/dev/ttyUSB0",
    "/etc/dphys-swapfile",
    "/etc/init.d/raspi-config",
    "/etc/timezone",
    "/proc/1/cmdline",
    "/proc/1/comm",
    "/proc/22/cmdline",
    "/proc/9999999999999/cmdline",
    "/proc/cgroups",
    "/proc/cpuinfo",
    "/proc/device-tree/model",
    "/proc/meminfo",
    "/proc/self/mounts",
    "/proc/swaps",
    "/sys/class/hwmon/hwmon0/in0_lcrit_alarm",
    "/sys/class/hwmon/hwmon0/name",
    "/sys/class/thermal/thermal_zone0/temp",
    "/sys/devices/platform/soc/soc:firmware/get_throttled",
    "/sys/fs/cgroup/cgroup.controllers",
    *(CPUFREQ.format(0, name) for name in ("scaling_governor", "scaling_driver", "cpuinfo_min_freq")),
]
PROGRAMS = ["vcgencmd", "timedatectl", "systemctl", "chronyc", "dpkg"]
FRAGMENTS = [
    *(
        "Raspberry Pi",
        "systemd",
        "rpi_volt",
        "0x50005",
        "throttled=0x",
        "throttled=0xfffff",
        "ondemand",
        "1",
        "-1",
    ),
    *(
        "99999999999999999999",
        "MemAvailable:",
        " 1 kB",
        "memory",
        "/ ext4 ro 0 0",
        "/dev/x / ",
        "\\777",
        "\\040",
    ),
    *("LoadState=loaded\n", "User=", "User=root\n", "NRestarts=99\n", "DeviceAllow=", "PrivateDevices=yes\n"),
    *(
        "Timezone=",
        "Timezone=Europe/Berlin\n",
        "NTPSynchronized=",
        "Leap status : Normal",
        "edge-ad\0agent\0",
    ),
    *("²", "٣", "\0", "\n", "\x1b[2J", "\ud800", "zram", "upperdir=", "overlay", "nan", "1e999"),
]
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join)
contents = st.one_of(st.binary(max_size=60), fragments.map(lambda text: text.encode(errors="surrogatepass")))
slow = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def checked(findings):
    """The findings, each as it must be."""
    for finding in findings:
        assert finding.check.replace("-", "").replace("_", "").isalnum()
        assert finding.level in ("ok", "warn", "fail", "skip")
        assert finding.text
        assert finding.fix or finding.level in ("ok", "skip")
        assert "\n" not in printable(finding.text)


def all_checks(machine, folder):
    unit = read_unit(machine)
    folders = {"store": folder, "spool": folder / "agent"}
    files = read_agent_files(folder / "agent.toml")
    checked(environment(machine))
    checked(device_profile(machine))
    checked(processor(machine))
    checked(memory(machine))
    checked(clock(machine))
    checked(disks(machine, folders))
    checked(service(unit, files))
    checked(agents(machine, folder))
    checked(permissions(machine, unit.account(machine), folders, files))
    checked(permissions(machine, OTHER, folders, files))


@slow
@given(st.dictionaries(st.sampled_from(FILES), contents), contents, st.floats(allow_nan=False))
def test_any_bytes_in_any_file(files, config, now_s):
    folder = Path(tempfile.mkdtemp())
    try:
        tree = Tree(folder)
        for path, content in files.items():
            tree.write(path, content)
        (folder / "agent.toml").write_bytes(config)
        all_checks(tree.machine(now_s=now_s), folder)
    finally:
        shutil.rmtree(folder)


@settings(parent=slow, max_examples=25)
@given(
    st.dictionaries(st.sampled_from(PROGRAMS), st.tuples(contents, st.sampled_from([0, 1, 127]))),
    st.booleans(),
)
def test_any_answer_of_any_program(programs, is_pi):
    folder = Path(tempfile.mkdtemp())
    try:
        tree = Tree(folder)
        tree.write("/proc/1/comm", "systemd")
        if is_pi:
            tree.write("/proc/device-tree/model", "Raspberry Pi 3 Model B")
        for name, (content, code) in programs.items():
            (folder / f"{name}.answer").write_bytes(content)
            tree.program(name, f"/bin/cat {folder}/{name}.answer; exit {code}")
        all_checks(tree.machine(), folder)
    finally:
        shutil.rmtree(folder)


LINES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            '{"numpy": {"version": "2.1.0"}}',
            '{"numpy": {"problem": "no"}}',
            '{"engine": {"name": "numpy", "in_use": true}}',
            '{"engine": {"name": "tflite-runtime", "in_use": true, "problem": "x", "signal": "SIGILL"}}',
            '{"keys": {"trusted": 1}}',
            '{"keys": {"problem": "x"}}',
            '{"store": {"n_assets": 3}}',
            '{"store": {"problem": "x"}}',
            '{"asset": {"asset": "a b", "trouble": "score", "problem": "x", "given_up": ["y"]}}',
            '{"asset": {"asset": "a", "trial_starts": 5}}',
            '{"step": "the assets"}',
            '{"step": ""}',
            '{"engine_problem": "x"}',
        ]
    ),
)


@slow
@given(st.lists(LINES, max_size=12), st.sampled_from([None, 0, 1, -4, -9, -99]))
def test_any_answer_of_the_probe(lines, code):
    facts = facts_of(Answer(code, "\n".join(lines)), 20.0)
    with tempfile.TemporaryDirectory() as place:
        machine = Tree(Path(place)).machine()
        checked(engines(machine, facts))
        checked(stores(machine, facts, Path(place)))
