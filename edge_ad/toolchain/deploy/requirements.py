"""Which packages a board takes, to the exact version, dependencies included.

The locked versions, with their conditions evaluated for the board and not for the machine that pip runs on: a
32-bit system on a 64-bit kernel calls itself aarch64 and can load nothing that was built for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_ad.errors import DeployError
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
from edge_ad.runtime.doctor.wheels import suitable_wheel

_LOCKS = Path(__file__).with_name("locks")
_32_BIT = ("armv7l", "armv6l")
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 13)
_OF_DEBIAN = {"numpy": "python3-numpy", "cryptography": "python3-cryptography"}
"""What the package index does not have in binary form for 32-bit boards, and Debian has."""
_WITH_CRYPTOGRAPHY = {"cffi", "pycparser"}
_INTERPRETERS = {"ai-edge-litert", "tflite-runtime"}
_ROOM_BYTES, _SMALL_ROOM_BYTES = 200_000_000, 60_000_000
"""What an environment takes at the most while it is made, with ai-edge-litert and without."""


@dataclass(frozen=True)
class BoardPython:
    """What decides which packages a board can load."""

    machine: str
    """That packages must be built for: `aarch64`, `armv7l`, `armv6l`, `x86_64`."""
    python: tuple[int, int]
    glibc: tuple[int, int]

    @property
    def short_version(self) -> str:
        """Such as `3.11`."""
        return f"{self.python[0]}.{self.python[1]}"

    def text(self) -> str:
        """For people."""
        return f"Python {self.short_version} on {self.machine}"


@dataclass(frozen=True)
class Packages:
    """What a board takes."""

    engine: str
    """The package that runs models, or `numpy` where there is none for it."""
    pip: tuple[str, ...]
    """Exact versions: `click==8.5.1`."""
    debian: tuple[str, ...]
    """Debian packages that the environment has to see."""

    @property
    def room_bytes(self) -> int:
        """Room that the environment takes at the most."""
        return _ROOM_BYTES if self.engine == "ai-edge-litert" else _SMALL_ROOM_BYTES


def packages_for(board: BoardPython, *, gpio: bool = False) -> Packages:
    """The packages of the agent (MQTT, serial line, status page, metrics, signatures), with GPIO if wanted.

    Raises DeployError for a board whose Python edge_ad does not run on.
    """
    if not _OLDEST_PYTHON <= board.python <= _NEWEST_PYTHON:
        raise DeployError(
            f"the board has {board.text()}, and edge_ad needs Python 3.11 to 3.13: put Raspberry Pi OS "
            "bookworm or trixie on it"
        )
    interpreter = suitable_wheel(_facts(board))
    engine = interpreter.package if interpreter else "numpy"
    from_debian = set(_OF_DEBIAN) if board.machine in _32_BIT else set()
    left_out = from_debian | (_WITH_CRYPTOGRAPHY if from_debian else set())
    left_out |= _INTERPRETERS - {engine}
    # For a board without ai-edge-litert the lock's conditions are those of the boards that never have it.
    machine = board.machine if engine == "ai-edge-litert" else "armv7l"
    chosen = tuple(
        f"{requirement.name}{requirement.specifier}"
        for requirement in _locked("device.txt" if gpio else "agent.txt", board.short_version, machine)
        if canonicalize_name(requirement.name) not in left_out
    )
    return Packages(engine, chosen, tuple(_OF_DEBIAN[name] for name in sorted(from_debian)))


def _locked(lock: str, python: str, machine: str) -> Iterator[Requirement]:
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    for line in (_LOCKS / lock).read_text().splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


def _facts(board: BoardPython) -> PythonFacts:
    major, minor = board.python
    return PythonFacts(
        version=(major, minor, 0),
        executable="python3",
        machine=board.machine,
        bits=32 if board.machine in _32_BIT else 64,
        libc=("glibc", ".".join(map(str, board.glibc))),
        in_environment=False,
        is_managed=True,
    )
