"""Whole machines, from a healthy Pi 4 to a Pi Zero: what is said of each."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from edge_ad.runtime.doctor.agents import agents
from edge_ad.runtime.doctor.clock import clock
from edge_ad.runtime.doctor.device_profile import device_profile
from edge_ad.runtime.doctor.disks import disks
from edge_ad.runtime.doctor.engines import engines
from edge_ad.runtime.doctor.environment import SUPPORTED, environment
from edge_ad.runtime.doctor.examination import Subject
from edge_ad.runtime.doctor.extras import extras
from edge_ad.runtime.doctor.facts import EngineFact, KeysFact, NumpyFact, ProbeFacts, StoreFact
from edge_ad.runtime.doctor.memory import memory
from edge_ad.runtime.doctor.permissions import permissions
from edge_ad.runtime.doctor.processor import processor
from edge_ad.runtime.doctor.service import service
from edge_ad.runtime.doctor.stores import stores
from edge_ad.runtime.doctor.unit import read_unit
from edge_ad.runtime.doctor.wheels import interpreter_wheel
from tests.runtime.doctor.trees import AARCH64, ARMV6L, ARMV7L, by_check, pi

KEYS = KeysFact(trusted=1, required=True)
LITERT = ProbeFacts(
    NumpyFact("2.2.6"),
    (EngineFact("ai-edge-litert", True), EngineFact("numpy", False)),
    store=StoreFact(),
    keys=KEYS,
)
TFLITE = ProbeFacts(
    NumpyFact("1.24.2"),
    (EngineFact("tflite-runtime", True), EngineFact("numpy", False)),
    store=StoreFact(),
    keys=KEYS,
)
NUMPY = ProbeFacts(NumpyFact("1.24.2"), (EngineFact("numpy", True),), store=StoreFact(), keys=KEYS)


def findings(machine, facts, store):
    """All groups but the ones that start processes or write."""
    folders, unit = Subject(store).folders, read_unit(machine)
    yield from environment(machine)
    yield from interpreter_wheel(machine)
    yield from device_profile(machine)
    yield from processor(machine)
    yield from memory(machine)
    yield from clock(machine)
    yield from disks(machine, folders)
    yield from service(unit, None)
    yield from agents(machine, store)
    yield from permissions(machine, unit.account(machine), folders, None)
    yield from extras(machine, None)
    yield from engines(machine, facts)
    yield from stores(machine, facts, store)


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def test_a_healthy_pi_4(tmp_path, store):
    found = list(findings(pi(tmp_path).machine(), LITERT, store))
    assert [finding for finding in found if finding.level in ("warn", "fail")] == []
    ok = {finding.check for finding in found if finding.level == "ok"}
    assert ok >= {
        *(
            "python",
            "virtual-environment",
            "word-size",
            "interpreter-wheel",
            "governor",
            "power",
            "temperature",
        ),
        *("memory", "swap", "memory-limits", "clock", "real-time-clock", "mount", "service", "numpy", "keys"),
        *("engine-ai-edge-litert", "engine-numpy", "store-access"),
    }


def test_a_pi_3_with_a_32_bit_system(tmp_path, store):
    tree = pi(tmp_path, "Raspberry Pi 3 Model B Plus Rev 1.3")
    tree.answers("dpkg", "armhf")
    found = by_check(findings(tree.machine(ARMV7L), TFLITE, store))
    assert {name for name, finding in found.items() if finding.level in ("warn", "fail")} == {"word-size"}
    assert (
        "32-bit Python on a 32-bit kernel (armv7l), packages of the system are armhf"
        in found["word-size"].text
    )
    assert "tflite-runtime==2.14.0 with numpy<2" in found["word-size"].text
    assert "/opt/edge-ad/bin/python -m pip install tflite-runtime==2.14.0 'numpy<2'" in found["word-size"].fix
    assert "tflite-runtime 2.14.0 is there for Python 3.11 on armv7l" in found["interpreter-wheel"].text


def test_a_32_bit_system_on_a_64_bit_kernel(tmp_path, store):
    # Raspberry Pi OS (32-bit) starts a 64-bit kernel on the boards that can run one.
    python = replace(ARMV7L, machine="aarch64")
    found = by_check(findings(pi(tmp_path).machine(python), TFLITE, store))
    assert found["word-size"].level == "warn"
    assert "64-bit kernel (aarch64)" in found["word-size"].text
    assert "edge-ad[device]" in found["word-size"].text
    assert "on armv7l" in found["interpreter-wheel"].text


def test_a_32_bit_board_takes_numpy_from_debian(tmp_path):
    python = replace(ARMV7L, packages={})
    (finding,) = interpreter_wheel(pi(tmp_path).machine(python))
    assert "sudo apt-get install -y python3-numpy" in finding.text
    assert "--system-site-packages" in finding.text


@pytest.mark.parametrize(
    ("board", "python", "level", "words"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", AARCH64, "ok", "edge-ad profiles show rpi-5"),
        ("Raspberry Pi 4 Model B Rev 1.4", replace(ARMV7L, machine="aarch64"), "ok", "show rpi-4b"),
        ("Banana Pi BPI-M4", AARCH64, "ok", "show generic-arm64"),
        ("Raspberry Pi 2 Model B Rev 1.1", ARMV7L, "skip", "no device profile fits Raspberry Pi 2"),
    ],
)
def test_the_device_profile_of_a_board(tmp_path, board, python, level, words):
    (finding,) = device_profile(pi(tmp_path, board).machine(python))
    assert finding.level == level
    assert words in finding.text


def test_a_pi_zero_runs_on_numpy(tmp_path, store):
    tree = pi(tmp_path, "Raspberry Pi Zero W Rev 1.1", n_processors=1)
    tree.answers("dpkg", "armhf")
    found = by_check(findings(tree.machine(ARMV6L), NUMPY, store))
    assert [name for name, finding in found.items() if finding.level in ("warn", "fail")] == []
    assert found["word-size"].level == found["interpreter-wheel"].level == "skip"
    assert "none is made for Python 3.11 on armv6l; models run on numpy" in found["interpreter-wheel"].text
    assert found["interpreter"].level == "ok"


@pytest.mark.parametrize(
    ("python", "level", "words"),
    [
        (AARCH64, "ok", "ai-edge-litert 2.3.0 is there for Python 3.11 on aarch64"),
        (replace(AARCH64, version=(3, 13, 5)), "ok", "ai-edge-litert"),
        (replace(AARCH64, version=(3, 15, 0)), "warn", "3.10 to 3.14"),
        (replace(AARCH64, machine="arm64"), "ok", "on aarch64"),
        (replace(AARCH64, libc=("glibc", "2.19")), "warn", "needs glibc 2.27, and this system has 2.19"),
        (replace(AARCH64, libc=("", "")), "skip", "other than glibc"),
        (replace(AARCH64, libc=("glibc", "new")), "skip", "other than glibc"),
        (replace(ARMV7L, libc=("glibc", "2.31")), "warn", "needs glibc 2.34, and this system has 2.31"),
        (replace(ARMV7L, version=(3, 13, 5)), "warn", "3.9 to 3.11"),
        (replace(AARCH64, machine="riscv64"), "skip", "none is made for Python 3.11 on riscv64"),
        (replace(AARCH64, machine="AMD64"), "ok", "on x86_64"),
        (replace(AARCH64, machine="x86_64", bits=32), "skip", "on i686"),
    ],
)
def test_interpreters_that_pip_can_install(tmp_path, python, level, words):
    (finding,) = interpreter_wheel(pi(tmp_path).machine(python))
    assert finding.level == level
    assert words in finding.text
    assert bool(finding.fix) == (level == "warn")


@pytest.mark.parametrize(
    ("changes", "check", "level", "words"),
    [
        ({"version": (3, 10, 12)}, "python", "fail", "3.11 to 3.13"),
        ({"version": (3, 14, 0)}, "python", "fail", "3.11 to 3.13"),
        ({"version": (3, 13, 1)}, "python", "ok", "3.13.1"),
        ({"in_environment": False, "is_managed": True}, "virtual-environment", "warn", "PEP 668"),
        ({"in_environment": False}, "virtual-environment", "ok", "none"),
        ({"bits": 32, "version": (3, 13, 5)}, "word-size", "warn", "models run on numpy"),
    ],
)
def test_the_python(tmp_path, changes, check, level, words):
    found = by_check(environment(pi(tmp_path).machine(replace(AARCH64, **changes))))
    assert found[check].level == level
    assert words in found[check].text
    assert bool(found[check].fix) == (level != "ok")


def test_the_supported_versions_are_those_of_the_package():
    from packaging.specifiers import SpecifierSet

    with (Path(__file__).resolve().parents[3] / "pyproject.toml").open("rb") as file:
        allowed = SpecifierSet(tomllib.load(file)["project"]["requires-python"])
    versions = [(3, minor) for minor in range(8, 20) if allowed.contains(f"3.{minor}.1")]
    assert (versions[0], versions[-1]) == SUPPORTED
