"""The file of a benchmark: what is written is what is read, and nothing else is."""

import json

import pytest

from edge_ad.bench.finding import Finding
from edge_ad.bench.results import Energy
from edge_ad.errors import DataError, OutputError
from edge_ad.runtime.benchmark.file import parse_benchmark, read_benchmark, to_json, write_benchmark
from tests.bench.files import benchmark, counted, result

NOTE = Finding("virtual-machine", "note", "kvm", ("mind it",))
WHOLE = benchmark(
    result(energy=Energy("ina219", "what flows through it", 2.5, 3.0, 5.0, 10_000)),
    result(engine="tflite-runtime", runs=(), problem="built for numpy 1", before=None, after=None),
    instructions=(counted(), counted(variant="x", few=(), many=(), problem="it died")),
    findings=(NOTE,),
    profile=None,
)


def test_what_is_written_is_what_is_read(tmp_path):
    path = tmp_path / "bench.json"
    write_benchmark(path, WHOLE)
    assert read_benchmark(path) == WHOLE
    assert path.read_bytes().count(b"\n") == 1


def edited(change):
    """The file with its JSON changed."""
    parsed = json.loads(to_json(WHOLE))
    change(parsed)
    return json.dumps(parsed).encode()


def measurement(parsed):
    return parsed["results"][0]["runs"][0]["measurements"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("schema"), "does not name its schema"),
        (lambda p: p.update(schema=2), "does not name its schema"),
        (lambda p: p.update(schema="1.0"), "schema 1.0, of an edge_ad before 2.0"),
        (lambda p: p.update(schema="3.0"), "schema 3.0 is not known here (2.0 is)"),
        (lambda p: p.update(extra=1), "unknown key extra"),
        (lambda p: p.pop("machine_before"), "missing key machine_before"),
        (
            lambda p: p.update(trust="trusted", findings=[]) or p.update(trust="none"),
            "its findings say 'trusted'",
        ),
        (lambda p: p.update(trust="perhaps"), "trust is 'perhaps'"),
        (lambda p: p.update(sample_period_s=0), "must be above 0"),
        (lambda p: measurement(p).update(raw_ns=[]), "invoke has no values"),
        (lambda p: measurement(p).update(raw_ns=[1, -2]), "values below 0"),
        (lambda p: measurement(p).update(raw_ns=[1, 10**400]), "no clock measured"),
        (lambda p: measurement(p).update(raw_ns=[0, 0]), "no value above 0"),
        (
            lambda p: measurement(p).update(raw_ns=[1.5]),
            "results[0].runs[0].measurements[0].raw_ns[0] must be",
        ),
        (lambda p: measurement(p).update(raw_ns="many"), "raw_ns must be a list"),
        (lambda p: p["instructions"][0].update(few=[1]), "as many counts"),
        (lambda p: p["instructions"][0].update(many_windows=5), "many windows must be more than few"),
    ],
)
def test_what_makes_no_sense_is_refused(change, words):
    with pytest.raises(DataError) as refusal:
        parse_benchmark(edited(change), "bench.json")
    assert words in str(refusal.value)
    assert str(refusal.value).startswith("bench.json: ")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"schema"',
        to_json(WHOLE)[:-1],
        to_json(WHOLE)[: len(to_json(WHOLE)) // 2],
        b"\xff",
    ],
)
def test_what_is_no_file_or_not_all_of_one(data):
    with pytest.raises(DataError, match="no benchmark"):
        parse_benchmark(data, "bench.json")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_numbers_that_are_none(number):
    data = to_json(WHOLE).replace(b'"sample_period_s": 1.0', b'"sample_period_s": ' + number)
    with pytest.raises(DataError, match="bench.json"):
        parse_benchmark(data, "bench.json")


def test_a_later_minor_version_may_say_more():
    data = edited(lambda parsed: parsed.update(schema="2.1", weather="fine"))
    assert parse_benchmark(data, "bench.json").results == WHOLE.results


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot read .*none.json: No such file"):
        read_benchmark(tmp_path / "none.json")
    with pytest.raises(DataError, match="Is a directory"):
        read_benchmark(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError):
        write_benchmark(tmp_path / "none" / "bench.json", WHOLE)
