"""Recordings in Parquet, beside the same in CSV."""

import dataclasses

import numpy as np
import pytest

from edge_ad.errors import ConfigurationError, DataError
from edge_ad.toolchain.datasets.choose import choose_format
from edge_ad.toolchain.datasets.discover import find_recordings
from edge_ad.toolchain.datasets.formats import PUMP, TrainSpan
from edge_ad.toolchain.datasets.pump import standard_run
from edge_ad.toolchain.datasets.recording import read_recording
from edge_ad.toolchain.datasets.simulated import pump_csv, pump_parquet
from tests.helpers import edge_ad

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, run = tmp_path_factory.mktemp("pump"), standard_run(0)
    (folder / "a.csv").write_text(pump_csv(run))
    (folder / "a.parquet").write_bytes(pump_parquet(run))
    return folder / "a.csv", folder / "a.parquet"


@pytest.mark.parametrize("span", [TrainSpan(rows=400), TrainSpan(until="2026-01-05 08:10:01")])
def test_a_recording_is_the_same_in_both(files, span):
    wanted = dataclasses.replace(PUMP, train=span)
    ours, theirs = (read_recording(path, wanted, "a") for path in reversed(files))
    np.testing.assert_array_equal(ours.times, theirs.times)
    np.testing.assert_array_equal(ours.samples, theirs.samples)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.in_train, theirs.in_train)
    assert ours.not_used == theirs.not_used
    assert ours.sha256 != theirs.sha256


def rewritten(files, path, change):
    parquet.write_table(change(parquet.read_table(files[1])), path)
    return path


@pytest.mark.parametrize(
    "times",
    [
        lambda t: t.cast(pyarrow.timestamp("us", "Europe/Berlin")),  # the same moments, shown elsewhere
        lambda t: t.cast(pyarrow.timestamp("ms")),
        lambda t: t.cast(pyarrow.string()),
        lambda t: t.cast(pyarrow.timestamp("s")).cast(pyarrow.int64()),
    ],
)
def test_times_of_every_kind(files, tmp_path, times):
    def change(table):
        return table.set_column(0, "datetime", times(table.column("datetime")))

    path = rewritten(files, tmp_path / "a.parquet", change)
    expected = read_recording(files[1], PUMP, "a").times
    np.testing.assert_array_equal(read_recording(path, PUMP, "a").times, expected)


def test_a_missing_value_is_nan(files, tmp_path):
    def change(table):
        at = table.column_names.index("Current")
        values = table.column("Current").to_pylist()
        return table.set_column(at, "Current", pyarrow.array([*values[:-1], None]))

    samples = read_recording(rewritten(files, tmp_path / "a.parquet", change), PUMP, "a").samples
    assert np.argwhere(np.isnan(samples)).tolist() == [[len(samples) - 1, 2]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns("Current"), "column 'Current' is missing from the file; it has: datetime,"),
        (lambda t: t.append_column("Current", t.column("Current")), "stands twice in the file"),
        (lambda t: t.take(list(range(len(t)))[::-1]), "is not later than"),
        (
            lambda t: t.set_column(
                t.column_names.index("Current"), "Current", pyarrow.array(["high"] * len(t))
            ),
            "column 'Current' holds string, no numbers",
        ),
        (
            lambda t: t.set_column(0, "datetime", pyarrow.array(["noon"] * len(t))),
            "row 1: time 'noon' is none",
        ),
    ],
)
def test_files_that_cannot_be_used(files, tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        read_recording(rewritten(files, tmp_path / "a.parquet", change), PUMP, "a")


def test_a_file_that_is_no_parquet_or_cut_off(files, tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(files[1].read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot read .* as Parquet"):
        read_recording(path, PUMP, "a")
    with pytest.raises(DataError, match="as Parquet"):
        read_recording(tmp_path / "none.parquet", PUMP, "none")


def test_a_preset_is_recognized_by_the_columns(files, tmp_path):
    assert choose_format(files[1], None, None) == (PUMP, "pump")
    path = rewritten(files, tmp_path / "a.parquet", lambda t: t.drop_columns("Pressure"))
    with pytest.raises((DataError, ConfigurationError), match="--format"):
        choose_format(path, None, None)


def test_the_simulator_writes_machines_as_parquet(tmp_path):
    result = edge_ad("data", "pump", "-o", tmp_path, "--machines", 2, "--parquet")
    assert result.returncode == 0, result.stderr
    assert list(find_recordings(tmp_path)) == ["pump-0", "pump-1"]
    assert result.stdout.splitlines() == [str(tmp_path / f"pump-{i}.parquet") for i in range(2)]
