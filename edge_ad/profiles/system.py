"""An operating system for a board, and how edge_ad gets its packages there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_ad.profiles.patterns import (
    CODE_NAME,
    MACHINE,
    NAME,
    PACKAGE,
    PACKAGE_VERSION,
    REQUIREMENT,
    VERSION,
)

Interpreter = Literal["ai-edge-litert", "tflite-runtime", "numpy"]

_32_BIT = ("armv7l", "armv6l", "i686")


@dataclass(frozen=True)
class System:
    """An operating system for the board, and how edge_ad gets its packages there."""

    os: str
    """Code name as VERSION_CODENAME in /etc/os-release has it, such as bookworm."""
    architecture: str
    """Machine that packages are built for: armv7l also for a 32-bit system on a 64-bit kernel."""
    python: str
    """The system's own, such as "3.11"."""
    glibc: str
    """Such as "2.36"."""
    interpreter: Interpreter
    """Package that runs models; numpy where there is none for it."""
    numpy: Literal["index", "debian"]
    """Where numpy comes from: the package index, or the package python3-numpy of the system."""
    route: str
    """How the packages get there, in words."""
    interpreter_version: str | None = None
    """Left out for numpy."""
    apt: tuple[str, ...] = ()
    """Packages of the system that are needed."""
    pip: tuple[str, ...] = ()
    """What pip has to be told besides the interpreter, such as numpy<2."""
    variant: str | None = None
    """Converted form to prefer here instead of the profile's."""

    def __post_init__(self) -> None:
        if not CODE_NAME.fullmatch(self.os):
            raise ValueError(f"os must be a code name such as bookworm, not {self.os!r}")
        if not MACHINE.fullmatch(self.architecture):
            raise ValueError(f"architecture must be a machine such as aarch64, not {self.architecture!r}")
        for key, value in (("python", self.python), ("glibc", self.glibc)):
            if not VERSION.fullmatch(value):
                raise ValueError(f'{key} must be two numbers such as "3.11", not {value!r}')
        if (self.interpreter == "numpy") != (self.interpreter_version is None):
            raise ValueError("interpreter_version belongs to every interpreter but numpy")
        if self.interpreter_version is not None and not PACKAGE_VERSION.fullmatch(self.interpreter_version):
            raise ValueError(
                f'interpreter_version must be a version such as "2.3.0", not {self.interpreter_version!r}'
            )
        for package in self.apt:
            if not PACKAGE.fullmatch(package):
                raise ValueError(f"apt: {package!r} is no name of a package")
        for requirement in self.pip:
            if not REQUIREMENT.fullmatch(requirement):
                raise ValueError(f"pip: {requirement!r} is no requirement such as numpy<2")
        if self.numpy == "debian" and "python3-numpy" not in self.apt:
            raise ValueError('numpy = "debian" needs "python3-numpy" in apt')
        if self.variant is not None and not NAME.fullmatch(self.variant):
            raise ValueError(f"variant must be a name such as tiny-float32, not {self.variant!r}")

    @property
    def label(self) -> str:
        """Such as `bookworm-aarch64`."""
        return f"{self.os}-{self.architecture}"

    @property
    def is_32_bit(self) -> bool:
        """Whether its programs are."""
        return self.architecture in _32_BIT

    @property
    def python_version(self) -> tuple[int, int]:
        """Such as `(3, 11)`."""
        return _pair(self.python)

    @property
    def glibc_version(self) -> tuple[int, int]:
        """Such as `(2, 36)`."""
        return _pair(self.glibc)

    @property
    def engine(self) -> str:
        """What runs models, as EDGE_AD_ENGINE names it."""
        return self.interpreter

    @property
    def sees_system_packages(self) -> bool:
        """Whether the virtual environment is made with --system-site-packages."""
        return self.numpy == "debian"

    @property
    def requirements(self) -> tuple[str, ...]:
        """What pip installs besides edge_ad's own dependencies."""
        if self.interpreter_version is None:
            return self.pip
        return (f"{self.interpreter}=={self.interpreter_version}", *self.pip)


def _pair(version: str) -> tuple[int, int]:
    first, _, second = version.partition(".")
    return int(first), int(second)
