import math
import time
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.codec import DecodeError, decode
from edge_ad.bundle.manifest import CsvFormat
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sources.decoder import FormatOptions, open_decoder
from edge_ad.runtime.sources.source import Line
from tests.runtime.sources.reading import Told

LAYOUT = CsvFormat(separator=";", time_column="t", time_format="seconds")


def opened(told=None, header=None, layout=LAYOUT, channels=("a", "b"), **options):
    note = pytest.fail if told is None else told.note
    return open_decoder(FormatOptions(**options), layout, channels, note, header)


def first(text, number=1):
    return Line(text, number, None, True)


def decoded(decoder, *texts):
    """What becomes of lines, the first one being the first of a file: values, or a problem."""
    samples = [decoder.decode(Line(text, n, 5.0, n == 1)) for n, text in enumerate(texts, 1)]
    return [s and (s.problem or (s.time, *s.values)) for s in samples]


def test_rows_below_a_header():
    decoder = opened()
    assert decoded(decoder, "\ufeffb; t ;x;a", "1;2;3;4", "", "  ", "5;6;x;7") == [
        None,
        (2, 4, 1),
        None,
        None,
        (6, 7, 5),
    ]
    assert decoder.header == "b; t ;x;a"
    sample = decoder.decode(Line("1;2.50;3;4", 17, 8.5))
    assert (sample.stamp, sample.line, sample.arrived) == ("2.50", 17, 8.5)


def test_a_decoder_goes_on_with_the_header_of_another():
    one = opened()
    decoded(one, "b;t;a")
    other = opened(header=one.header)
    assert other.decode(Line("1;2;3", 9)).values == [3, 1]
    assert other.header == one.header


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1;2", "2 cells where the header has 3"),
        ("1;2;3;4", "4 cells where the header has 3"),
        ("1;x;3", "'x' in column 'a' is not a number"),
        ("noon;2;3", "'noon' is not a time stamp"),
        ("nan;2;3", "'nan' is not a time stamp"),
        ("inf;2;3", "'inf' is not a time stamp"),
        (";2;3", "'' is not a time stamp"),
        (";;", "'' is not a time stamp"),
        ('1;"2;3', "1 cells where the header has 3"),
        ("1;\x00;3", "'\\x00' in column 'a' is not a number"),
        ("1;1_0;3", "'1_0' in column 'a' is not a number"),
    ],
)
def test_rows_that_cannot_be_read(line, problem):
    assert decoded(opened(), "t;a;b", line, "7;8;9") == [None, problem, (7, 8, 9)]


def test_a_line_with_a_problem_is_a_sample_with_it():
    decoder = opened(header="t;a;b")
    sample = decoder.decode(Line("1;2;3", 4, 5.0, True, "cut off: so it is"))
    assert (sample.problem, sample.line, sample.arrived, sample.values) == ("cut off: so it is", 4, 5.0, ())
    assert math.isnan(sample.time)
    assert decoder.decode(Line("1;2;3", 5)).problem is None


# --- headers that come, change and are damaged ------------------------------------------------------


def test_a_header_lacks_a_column_until_a_good_one_comes():
    told = Told()
    decoder = opened(told)
    problem = "column 'b' is missing from the header; it has: t, a, c"
    assert decoded(decoder, "t;a;c", "1;2;3", "4;5;6") == [problem] * 3
    assert told.kinds == ["missing-column"]
    assert decoder.header == "t;a;c"  # for a decoder that wants other columns
    assert decoded(decoder, "t;a;b", "1;2;3") == [None, (1, 2, 3)]


def test_no_header_until_one_comes_anywhere():
    told = Told()
    decoder = opened(told)
    assert decoded(decoder, "1;2;3", "4;5;6", "t;a;b", "7;8;9") == [
        "no line of column names came yet",
        "no line of column names came yet",
        None,
        (7, 8, 9),
    ]
    assert told.kinds == ["no-header"]
    assert "columns = " in told.notes[0][1]


def test_an_empty_line_before_the_header():
    assert decoded(opened(), "", "t;a;b", "1;2;3") == [None, None, (1, 2, 3)]


def test_a_device_that_starts_anew_repeats_or_changes_its_header():
    decoder = opened()
    assert decoded(decoder, "t;a;b", "1;2;3", "t;a;b", "b;a;t;x", "3;2;1;0") == [
        None,
        (1, 2, 3),
        None,
        None,
        (1, 2, 3),
    ]
    assert decoder.header == "b;a;t;x"


def test_a_file_that_was_emptied_may_go_on_with_rows():
    decoder = opened(header="t;a;b")
    assert decoded(decoder, "1;2;3", "4;5;6") == [(1, 2, 3), (4, 5, 6)]


@pytest.mark.parametrize("torn", ["2;3", "0.5;x;1", "\x00\x00", "\ufffd\ufffd;\ufffd", "5;6;7;8;9"])
def test_a_first_line_that_is_damaged_does_not_cost_the_header(torn):
    decoder = opened(header="t;a;b")
    got = decoded(decoder, torn, "4;5;6")
    assert isinstance(got[0], str)
    assert got[1] == (4, 5, 6)
    assert decoder.header == "t;a;b"


@pytest.mark.parametrize("other", ["t;a;c", "zeit;druck;menge", "x;b", "t;a;b;b"])
def test_other_column_names_end_what_was_known(other):
    told = Told()
    decoder = opened(told, header="t;a;b")
    got = decoded(decoder, other, "4;5;6")
    assert all(isinstance(problem, str) and "column" in problem for problem in got)
    assert (told.kinds, decoder.header) == (["missing-column"], other)
    # each connection that begins so is told of
    decoded(decoder, other)
    assert told.kinds == ["missing-column"] * 2


def test_a_header_that_is_given_again_is_no_row():
    decoder = opened(header="t;b;a")
    assert decoder.decode(first("t;a;b", 0)) is None
    assert decoder.header == "t;b;a"  # the newer one stays
    assert decoder.decode(first("1;2;3", 0)) is None
    fresh = opened()
    assert fresh.decode(first("1;2;3", 0)) is None
    assert fresh.decode(first("t;a;b", 0)) is None
    assert fresh.decode(Line("1;2;3", 7)).values == [2, 3]


def test_what_others_wrote_is_made_printable_for_the_log():
    told = Told()
    decoded(opened(told), "t;a;\x1b[2J" + "x" * 1000)
    assert told.notes[0][1].isprintable()
    assert len(told.notes[0][1]) < 500


@pytest.mark.parametrize("is_known", [True, False])
def test_a_header_of_before_that_lacks_what_is_wanted_now(is_known):
    """As after an update of the bundle, in the middle of a stream."""
    told = Told()
    decoder = opened(told, header="t;a;c" if is_known else None)
    if not is_known:
        assert decoder.decode(first("t;a;c", 0)) is None
    problem = "column 'b' is missing from the header; it has: t, a, c"
    assert decoder.decode(Line("1;2;3", 7)).problem == problem
    assert told.kinds == ["missing-column"]


# --- without a header ---------------------------------------------------------------------------------


def test_named_columns():
    decoder = opened(columns=("x", "b", "t", "a"))
    assert decoded(decoder, "0;1;2;3", "0;1;2") == [(2, 3, 1), "3 cells where the header has 4"]
    assert decoder.header is None
    # a device that does write them
    assert decoded(decoder, "x;b;t;a", "0;1;2;3", "x; b;t;a") == [None, (2, 3, 1), None]
    # other names stay unread rows
    assert decoded(decoder, "t;a;b;x", "0;1;2;3")[1] == (2, 3, 1)


def test_named_columns_that_lack_a_channel():
    with pytest.raises(ConfigurationError, match="column 'b' is missing from the configured columns"):
        opened(columns=("t", "a"))


def test_time_of_arrival():
    decoder = opened(columns=("a", "b"), time="arrival")
    before, came = time.time(), time.monotonic()
    samples = [decoder.decode(Line("1;2", n, came - 5)) for n in range(1000)]
    times = [sample.time for sample in samples]
    assert before - 5.1 < times[0] < time.time() - 4.9
    assert all(a < b for a, b in pairwise(times))
    assert times[-1] - times[0] < 1
    assert samples[0].values == [1, 2]
    stamp = datetime.fromisoformat(samples[0].stamp)
    assert abs(stamp.timestamp() - times[0]) <= 0.001
    assert samples[0].stamp.endswith("Z")
    unreadable = decoder.decode(Line("x", 1))
    assert unreadable.problem
    assert abs(unreadable.time - time.time()) < 60


def test_arrival_does_without_a_time_column():
    decoder = opened(time="arrival")
    assert decoded(decoder, "a;b")[0] is None
    assert decoder.decode(Line("1;2", 2)).values == [1, 2]
    assert decoder.decode(Line("", 3)) is None
    assert decoder.decode(Line(";2", 3)).problem is None  # a missing value


# --- the table ------------------------------------------------------------------------------------------


def test_what_is_left_out_is_the_bundles():
    options = FormatOptions(time_column="when", decimal=",")
    layout = options.layout(CsvFormat("\t", "t", "seconds"))
    assert layout == CsvFormat("\t", "when", "seconds", ",")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "xml"}, "kind is 'xml'; it can be 'csv', 'ndjson'"),
        ({"kind": "ndjson", "columns": ["a"]}, "columns is for csv"),
        ({"kind": "ndjson", "separator": ";"}, "separator is for csv"),
        ({"columns": ["a", "a"]}, "columns names 'a' twice"),
        ({"separator": ";;"}, "separator must be one character"),
        ({"time_format": "%Q"}, "is not iso, seconds or a strptime pattern"),
        ({"time": "arrival", "time_column": "t"}, "goes without time_column"),
        ({"time": "never"}, "time is 'never'"),
        ({"colums": []}, "unknown key colums"),
    ],
)
def test_tables_that_make_no_sense(table, words):
    with pytest.raises(DecodeError) as caught:
        decode(FormatOptions, table)
    assert words in str(caught.value)


def test_a_separator_that_does_not_go_with_the_bundle():
    with pytest.raises(ConfigurationError, match="separator and decimal are both ','"):
        opened(separator=",", layout=CsvFormat(";", "t", "iso", ","))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["t;a;b", "b;t;a;x", "t;a", "1;2;3", "1;2;3;4", ""])
            | st.text(alphabet='ta;b"0123456789.eE+-_ \t\r\0\ufffdé', max_size=30),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_whatever_comes_is_a_sample_a_header_or_an_empty_line(lines):
    decoder = opened(Told())
    for number, (text, is_first) in enumerate(lines, 1):
        sample = decoder.decode(Line(text, number, None, is_first))
        if sample is None:
            assert not text.strip() or {cell.strip() for cell in text.strip('"').split(";")} >= {
                "t",
                "a",
                "b",
            }
        elif sample.problem is None:
            assert len(sample.values) == 2
            assert math.isfinite(sample.time)
