"""Fixtures for every test. Only pytest and the device's packages may be needed here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """Keys and bundles that this machine may have installed are none of a test's business."""
    monkeypatch.setenv("EDGE_AD_STORE", str(tmp_path_factory.getbasetemp() / "no-store"))


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


@pytest.fixture(scope="session")
def normal_csv(tmp_path_factory, toy_bundle_path, toy_csv):
    """Ten minutes of normal operation of the toy's machine: rows of its golden windows, over and over."""
    from edge_ad.bundle.bundle import read

    bundle = read(toy_bundle_path)
    windows, layout = bundle.golden_windows(), bundle.manifest.input
    rows = [row for window in windows[:8] for row in window.tolist()] * 8
    header = toy_csv.read_text().splitlines()[0]
    columns = header.split(layout.separator)
    assert columns[0] == layout.time_column
    lines = [header]
    for second, row in enumerate(rows):
        values = dict(zip((channel.name for channel in bundle.manifest.channels), row, strict=True))
        stamp = f"2026-02-01 00:{second // 60:02d}:{second % 60:02d}"
        cells = [stamp, *(f"{values.get(column, 0):.7g}" for column in columns[1:])]
        lines.append(layout.separator.join(cells))
    path = tmp_path_factory.mktemp("normal") / "normal.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
