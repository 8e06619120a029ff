import math

import numpy as np
import pytest

from edge_ad.bundle.manifest import Channel, CsvFormat
from edge_ad.errors import DataError
from edge_ad.toolchain.datasets.formats import RecordingFormat, TrainSpan
from edge_ad.toolchain.datasets.recording import read_recording

FORMAT = RecordingFormat(
    channels=(Channel("flow", "L/min"), Channel("pressure", "bar")),
    train=TrainSpan(rows=2),
    input=CsvFormat(separator=";"),
    label_column="anomaly",
)

GOOD = """time;flow;pressure;anomaly
2026-01-01 00:00:00;1.5;-2;0
2026-01-01 00:00:01;1e3;0.25;0.0
2026-01-01 00:00:03;3;;1
2026-01-01 00:00:04;4;5;1.0
"""


def read(tmp_path, text, recording_format=FORMAT):
    path = tmp_path / "pump.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_recording(path, recording_format, "pump")


def test_a_recording(tmp_path):
    recording = read(tmp_path, GOOD)
    assert len(recording) == 4
    assert recording.times.tolist() == [1767225600.0, 1767225601.0, 1767225603.0, 1767225604.0]
    assert recording.samples.dtype == np.float64
    assert recording.samples[:2].tolist() == [[1.5, -2.0], [1000.0, 0.25]]
    assert math.isnan(recording.samples[2, 1])
    assert recording.labels.tolist() == [False, False, True, True]
    assert recording.train_rows == 2
    assert [channel.unit for channel in recording.channels] == ["L/min", "bar"]


def test_reordered_and_extra_columns_change_nothing(tmp_path):
    rows = [line.split(";") for line in GOOD.splitlines()]
    shuffled = "\n".join(";".join([row[3], row[2], "extra", row[0], row[1]]) for row in rows) + "\n"
    ours, theirs = read(tmp_path, shuffled), read(tmp_path, GOOD)
    np.testing.assert_array_equal(ours.samples, theirs.samples)
    np.testing.assert_array_equal(ours.times, theirs.times)
    np.testing.assert_array_equal(ours.labels, theirs.labels)


@pytest.mark.parametrize("text", [GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD + "\n\n"])
def test_harmless_ways_to_write_the_same(tmp_path, text):
    np.testing.assert_array_equal(read(tmp_path, text).samples, read(tmp_path, GOOD).samples)


def test_a_recording_that_nobody_labelled(tmp_path):
    text = "\n".join(line.rpartition(";")[0] for line in GOOD.splitlines()) + "\n"
    recording = read(tmp_path, text)
    assert recording.labels is None
    assert recording.samples.shape == (4, 2)


def test_a_train_span_up_to_a_time(tmp_path):
    span = TrainSpan(until="2026-01-01 00:00:03")
    recording_format = RecordingFormat(FORMAT.channels, span, FORMAT.input, "anomaly")
    assert read(tmp_path, GOOD, recording_format).train_rows == 3
    with pytest.raises(DataError, match="no row has the time stamp '2026-01-01 00:00:03'"):
        read(tmp_path, GOOD.replace("00:00:03", "00:00:02"), recording_format)


def test_infinite_values_are_kept_for_the_preparation_to_see(tmp_path):
    recording = read(tmp_path, GOOD.replace("1e3", "inf"))
    assert recording.samples[1, 0] == math.inf


BAD = {
    "empty file": ("", "pump.csv is empty"),
    "blank first line": ("\n" + GOOD, "pump.csv is empty"),
    "header only": (GOOD.splitlines()[0] + "\n", "has column names but no rows"),
    "missing column": (GOOD.replace("pressure", "level"), "column 'pressure' is missing from line 1"),
    "renamed column": (GOOD.replace("pressure", "Pressure"), r"\(is it 'Pressure'\?\)"),
    "column twice": (GOOD.replace("anomaly", "flow"), "column 'flow' stands twice in line 1"),
    "wrong separator": (GOOD.replace(";", ","), "is the separator ','"),
    "text in a number column": (
        GOOD.replace("1e3", "n/a"),
        "line 3: 'n/a' in column 'flow' is not a number",
    ),
    "decimal comma": (GOOD.replace("1.5", "1,5"), "line 2: '1,5' in column 'flow'.*decimal sign a comma"),
    "label that is no label": (
        GOOD.replace("4;5;1.0", "4;5;2"),
        "line 5: label 'anomaly' is 2.0, not 0 or 1",
    ),
    "empty label": (GOOD.replace("4;5;1.0", "4;5;"), "line 5: label 'anomaly' is nan, not 0 or 1"),
    "time stamp that is none": (GOOD.replace("2026-01-01 00:00:03", "soon"), "line 4: 'soon' is not a time"),
    "time repeats": (GOOD.replace("00:00:03", "00:00:01"), "line 4: time .* repeats"),
    "time runs backwards": (GOOD.replace("00:00:03", "00:00:00"), "line 4: time .* is not later than"),
    "cut mid-line": (GOOD[:-7], r"line 5: 2 cells where the header has 4; the file seems cut off here"),
    "too many cells": (GOOD.replace(";1.0", ";1.0;9"), "line 5: 5 cells where the header has 4$"),
    "not UTF-8": (GOOD.encode().replace(b"1e3", b"1\xe93"), r"not UTF-8 text \(byte 0xe9\)"),
    "UTF-16": (GOOD.encode("utf-16"), "not UTF-8 text"),
    "fewer rows than the train span": (
        "\n".join(GOOD.splitlines()[:2]) + "\n",
        "has 1 rows, fewer than the train span of 2",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_trained_on(tmp_path, name):
    text, words = BAD[name]
    with pytest.raises(DataError, match=words):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot read .*: No such file"):
        read_recording(tmp_path / "none.csv", FORMAT, "none")
    with pytest.raises(DataError, match="cannot read .*: Is a directory"):
        read_recording(tmp_path, FORMAT, "none")
