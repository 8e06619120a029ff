"""Which interpreter can be installed here, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_ad.runtime.doctor.finding import Finding, ok, skip, warn
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
from edge_ad.runtime.doctor.machine import Machine

VENV = "/opt/edge-ad"
"""Where the unit of the documentation expects edge_ad."""
NEW_CARD = "rpi-imager  # on another computer: the newest Raspberry Pi OS (64-bit), for a Pi 3 or later"


@dataclass(frozen=True)
class Wheel:
    """An interpreter as the package index has it, in binary form."""

    package: str
    version: str
    pythons: tuple[tuple[int, int], tuple[int, int]]
    """First and last version of CPython."""
    glibc: Mapping[str, tuple[int, int]]
    """Machine -> oldest glibc that it runs with, from the wheel's manylinux tag."""
    requires: tuple[str, ...] = ()
    """What pip has to be told besides."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """What to install."""
        return (f"{self.package}=={self.version}", *self.requires)


# The package index as of 2026-11-24, asked for every line with
#   pip download --only-binary :all: --no-deps --implementation cp --python-version 3.11
#     --platform manylinux_2_34_armv7l tflite-runtime==2.14.0
# It has neither package for armv6l, and tflite-runtime for no Python beyond 3.11.
WHEELS = (
    Wheel("ai-edge-litert", "2.3.0", ((3, 10), (3, 14)), {"x86_64": (2, 27), "aarch64": (2, 27)}),
    Wheel(
        "tflite-runtime",
        "2.14.0",
        ((3, 9), (3, 11)),
        {"x86_64": (2, 17), "aarch64": (2, 34), "armv7l": (2, 34)},
        ("numpy<2",),
    ),
)


def suitable_wheel(python: PythonFacts) -> Wheel | None:
    """The first interpreter that pip can install for a Python; None where there is none."""
    libc = _glibc(python)
    for wheel in WHEELS:
        oldest = wheel.glibc.get(python.wheel_machine)
        first, last = wheel.pythons
        if oldest is not None and libc >= oldest and first <= python.version[:2] <= last:
            return wheel
    return None


def install_commands(machine: Machine, wheel: Wheel) -> tuple[str, ...]:
    """The commands that install it here."""
    python = machine.python
    if python.wheel_machine == "armv7l" and "numpy" not in python.packages:
        # The index has no numpy for 32-bit boards; Debian has.
        return (
            "sudo apt-get install -y python3-numpy python3-venv",
            f"sudo python{python.short_version} -m venv --system-site-packages {VENV}",
            f"sudo {VENV}/bin/pip install edge_ad-*.whl tflite-runtime=={wheel.version} 'numpy<2'",
        )
    return (machine.pip_install(*wheel.requirements),)


def interpreter_wheel(machine: Machine) -> Iterator[Finding]:
    """Whether pip has an interpreter for this machine, and the command that installs it."""
    check, python = "interpreter-wheel", machine.python
    target = f"Python {python.short_version} on {python.wheel_machine}"
    wheel = suitable_wheel(python)
    if wheel is not None:
        commands = " && ".join(install_commands(machine, wheel))
        yield ok(check, f"{wheel.package} {wheel.version} is there for {target}: {commands}")
        return
    known = [wheel for wheel in WHEELS if python.wheel_machine in wheel.glibc]
    if not known:
        yield skip(
            check, f"none is made for {target}; models run on numpy, with the same decisions, but slower"
        )
        return
    newest = known[0]
    oldest = newest.glibc[python.wheel_machine]
    libc = _glibc(python)
    if not libc:
        yield skip(
            check,
            f"none for {target} with a C library other than glibc; models run on numpy, with the same "
            "decisions, but slower",
        )
    elif libc < oldest:
        yield warn(
            check,
            f"{newest.package} {newest.version} needs glibc {_dotted(oldest)}, and this system has "
            f"{_dotted(libc)}; models run on numpy, with the same decisions, but slower",
            NEW_CARD,
        )
    else:
        first, last = newest.pythons
        yield warn(
            check,
            f"none for {target}: {newest.package} {newest.version} is there for {_dotted(first)} to "
            f"{_dotted(last)}; models run on numpy, with the same decisions, but slower",
            NEW_CARD,
        )


def _glibc(python: PythonFacts) -> tuple[int, ...]:
    """`(2, 36)`; empty for another C library."""
    name, version = python.libc
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version, re.ASCII)
    return tuple(map(int, found.groups())) if name == "glibc" and found else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
