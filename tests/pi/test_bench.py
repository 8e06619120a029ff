"""Benchmarks in emulated roots, and of one: durations mean nothing there, instructions stay the same."""

import json
import shutil
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers import edge_ad

ROOT = Path(__file__).parents[2]
SITE = "usr/lib/python3/dist-packages"
"""Where Debian's Python finds packages, its own numpy among them."""
PLATFORMS = [f"manylinux{version}_aarch64" for version in ("_2_28", "_2_27", "_2_17", "2014")]


@contextmanager
def opened(name, scratch):
    """A board with edge_ad and click, which are Python alone, whatever the processor."""
    import pi_rootfs

    with pi_rootfs.Machine.open(name, scratch) as machine:
        for package in ("edge_ad", "click"):
            source = Path(find_spec(package).origin).parent
            ignored = shutil.ignore_patterns("__pycache__", "firmware_configs")
            shutil.copytree(source, machine.path / SITE / package, ignore=ignored)
        profiles = machine.path / SITE / "edge_ad/profiles/firmware_configs"
        shutil.copytree(ROOT / "firmware_configs", profiles)
        shutil.copy(ROOT / "tests/data/toy.edgead", machine.path / "opt/toy.edgead")
        yield machine


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """32 bits, with Debian's numpy and no interpreter."""
    with opened("armhf-bookworm", tmp_path_factory.mktemp("board")) as machine:
        yield machine


def test_durations_under_emulation_are_kept_and_not_told(board):
    command = ["python3", "-m", "edge_ad", "bench"]
    few = ("--variant", "tiny-float32", "--windows", 20, "--warmup", 0, "--processes", 1)
    run = board.run([*command, "/opt/toy.edgead", *few, "-o", "/opt/bench.json"], check=False, timeout=600)
    assert run.returncode == 0, run.stderr
    record = json.loads((board.path / "opt/bench.json").read_text())
    assert record["trust"] == "none"
    assert record["machine_before"]["translator"].startswith("qemu-arm")
    assert record["machine_before"]["architecture"] == "armv7l"
    (result,) = record["results"]
    assert (result["engine"], len(result["runs"][0]["measurements"][0]["raw_ns"])) == ("numpy", 20)
    assert "verdict: none" in run.stdout
    assert "emulated: qemu-arm" in run.stdout
    for word in ("microseconds", "headroom", "p50", "cold start"):
        assert word not in run.stdout
    assert "edge-ad bench BUNDLE --instructions" in run.stdout
    # nor are they compared
    run = board.run([*command, "compare", "/opt/bench.json", "/opt/bench.json"], check=False)
    assert run.returncode == 2
    assert "the durations in A and B mean nothing: qemu-arm" in run.stderr


def test_within_the_emulator_instructions_cannot_be_counted(board):
    command = ["python3", "-m", "edge_ad", "bench", "/opt/toy.edgead", "--instructions"]
    run = board.run(command, check=False, timeout=600)
    assert run.returncode == 2
    assert "on the workstation: edge-ad bench BUNDLE --instructions --rootfs ROOT" in run.stderr


def count(bundle, root, *arguments):
    """Count from outside of a root."""
    machine = f"qemu-{'arm' if 'armhf' in root.recipe.name else 'aarch64'}"
    if shutil.which(machine) is None:
        pytest.skip("needs Debian's package qemu-user")
    where = ("--rootfs", root.path, "--rootfs-python", "/usr/bin/python3")
    run = edge_ad("bench", bundle, "--instructions", *where, *arguments)
    if run.returncode == 1 and "without plugins" in run.stderr:
        pytest.skip("this qemu-user loads no plugins")
    return run


def test_what_qemu_cannot_do_from_outside_is_said(board, toy_bundle_path):
    run = count(toy_bundle_path, board)
    assert run.returncode in (0, 1)  # a later qemu may do it
    assert run.returncode == 0 or "count in a 64-bit one" in run.stderr


@pytest.fixture(scope="module")
def board64(tmp_path_factory):
    """64 bits, with the wheels that a board installs."""
    wheels = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", wheels]
    options = ["--only-binary=:all:", "--python-version=3.11", *(f"--platform={name}" for name in PLATFORMS)]
    lock = ["-c", ROOT / "requirements/device.txt"]
    subprocess.run([*command, *options, *lock, "ai-edge-litert", "numpy"], check=True)
    with opened("arm64-bookworm", tmp_path_factory.mktemp("board64")) as machine:
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(machine.path / SITE)
        yield machine


def test_an_arm_processors_instructions_are_counted_from_outside(board64, toy_bundle_path, tmp_path):
    few = ("--variant", "tiny-int8", "--engine", "ai-edge-litert", "--windows", 1)
    run = count(toy_bundle_path, board64, *few, "-o", tmp_path / "bench.json")
    assert run.returncode == 0, run.stderr
    record = json.loads((tmp_path / "bench.json").read_text())
    (found,) = record["instructions"]
    assert (found["architecture"], found["engine"]) == ("aarch64", "ai-edge-litert")
    assert found["counter"].startswith("qemu-aarch64-")
    windows = found["many_windows"] - found["few_windows"]
    pairs = zip(found["few"], found["many"], strict=True)
    low, high = sorted((many - few) / windows for few, many in pairs)
    assert low > 10_000
    assert high < 1.01 * low
    assert record["trust"] == "trusted"
    assert "verdict: trusted" in run.stdout
