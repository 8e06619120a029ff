"""The Python that edge_ad runs on: its version, whose it is, and whether it is 32-bit."""

from __future__ import annotations

from collections.abc import Iterator

from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.wheels import NEW_CARD, VENV, install_commands, suitable_wheel

SUPPORTED = ((3, 11), (3, 13))
"""First and last version of Python; pyproject.toml says the same."""
_SIXTY_FOUR_BIT_MACHINES = ("aarch64", "arm64", "armv8l", "x86_64", "amd64")


def environment(machine: Machine) -> Iterator[Finding]:
    """Version, virtual environment and word size."""
    yield _version(machine)
    yield _environment(machine)
    yield _word_size(machine)


def _version(machine: Machine) -> Finding:
    version = ".".join(map(str, machine.python.version))
    first, last = SUPPORTED
    if first <= machine.python.version[:2] <= last:
        return ok("python", f"{version}, {machine.python.executable}")
    names = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    return fail(
        "python",
        f"{version} is not among the versions that edge_ad is made for ({names}); where the system has no "
        "other, a newer release of Raspberry Pi OS (bookworm: 3.11, trixie: 3.13) has",
        f"sudo python{last[0]}.{last[1]} -m venv --system-site-packages {VENV}",
        f"sudo {VENV}/bin/pip install edge_ad-*.whl",
    )


def _environment(machine: Machine) -> Finding:
    if machine.python.in_environment:
        return ok("virtual-environment", "edge_ad has a virtual environment of its own")
    if machine.python.is_managed:
        return warn(
            "virtual-environment",
            "this Python belongs to the system's package manager (PEP 668): pip refuses to install here, "
            "and an upgrade of the system may break edge_ad",
            f"sudo python{machine.python.short_version} -m venv --system-site-packages {VENV}",
            f"sudo {VENV}/bin/pip install edge_ad-*.whl",
        )
    return ok("virtual-environment", "none, but nothing else claims this Python's packages either")


def _word_size(machine: Machine) -> Finding:
    python = machine.python
    answer = machine.run("dpkg", "--print-architecture")
    system = f", packages of the system are {answer.text.strip()}" if answer and answer.code == 0 else ""
    if python.bits == 64:
        return ok("word-size", f"64-bit Python on a {python.machine} kernel{system}")
    if python.machine.lower() in _SIXTY_FOUR_BIT_MACHINES:
        what = (
            f"32-bit Python on a 64-bit kernel ({python.machine}){system}: pip's extra edge-ad[device] goes "
            "by the kernel, asks for an interpreter that has no 32-bit package, and fails"
        )
    else:
        what = f"32-bit Python on a 32-bit kernel ({python.machine}){system}"
    wheel = suitable_wheel(python)
    if wheel is not None:
        runs = f"what runs is {' with '.join(wheel.requirements)}"
        return warn("word-size", f"{what}; {runs}", *install_commands(machine, wheel))
    runs = "models run on numpy, with the same decisions, but slower"
    if python.wheel_machine == "armv7l":
        return warn("word-size", f"{what}; {runs}", NEW_CARD)
    return skip("word-size", f"{what}; {runs}")
