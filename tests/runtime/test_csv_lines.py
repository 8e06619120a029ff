import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.errors import DataError
from edge_ad.runtime.sources.csv_lines import CsvLines

LAYOUT = CsvFormat(separator=";", time_column="t", time_format="seconds")
HEADER = "t;a;b;label\n"


def read(text, layout=LAYOUT, columns=("a", "b"), strict=True):
    return list(CsvLines(text.splitlines(keepends=True), layout, columns, name="x.csv", strict=strict))


def values(samples):
    return [(sample.time, *sample.values) for sample in samples]


@pytest.mark.parametrize(
    "text",
    [
        "t;a;b;label\n1;2;3;0\n2;4;5;1\n",
        "t;a;b;label\r\n1;2;3;0\r\n2;4;5;1\r\n",
        "\ufefft;a;b;label\n1;2;3;0\n2;4;5;1",
        "b;label;t;a\n3;0;1;2\n5;1;2;4\n",
        '"t";"a";"b";"label"\n"1";"2";"3";0\n2;4;5;1\n\n',
        " t ; a;b ;label\n1; 2;3 ;0\n 2;4;5;1\n",
    ],
)
def test_columns_by_name_in_any_order(text):
    assert values(read(text)) == [(1, 2, 3), (2, 4, 5)]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "x.csv is empty"),
        ("\n", "x.csv is empty"),
        ("t;a;label\n", "column 'b' is missing from line 1; it has: t, a, label"),
        ("t;a;bb;label\n", "column 'b' is missing from line 1"),
        ("time;a;b\n", "column 't' is missing"),
        ("t;a;b;a\n", "column 'a' stands twice"),
        ("t,a,b\n", "single column when split at ';'; is the separator ','?"),
    ],
)
def test_headers_that_do_not_fit(header, words):
    for strict in (True, False):
        with pytest.raises(DataError) as caught:
            read(header and header + "1;2;3\n", strict=strict)
        assert words in str(caught.value)
        assert caught.value.exit_code == 5


def test_a_close_name_is_suggested():
    with pytest.raises(DataError, match=r"'Pressure' is missing from line 1 \(is it 'Presure'\?\)"):
        read("t;Presure\n1;2\n", columns=["Pressure"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1;two;3;0\n", "line 2: 'two' in column 'a' is not a number"),
        ("1;2,5;3;0\n", "is the decimal sign a comma?"),
        ("1;2;3\n", "line 2: 3 cells where the header has 4"),
        ("1;2", "2 cells where the header has 4; the file seems cut off here"),
        ("1;2;3;0;9\n", "5 cells where the header has 4"),
        ("noon;2;3;0\n", "line 2: 'noon' is not a time stamp"),
        (";2;3;0\n", "line 2: '' is not a time stamp"),
        ("1;\x00;3;0\n", "is not a number"),
        ('1;"2;3;0\n', "line 2"),
    ],
)
def test_lines_that_cannot_be_used(line, words):
    with pytest.raises(DataError) as caught:
        read(HEADER + line)
    assert words in str(caught.value)
    (sample, good) = read(HEADER + line.rstrip("\n") + "\n5;6;7;0\n", strict=False)
    assert sample.problem
    assert (good.time, *good.values, good.problem) == (5, 6, 7, None)


def test_empty_cells_and_non_numbers_are_missing_values():
    samples = read(HEADER + "1;;3;0\n2;nan;3;0\n3;inf;-inf;0\n4;NaN; ;0\n")
    assert all(sample.problem is None for sample in samples)
    assert [[math.isfinite(v) for v in sample.values] for sample in samples] == [
        [False, True],
        [False, True],
        [False, False],
        [False, False],
    ]


@pytest.mark.parametrize(
    ("layout", "stamp", "seconds"),
    [
        (CsvFormat(";", "t"), "1970-01-01 00:01:00", 60),
        (CsvFormat(";", "t"), "1970-01-01T00:01:00Z", 60),
        (CsvFormat(";", "t"), "1970-01-01T01:01:00+01:00", 60),
        (CsvFormat(";", "t"), "1970-01-01 00:00:00.250", 0.25),
        (CsvFormat(";", "t", "%d.%m.%Y %H:%M:%S"), "02.01.1970 00:00:00", 86400),
        (CsvFormat(";", "t", "seconds"), "17.5", 17.5),
    ],
)
def test_time_formats(layout, stamp, seconds):
    (sample,) = read(f"t;a\n{stamp};1\n", layout, ["a"])
    assert sample.time == seconds
    assert sample.stamp == stamp


def test_decimal_comma():
    layout = CsvFormat(";", "t", "seconds", ",")
    assert values(read("t;a;b\n1;2,5;-3,25\n", layout)) == [(1, 2.5, -3.25)]


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(HEADER.encode() + b"1;2;3;0\n2;2;\xb0;0\n")
    with path.open(encoding="utf-8") as file, pytest.raises(DataError, match=r"not UTF-8 text \(byte 0xb0\)"):
        list(CsvLines(file, LAYOUT, ["a", "b"], name="latin.csv", strict=True))


@given(st.text(alphabet='0123456789.;,"\n\r\t -+einfNaT\x00é', max_size=200))
def test_any_text_is_read_or_refused(body):
    with contextlib.suppress(DataError):
        read(HEADER + body)
    for sample in read(HEADER + body, strict=False):
        assert sample.problem is not None or len(sample.values) == 2


@pytest.mark.parametrize(
    "line", ["x" * 10**6, "1" * 10**6 + ",1,2", "2026-01-01 00:00:00," + "y" * 10**6 + ",2"]
)
def test_no_more_of_a_garbled_cell_is_passed_on_than_a_person_can_read(line):
    (sample,) = CsvLines(["time,a,b\n", line + "\n"], CsvFormat(), ["a", "b"], name="x", strict=False)
    assert sample.problem
    assert len(sample.problem) < 200
    assert len(sample.stamp) <= 101
