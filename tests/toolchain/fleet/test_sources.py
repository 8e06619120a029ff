"""Recordings by URL: what is found, what has changed, what cannot be read."""

import subprocess
import sys

import pytest

from edge_ad.errors import ConfigurationError, DataError
from edge_ad.toolchain.datasets.formats import PUMP
from edge_ad.toolchain.datasets.pump import standard_run
from edge_ad.toolchain.datasets.simulated import pump_csv, pump_parquet
from edge_ad.toolchain.fleet.plan import FleetPlan
from edge_ad.toolchain.fleet.sources import Source, find_sources
from edge_ad.toolchain.fleet.work import FleetTask, build_assets
from edge_ad.toolchain.settings import BuildSettings, TrainingSettings
from tests.helpers import pump_recording

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_a_folder_and_its_url_have_the_same_assets(tmp_path):
    pump_recording(tmp_path / "hall 1" / "a.csv", 1, 300)
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    (tmp_path / "notes.txt").write_text("no recording")
    here, there = find_sources(str(tmp_path)), find_sources(f"file://{tmp_path}")
    assert sorted(s.asset for s in here) == sorted(s.asset for s in there) == ["b", "hall_1-a"]
    for source in there:
        assert (
            source.fetch(tmp_path / "hall 1").read_bytes()
            == next(s for s in here if s.asset == source.asset).fetch(tmp_path).read_bytes()
        )


def test_a_changed_recording_has_another_stamp(tmp_path):
    path = pump_recording(tmp_path / "a.csv", 1, 300)
    for dataset in (str(tmp_path), f"file://{tmp_path}"):
        [before] = find_sources(dataset)
        assert find_sources(dataset) == [before]
        path.write_text(path.read_text().replace("0", "1", 1))
        [after] = find_sources(dataset)
        assert after.stamp != before.stamp


def test_assets_are_built_from_an_object_store(store, tmp_path):
    run = standard_run(0)
    store.pipe("/plant/north/a.parquet", pump_parquet(run))
    store.pipe("/plant/b.csv", pump_csv(run).encode())
    store.pipe("/plant/readme.md", b"")
    sources = find_sources("memory://plant")
    assert [s.asset for s in sources] == ["b", "north-a"]
    settings = BuildSettings(models=("tiny",), training=TrainingSettings(epochs=1))
    plan = FleetPlan("memory://plant", PUMP, settings, "pump")
    gone = Source("gone", "memory://plant/gone.csv", "1")
    results = build_assets(FleetTask(plan, (*sources, gone)))
    assert [r.record.state in ("built", "gate-failed") for r in results] == [True, True, False]
    assert results[0].record.data_digest != results[1].record.data_digest
    assert "cannot read memory://plant/gone.csv" in results[2].record.error


@pytest.mark.parametrize(
    ("dataset", "error", "words"),
    [
        ("memory://empty", DataError, "memory://empty"),
        ("gopher://plant", ConfigurationError, "gopher"),
    ],
)
def test_data_sets_that_are_none(store, dataset, error, words):
    with pytest.raises(error, match=words):
        find_sources(dataset)


@pytest.mark.parametrize(
    ("missing", "dataset", "words"),
    [
        ("s3fs", "s3://plant/2026", "s3://plant/2026: object stores need: pip install 'edge-ad[s3]'"),
        ("fsspec", "s3://plant/2026", "s3://plant/2026: URLs need: pip install 'edge-ad[s3]'"),
        ("fsspec", "file:///plant", "file:///plant: URLs need: pip install 'edge-ad[distributed]'"),
        ("gcsfs", "gcs://plant", "gcs://plant: "),
    ],
)
def test_a_library_that_is_missing_is_named(tmp_path, missing, dataset, words):
    """In a process in which it cannot be imported, whether it is installed or not."""
    code = f"import sys; sys.modules[{missing!r}] = None; from edge_ad.cli import main; main()"
    command = [sys.executable, "-c", code, "fleet", "build", dataset, "-o", tmp_path / "fleet"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"edge-ad: {words}")
    assert missing in done.stderr or "pip install" in done.stderr
    assert not (tmp_path / "fleet").exists()
