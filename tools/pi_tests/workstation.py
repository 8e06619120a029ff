"""Bundles of the SKAB recordings, built here, and what this machine decides with them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from pi_tests.place import Listener, Place, StepFailed

_ROOT = Path(__file__).parents[2]
_TOYS = ("toy", "toy-fast")
DECIDE = Path(__file__).with_name("decide.py")
_PRECISIONS = "float32,int8,int8-full"


def recordings() -> Path | None:
    """The folder of SKAB recordings, or None where it is not there. Raises StepFailed for that in CI."""
    folder = Path(os.environ.get("EDGE_AD_TEST_DATA", _ROOT.parent / "shared" / "data")) / "skab"
    if folder.is_dir():
        return folder
    if os.environ.get("CI"):
        raise StepFailed("the SKAB recordings are missing (EDGE_AD_TEST_DATA): CI must not skip them")
    return None


def prepare_pairs(skab: Path | None, place: Place, listen: Listener) -> Path:
    """A folder of bundles, each with its recording: the toys of tests/data and the tiny models of SKAB."""
    pairs = place.folder / "pairs"
    shutil.rmtree(pairs, ignore_errors=True)
    pairs.mkdir()
    data = _ROOT / "tests" / "data"
    for name in _TOYS:
        shutil.copy(data / f"{name}.edgead", pairs)
        shutil.copy(data / "toy.csv", pairs / f"{name}.csv")
    if skab is None:
        return pairs

    def progress(line: str) -> None:
        found = re.match(r"(train|convert|evaluate|gate|pack)\b.*", line)
        if found:
            listen(f"bundles of SKAB: {found[0]}")

    build = place.folder / "skab"
    place.run(
        [
            *(sys.executable, "-m", "edge_ad", "build", "--preset", "skab", "--models", "tiny"),
            *("--precisions", _PRECISIONS, skab, "-o", build),
        ],
        listen=progress,
    )
    for bundle in (build / "bundles").glob("*.edgead"):
        shutil.copy(bundle, pairs)
        group, _, number = bundle.stem.partition("-")
        shutil.copy(skab / group / f"{number}.csv", pairs / f"{bundle.stem}.csv")
    return pairs


def decide(place: Place, python: Path, pairs: Path, variants: tuple[str, ...], listen: Listener) -> Path:
    """What an environment makes of the pairs; the file with its answers."""
    program, folder = place.folder / "decide.py", place.folder / "pairs"
    if folder != pairs:
        shutil.copytree(pairs, folder)
    shutil.copy(DECIDE, program)
    answers = place.folder / "answers.npz"

    def progress(line: str) -> None:
        found = re.match(r"\d+/\d+ .*", line)
        if found:
            listen(f"decisions, {found[0]}")

    place.run([python, program, folder, answers, *variants], listen=progress)
    return answers
