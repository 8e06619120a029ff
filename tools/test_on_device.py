"""The device tests in environments that hold only what a device installs.

Builds our wheel, makes a clean environment per interpreter package and one without any, installs the wheel
there the way a device does, and runs tests/device inside, away from this checkout.

Usage: test_on_device.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = "pytest>=9"  # the one thing beside the device's own packages


@dataclass(frozen=True)
class Environment:
    """A device's Python environment."""

    name: str
    python: str | None
    """Interpreter to build it with; None where this machine has none."""
    extra: str
    packages: tuple[str, ...]


def environments() -> list[Environment]:
    """One environment per TFLite interpreter package that a device may have, and one for those with none."""
    return [
        Environment("ai-edge-litert", sys.executable, "[device,signing]", ()),
        # What a 32-bit Raspberry Pi OS bookworm takes; these wheels end with Python 3.11. Without the
        # library for signatures, to see that it is not needed before a key is trusted.
        Environment("tflite-runtime", _python311(), "", ("tflite-runtime==2.14.0", "numpy<2")),
        # armv6, for which nobody makes an interpreter: click, and numpy as Debian bookworm has it.
        Environment("numpy", _python311(), "", ("numpy==1.24.*",)),
    ]


def _python311() -> str | None:
    for candidate in (sys.executable, shutil.which("python3.11")):
        if candidate is None:
            continue
        code = "import sys; sys.exit(sys.version_info[:2] != (3, 11))"
        if subprocess.run([candidate, "-c", code], check=False).returncode == 0:
            return candidate
    return None


def main() -> int:
    """Run everything; the exit code of the first failing step."""
    with tempfile.TemporaryDirectory(prefix="edge-ad-device-") as folder:
        work = Path(folder)
        _say("building the wheel")
        _run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", work, ROOT],
        )
        wheel = next(work.glob("edge_ad-*.whl"))
        _say(f"{wheel.name}: {wheel.stat().st_size / 1000:.0f} KB")
        for environment in environments():
            if environment.python is None:
                _say(f"SKIPPED {environment.name}: it needs Python 3.11, which this machine does not have")
                continue
            _test(environment, wheel, work / environment.name)
    return 0


def _test(environment: Environment, wheel: Path, folder: Path) -> None:
    _say(f"{environment.name}: installing")
    python = folder / "venv" / "bin" / "python"
    _run([environment.python, "-m", "venv", folder / "venv"])
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["-c", ROOT / "requirements" / "device.txt"] if environment.extra else []
    _run([*pip, *constraints, f"{wheel}{environment.extra}", *environment.packages])
    size = sum(file.stat().st_size for file in (folder / "venv").rglob("*") if file.is_file())
    _say(f"{environment.name}: {size / 1e6:.0f} MB installed, pip included")
    _run([*pip, PYTEST])
    tests = folder / "tests"
    tests.mkdir()
    for name in ("__init__.py", "conftest.py", "forge.py", "data", "device"):
        source = ROOT / "tests" / name
        if source.is_dir():
            shutil.copytree(source, tests / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tests / name)
    _say(f"{environment.name}: testing")
    _run([python, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "tests/device"], cwd=folder)


def _say(text: str) -> None:
    print(f"== {text}", flush=True)


def _run(command: list[str | Path | None], cwd: Path | None = None) -> None:
    code = subprocess.run([str(word) for word in command], cwd=cwd, check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
