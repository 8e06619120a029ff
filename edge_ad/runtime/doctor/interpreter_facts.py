"""What decides which packages the Python of this process can install and load."""

from __future__ import annotations

import importlib.metadata
import platform
import struct
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_ad.bench.architecture import python_architecture

PACKAGES = (
    "numpy",
    "ai-edge-litert",
    "tflite-runtime",
    "cryptography",
    "gpiozero",
    "paho-mqtt",
    "prometheus-client",
    "pyserial",
    "waitress",
)


@dataclass(frozen=True)
class PythonFacts:
    """A Python and the machine it was built for."""

    version: tuple[int, int, int]
    executable: str
    machine: str
    """The kernel's, as `uname -m` says it."""
    bits: int
    """Of a pointer: 32 or 64."""
    libc: tuple[str, str]
    """Name and version of the C library; empty where it is not glibc."""
    in_environment: bool
    """Whether it is one of a virtual environment."""
    is_managed: bool
    """Whether the system's package manager keeps it for itself (PEP 668)."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Version of each package of interest that is installed."""

    @property
    def wheel_machine(self) -> str:
        """The machine that packages must be built for; a 32-bit Python takes 32-bit ones on any kernel."""
        return python_architecture(self.machine, self.bits)

    @property
    def short_version(self) -> str:
        """Such as `3.11`."""
        return f"{self.version[0]}.{self.version[1]}"

    @classmethod
    def here(cls) -> PythonFacts:
        """The Python of this process."""
        in_environment = sys.prefix != sys.base_prefix
        return cls(
            version=sys.version_info[:3],
            executable=sys.executable or "python3",
            machine=platform.machine(),
            bits=8 * struct.calcsize("P"),
            libc=platform.libc_ver(),
            in_environment=in_environment,
            is_managed=not in_environment and _marker().exists(),
            packages={name: version for name in PACKAGES if (version := _version(name))},
        )


def _marker() -> Path:
    # https://packaging.python.org/en/latest/specifications/externally-managed-environments/
    return Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    # KeyError, OSError, UnicodeDecodeError: what an interrupted installation left
    except (importlib.metadata.PackageNotFoundError, KeyError, OSError, UnicodeDecodeError):
        return None
