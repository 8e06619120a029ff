"""The profiles that come with edge_ad: what they say, and which machine gets which."""

import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement

from edge_ad.errors import ConfigurationError
from edge_ad.profiles import all_profiles, firmware_file, load_profile, pick
from edge_ad.profiles.catalog import BUILT_IN
from edge_ad.profiles.schema import profile_schema, schema_text
from edge_ad.runtime.doctor.environment import SUPPORTED
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.wheels import install_commands, suitable_wheel

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "firmware_configs"
PROFILES = all_profiles()
SYSTEMS = [(profile, system) for profile in PROFILES for system in profile.systems]
OUTSIDE = {"boards", "processor", "cores", "memory_mb", "python", "glibc", "interpreter", "numpy", "apt"}
"""Keys whose values are facts of the outside world wherever they stand."""

by_name = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
by_system = pytest.mark.parametrize(
    ("profile", "system"), SYSTEMS, ids=lambda part: getattr(part, "label", "")
)


def python_of(system):
    """The Python of a system on the kernel that most machines run it on."""
    machine = "aarch64" if system.architecture == "armv7l" else system.architecture
    return PythonFacts(
        version=(*system.python_version, 0),
        executable="/opt/edge-ad/bin/python",
        machine=machine,
        bits=32 if system.is_32_bit else 64,
        libc=("glibc", system.glibc),
        in_environment=True,
        is_managed=False,
    )


def test_the_folder_holds_what_is_known():
    others = {"agent.toml", "edge-ad-agent.service", "profile.schema.json"}
    assert {path.name for path in FOLDER.iterdir()} == others | {f"{name}.toml" for name in BUILT_IN}
    assert firmware_file("edge-ad-agent.service") == (FOLDER / "edge-ad-agent.service").read_bytes()
    with pytest.raises(ConfigurationError, match=r"no file '\.\./README\.md'; there are: agent\.toml, "):
        firmware_file("../README.md")


@by_name
def test_the_schema_takes_it(profile):
    schema = json.loads((FOLDER / "profile.schema.json").read_text())
    Draft202012Validator(schema).validate(tomllib.loads((FOLDER / f"{profile.name}.toml").read_text()))


def test_the_schema_is_what_the_classes_say():
    Draft202012Validator.check_schema(profile_schema())
    assert (FOLDER / "profile.schema.json").read_text() == schema_text(profile_schema()), (
        "make it anew: python -m edge_ad.profiles.schema > profile.schema.json && "
        "mv profile.schema.json firmware_configs/"
    )


@by_name
def test_every_fact_has_a_source(profile):
    assert profile.unsourced() == ()
    outside = {key.rpartition(".")[2] for key in profile.sourced_values()}
    assert outside >= OUTSIDE if profile.boards else outside >= OUTSIDE - {"boards", "cores", "memory_mb"}


@by_name
def test_no_latency_is_claimed_that_nobody_measured(profile):
    if profile.name.startswith("rpi-"):
        assert profile.runtime.latency == "not measured"
    else:
        measured = re.search(r"docs/\S+\.md", profile.runtime.latency)
        assert profile.runtime.latency == "not measured" or (ROOT / measured[0]).exists()


@by_name
def test_names_lead_to_it(profile):
    for name in (profile.name, *profile.aliases):
        assert load_profile(name) == profile
    assert load_profile(str(FOLDER / f"{profile.name}.toml")) == profile


def test_no_two_have_a_name_or_a_board_in_common():
    names = [name for profile in PROFILES for name in (profile.name, *profile.aliases)]
    boards = [board for profile in PROFILES for board in profile.boards]
    assert len(set(names)) == len(names)
    assert len(set(boards)) == len(boards)


@by_system
def test_the_interpreter_is_the_one_that_doctor_would_install(profile, system):
    wheel = suitable_wheel(python_of(system))
    assert system.requirements == (() if wheel is None else wheel.requirements)
    assert system.engine == ("numpy" if wheel is None else wheel.package)
    if wheel is not None:
        commands = " && ".join(install_commands(Machine(python=python_of(system)), wheel))
        assert ("--system-site-packages" in commands) == system.sees_system_packages
        assert ("python3-numpy" in commands) == ("python3-numpy" in system.apt)


@by_system
def test_the_device_extra_asks_for_the_same(profile, system):
    """Where pip takes the machine for what it is: a 32-bit Python on a 64-bit kernel needs the list."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    where = {"platform_machine": system.architecture, "python_version": system.python}
    asked = [Requirement(text) for text in project["optional-dependencies"]["device"]]
    chosen = {r.name: r.specifier for r in asked if r.marker is None or r.marker.evaluate(where)}
    pinned = {Requirement(text).name: Requirement(text).specifier for text in system.requirements}
    if system.interpreter == "numpy":
        assert set(chosen) - {"numpy"} == set()
    else:
        assert set(chosen) == set(pinned)
        assert chosen[system.interpreter].contains(system.interpreter_version)


@by_system
def test_python_is_one_that_edge_ad_is_made_for(profile, system):
    assert SUPPORTED[0] <= system.python_version <= SUPPORTED[1]
    assert "python3-venv" in system.apt
    assert profile.variant(system) == ("tiny-float32" if system.engine == "numpy" else "tiny-int8")


@pytest.mark.parametrize(
    ("board", "architecture", "name"),
    [
        ("Raspberry Pi Zero W Rev 1.1", "armv6l", "rpi-zero-w"),
        ("Raspberry Pi Zero Rev 1.3", "armv6l", "rpi-zero-w"),
        ("Raspberry Pi Model B Plus Rev 1.2", "armv6l", "rpi-zero-w"),
        ("Raspberry Pi Compute Module Rev 1.0", "armv6l", "rpi-zero-w"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "armv7l", "rpi-zero-2w"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "aarch64", "rpi-3b"),
        ("Raspberry Pi 3 Model A Plus Rev 1.0", "armv7l", "rpi-3b"),
        ("Raspberry Pi Compute Module 3 Plus Rev 1.0", "aarch64", "rpi-3b"),
        ("Raspberry Pi 4 Model B Rev 1.4", "aarch64", "rpi-4b"),
        ("Raspberry Pi 4 Model B Rev 1.4", "armv7l", "rpi-4b"),
        ("Raspberry Pi 400 Rev 1.0", "aarch64", "rpi-4b"),
        ("Raspberry Pi Compute Module 4S", "aarch64", "rpi-4b"),
        ("Raspberry Pi 5 Model B Rev 1.0", "aarch64", "rpi-5"),
        ("Raspberry Pi 500 Rev 1.0", "aarch64", "rpi-5"),
        ("Raspberry Pi Compute Module 5 Lite Rev 1.0", "aarch64", "rpi-5"),
        ("Raspberry Pi Zero 3 W Rev 1.0", "aarch64", "generic-arm64"),
        ("Raspberry Pi 40 Model B", "aarch64", "generic-arm64"),
        ("Radxa ROCK 5B", "aarch64", "generic-arm64"),
        ("", "arm64", "generic-arm64"),
        ("", "x86_64", "generic-x86_64"),
        ("", "amd64", "generic-x86_64"),
    ],
)
def test_a_machine_gets_its_profile(board, architecture, name):
    assert pick(board, architecture).name == name


@pytest.mark.parametrize(
    ("board", "architecture", "words"),
    [
        ("", "riscv64", "there are: rpi-zero-w (armv6l), rpi-zero-2w (aarch64, armv7l)"),
        ("", "armv7l", "Profiles with systems for armv7l: rpi-zero-2w, rpi-3b, rpi-4b, rpi-5"),
        ("Raspberry Pi 2 Model B Rev 1.1", "armv7l", "Raspberry Pi 2 Model B Rev 1.1 (armv7l)"),
        ("Raspberry Pi 4 Model B Rev 1.4", "armv6l", "Profiles with systems for armv6l: rpi-zero-w."),
    ],
)
def test_a_machine_without_one(board, architecture, words):
    with pytest.raises(ConfigurationError) as caught:
        pick(board, architecture)
    assert words in str(caught.value)
    assert "--profile my-board.toml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_memory_limit_leaves_half_to_the_system():
    whole = pick("Raspberry Pi Model A Rev 2", "armv6l")
    small = pick("Raspberry Pi Model A Rev 2", "armv6l", memory_mb=230)
    limited = dataclasses.replace(whole.runtime, memory_limit_mb=115)
    assert small == dataclasses.replace(whole, runtime=limited)
    assert pick("", "aarch64", memory_mb=8000) == pick("", "aarch64")
    assert pick("", "aarch64", memory_mb=100).runtime.memory_limit_mb == 64


@by_name
def test_the_limit_leaves_half_of_the_smallest_board(profile):
    for size in profile.hardware.memory_mb:
        assert profile.limited_to(size) == profile or size == 256


def test_a_system_by_name():
    profile = load_profile("rpi4")
    assert profile.system("bookworm", "armv7l").engine == "tflite-runtime"
    with pytest.raises(ConfigurationError, match=r"rpi-4b has no system noble \(aarch64\); it has: bookworm"):
        profile.system("noble", "aarch64")


def test_a_name_that_is_not_there():
    with pytest.raises(ConfigurationError, match=r"called 'rpi9'; there are: rpi-zero-w, .*my-board\.toml"):
        load_profile("rpi9")


def test_they_are_read_without_numpy_and_click():
    code = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "click"]))
import edge_ad.profiles as p
print(p.pick("", "aarch64").name, len(p.firmware_file("agent.toml")) > 0, p.target("rpi5-trixie").name)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "generic-arm64 True rpi-5-trixie\n"
