"""Models changed by chance: each is stopped, or scores as it should, and nobody's process dies of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_ad import errors

ROOT = Path(__file__).resolve().parents[2]
COUNT = 240
REFUSALS = {"BundleModelStructureError", "BundleOperatorError", "BundleMismatchError"}
SCORED = {"same scores", "scores within tolerance", "golden scores differ", "interpreter refuses"}


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    path = tmp_path_factory.mktemp("mutations") / "figures.json"
    command = [sys.executable, ROOT / "tools" / "fuzz_models.py", "--count", str(COUNT), "--real", "8"]
    result = subprocess.run(
        [*command, "--json", path], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{COUNT} mutants" in result.stdout
    return json.loads(path.read_text())


def test_digests_refuse_every_mutant(figures):
    assert figures["stale_digests"] == {errors.BundleDigestError.__name__: COUNT}


def test_a_signature_refuses_every_mutant_whose_digests_were_made_right(figures):
    assert figures["stale_signature"] == {errors.BundleSignatureError.__name__: COUNT}


def test_without_a_signature_nothing_but_typed_errors(figures):
    outcomes = {row["outcome"] for row in figures["outcomes"]}
    assert sum(row["count"] for row in figures["outcomes"]) == COUNT
    assert all(
        outcome in REFUSALS | SCORED or outcome.startswith("interpreter died of") for outcome in outcomes
    )
    assert outcomes & REFUSALS
    assert "golden scores differ" in outcomes


def test_an_installer_comes_to_the_same_outcome(figures):
    assert figures["by_the_installer"]
    assert all(row["tried"] == row["agreeing"] for row in figures["by_the_installer"])


def fuzz(folder, *arguments):
    command = [sys.executable, ROOT / "tools" / "fuzz_bundle.py", "--folder", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_readers_raise_nothing_but_their_own_errors(tmp_path):
    arguments = ["--targets", "bundle,overlay", "--seconds", "2", "--json", tmp_path / "figures.json"]
    result = fuzz(tmp_path, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert all(row["inputs"] > 0 and row["findings"] == 0 for row in figures["targets"])


def test_a_target_that_is_none(tmp_path):
    result = fuzz(tmp_path, "--targets", "nope")
    assert result.returncode == 2
    assert "no target nope" in result.stderr
