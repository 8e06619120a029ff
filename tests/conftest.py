"""Fixtures for every test. Only pytest and the device's packages may be needed here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def toy_bundle_path() -> Path:
    """A bundle of the tiny model, trained on a simulated pump (see tools/make_toy_bundle.py)."""
    return DATA / "toy.edgead"


@pytest.fixture(scope="session")
def toy_csv() -> Path:
    """A recording for it: normal, a gap, an empty cell, a fault."""
    return DATA / "toy.csv"


@pytest.fixture(scope="session")
def toy_decisions() -> list[str]:
    """What a workstation decided on it, a line of JSON each."""
    return (DATA / "toy_decisions.ndjson").read_text().splitlines()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings, which no checkout contains."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EDGE_AD_TEST_DATA", default))
    if not (folder / "skab").is_dir():
        reason = "needs the SKAB recordings; name their folder in EDGE_AD_TEST_DATA"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}: CI must not skip this")
        pytest.skip(reason)
    return folder
