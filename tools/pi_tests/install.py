"""Makes a device's environment from the package index, and measures it.

pip stays outside of it: it runs from the wheel that Debian's python3-venv brings, as ensurepip does it. Nor
does it compile what may never be imported: Python does that with what is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pi_tests.disk import DebianSystem, tree, used
from pi_tests.environments import Environment
from pi_tests.place import Listener, Place

_LOCK = Path(__file__).parents[2] / "requirements" / "device.txt"


def install(environment: Environment, place: Place, wheel: Path, listen: Listener) -> Path:
    """Make the environment; its Python. Raises StepFailed."""
    folder = place.folder / "env"
    sight = ["--system-site-packages"] if environment.sees_system else []
    place.run([environment.python, "-m", "venv", "--without-pip", *sight, folder])
    python = folder / "bin" / "python"
    constraints = place.folder / "constraints.txt"
    constraints.write_text("".join(_constraints(environment)))
    place.run(
        [
            *_pip(environment, place, python),
            "install",
            "--no-compile",
            "--disable-pip-version-check",
            "--no-warn-script-location",
            "--root-user-action=ignore",
            "--progress-bar=off",
            "-c",
            constraints,
            f"{place.inside(wheel)}{environment.extra}",
            *environment.packages,
        ],
        listen=listen,
    )
    return python


def _pip(environment: Environment, place: Place, python: Path) -> list[object]:
    if environment.root is None:
        return [sys.executable, "-m", "pip", "--python", python]
    root = place.folder.parents[1]
    (wheel,) = (root / "usr/share/python-wheels").glob("pip-*.whl")
    return [python, wheel / "pip"]


def _constraints(environment: Environment) -> Iterator[str]:
    """The locked versions; without numpy's where another is asked for, or the system has its own."""
    own_numpy = environment.sees_system or any(name.startswith("numpy") for name in environment.packages)
    for line in _LOCK.read_text().splitlines(keepends=True):
        if not (own_numpy and re.match(r"numpy\b", line)):
            yield line


@dataclass(frozen=True)
class Size:
    """What an environment takes on disk, in bytes."""

    environment: int
    """Without pip; with the bytecode of what has been imported so far."""
    of_system: int
    """Packages of the system that it sees and needs: numpy, and what that needs alone."""
    system_packages: tuple[str, ...]

    @property
    def total_mb(self) -> float:
        """In 10^6 bytes."""
        return (self.environment + self.of_system) / 1e6

    def text(self) -> str:
        """For people."""
        if not self.system_packages:
            return f"{self.total_mb:.0f} MB"
        names = ", ".join(self.system_packages)
        return (
            f"{self.total_mb:.0f} MB: {self.environment / 1e6:.0f} MB, and {self.of_system / 1e6:.0f} MB of "
            f"Debian's {names}"
        )


def measure(environment: Environment, place: Place) -> Size:
    """How large the environment is by now."""
    own = used(tree(place.folder / "env"))
    if not environment.sees_system:
        return Size(own, 0, ())
    system = DebianSystem(place.folder.parents[1])
    packages = system.added_by("python3-numpy", beside=["python3-venv"])
    return Size(own, used(path for name in packages for path in system.files(name)), tuple(packages))
