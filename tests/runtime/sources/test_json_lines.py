import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.manifest import CsvFormat
from edge_ad.runtime.sources.decoder import FormatOptions, open_decoder
from edge_ad.runtime.sources.source import Line

A_NUMBER = "seconds since the epoch are expected, as a number"
SECONDS = CsvFormat(time_column="t", time_format="seconds", separator=";", decimal=",")


def opened(layout=SECONDS, **options):
    return open_decoder(FormatOptions("ndjson", **options), layout, ["a", "b"], pytest.fail)


def decoded(text, layout=SECONDS):
    return opened(layout).decode(Line(text, 3, 4.0))


def test_a_good_line():
    sample = decoded(' {"b": 2, "t": 17.25, "x": {"t": [1]}, "a": -1.5e3}\r')
    assert (sample.time, sample.values, sample.stamp) == (17.25, [-1500, 2], "17.25")
    assert (sample.line, sample.problem, sample.arrived) == (3, None, 4.0)
    assert all(type(value) is float for value in sample.values)


def test_null_is_a_missing_value():
    sample = decoded('{"t": 1, "a": null, "b": 2}')
    assert sample.problem is None
    assert math.isnan(sample.values[0])


@pytest.mark.parametrize(
    ("layout", "stamp", "seconds"),
    [
        (CsvFormat(time_column="t"), "1970-01-01T01:01:00+01:00", 60),
        (CsvFormat(time_column="t"), " 1970-01-01 00:01:00 ", 60),
        (CsvFormat(";", "t", "%d.%m.%Y %H:%M:%S", ","), "02.01.1970 00:00:00", 86400),
        (SECONDS, 1700000000, 1700000000),
    ],
)
def test_time_formats(layout, stamp, seconds):
    sample = decoded(json.dumps({"t": stamp, "a": 1, "b": 2}), layout)
    assert (sample.time, sample.stamp, sample.problem) == (seconds, str(stamp), None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a JSON object: Expecting property name enclosed in double quotes at character 2"),
        ("1;2;3", "not a JSON object: Extra data at character 2"),
        ("[1, 2]", "not a JSON object, but a list"),
        ('[["t", 1], ["a", 2], ["b", 3]]', "not a JSON object, but a list"),
        ("17", "not a JSON object, but a number"),
        ("null", "not a JSON object, but null"),
        ('"t"', "not a JSON object, but the text 't'"),
        ('{"t": 1, "a": 2}', "key 'b' is missing"),
        ('{"a": 1, "b": 2}', "key 't' is missing"),
        ('{"t": 1, "a": "2", "b": 3}', "'a' is the text '2', not a number"),
        ('{"t": 1, "a": true, "b": 3}', "'a' is true, not a number"),
        ('{"t": 1, "a": [2], "b": 3}', "'a' is a list, not a number"),
        ('{"t": 1, "a": {"a": 2}, "b": 3}', "'a' is an object, not a number"),
        ('{"t": 1, "a": NaN, "b": 3}', "NaN is not JSON; write null for a missing value"),
        ('{"t": 1, "a": -Infinity, "b": 3}', "-Infinity is not JSON; write null for a missing value"),
        ('{"t": 1, "a": 1e999, "b": 3}', "'a' is too large a number"),
        ('{"t": 1, "a": ' + "9" * 400 + ', "b": 3}', "a number is too large"),
        ('{"t": 1, "a": ' + "9" * 9999 + ', "b": 3}', "a number is too large"),
        ('{"t": 1, "a": 1, "a": 1, "b": 3}', "a key stands twice"),
        (
            '{"t": "1", "a": 1, "b": 3}',
            "'t' is the text '1'; seconds since the epoch are expected, as a number",
        ),
        ('{"t": null, "a": 1, "b": 3}', "'t' is null; seconds since the epoch are expected, as a number"),
        ('{"t": true, "a": 1, "b": 3}', "'t' is true; seconds since the epoch are expected, as a number"),
        ('{"t": 1e999, "a": 1, "b": 3}', "'t' is too large a number"),
        ('{"t": ' + "9" * 400 + ', "a": 1, "b": 3}', "a number is too large"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("\x00", "not a JSON object: Expecting value at character 1"),
        ('{"t": 1, "a": 1, "b": 3} x', "not a JSON object: Extra data at character 26"),
    ],
)
def test_lines_that_cannot_be_read(text, problem):
    sample = decoded(text)
    assert sample.problem == problem
    assert sample.values == ()


def test_a_time_that_is_no_text_where_text_is_expected():
    sample = decoded('{"t": 17, "a": 1, "b": 2}', CsvFormat(time_column="t"))
    assert sample.problem == "'t' is a number; a time stamp is expected, as text (ISO 8601)"
    sample = decoded('{"t": "noon", "a": 1, "b": 2}', CsvFormat(time_column="t"))
    assert sample.problem == "'noon' is not a time stamp (ISO 8601)"


@pytest.mark.parametrize("channels", [1, 60])
def test_large_numbers_are_no_infinity(channels):
    names = [f"c{i}" for i in range(channels)]
    decoder = open_decoder(FormatOptions("ndjson"), SECONDS, names, pytest.fail)
    sample = decoder.decode(Line(json.dumps({"t": 1, **dict.fromkeys(names, 1.7e308)})))
    assert sample.problem is None
    assert sample.values == [1.7e308] * channels


def test_what_is_passed_on_can_be_written_anywhere():
    layout = CsvFormat(time_column="t")
    good = decoded('{"t": "2026-01-05\\ud80008:00:00", "a": 1, "b": 2}', layout)
    assert good.problem is None
    bad = decoded('{"t": "\\ud800' + "x" * 1000 + '", "a": 1, "b": 2}', layout)
    for sample in (good, bad):
        (sample.stamp + (sample.problem or "")).encode()
        assert len(sample.problem or "") < 200


def test_empty_lines_and_first_lines():
    decoder = opened()
    assert decoder.decode(Line("")) is None
    assert decoder.decode(Line(" \t\r")) is None
    text = '{"t": 1, "a": 1, "b": 3}'
    assert decoder.decode(Line("\ufeff" + text, 1, None, True)).problem is None
    assert decoder.decode(Line(text, 0, None, True)) is None  # given again, for its column names
    assert decoder.decode(Line(text, 0, None, False)).problem is None
    assert decoder.decode(Line(text, 5, 6.0, True, "cut off: here")).problem == "cut off: here"
    assert decoder.header is None


def test_time_of_arrival_needs_no_time():
    sample = opened(time="arrival").decode(Line('{"a": 1, "b": 2}', 5))
    assert sample.problem is None
    assert sample.values == [1, 2]
    assert sample.stamp.endswith("Z")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("tabx"), inner, max_size=4),
    max_leaves=8,
)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@given(st.dictionaries(st.sampled_from("tabx"), JSON | st.floats(-9, 9), max_size=4) | JSON)
def test_good_is_exactly_what_has_a_number_for_each(value):
    text = json.dumps(value)
    is_good = (
        isinstance(value, dict)
        and "NaN" not in text
        and "Infinity" not in text
        and is_number(value.get("t"))
        and all(name in value and (value[name] is None or is_number(value[name])) for name in "ab")
    )
    sample = decoded(text)
    assert (sample.problem is None) == is_good
    if is_good:
        assert [None if math.isnan(x) else x for x in sample.values] == [
            None if value[name] is None else float(value[name]) for name in "ab"
        ]


@given(st.text(max_size=60) | st.text(alphabet='{}[]":,tab123eE+-.\\u0dn ', max_size=60))
def test_no_text_raises(text):
    sample = decoded(text)
    assert sample is None or sample.problem is not None or len(sample.values) == 2
