"""Runs tests/device in an environment, away from this checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from pi_tests.place import Listener, Place

_TESTS = Path(__file__).parents[2] / "tests"
_NEEDED = ("__init__.py", "conftest.py", "forge.py", "data", "device")
_PYTEST = "pytest>=9"
_OUTCOME = re.compile(r" (PASSED|FAILED|SKIPPED|ERROR) +\[ *(\d+%)\]")


@dataclass(frozen=True)
class Counts:
    """How the tests ended; none failed."""

    passed: int
    skipped: int


def fetch_pytest(folder: Path) -> None:
    """pytest, which is Python alone, into a folder of which every environment gets a copy beside its own."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--root-user-action=ignore", "--target", folder, _PYTEST], check=True)


def run_device_tests(place: Place, python: Path, pytest: Path, listen: Listener) -> Counts:
    """Run the tests; StepFailed, with what they said, where one fails."""
    tests = place.folder / "tests"
    tests.mkdir()
    for name in _NEEDED:
        source = _TESTS / name
        if source.is_dir():
            shutil.copytree(source, tests / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tests / name)
    library = place.folder / "pytest"
    shutil.copytree(pytest, library, ignore=shutil.ignore_patterns("__pycache__"))
    report = place.folder / "report.xml"

    def progress(line: str) -> None:
        found = _OUTCOME.search(line)
        if found:
            listen(f"device tests, {found[2]}")

    place.run(
        [
            python,
            "-m",
            "pytest",
            "-v",
            "-ra",
            "--durations=12",
            "-p",
            "no:cacheprovider",
            f"--junitxml={place.inside(report)}",
            tests,
        ],
        env={"PYTHONPATH": place.inside(library)} | ({"EDGE_AD_EMULATED": "1"} if place.emulated else {}),
        listen=progress,
    )
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    total, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    return Counts(total - skipped, skipped)
