from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json


@dataclass(frozen=True)
class Inner:
    size: int
    kind: Literal["a", "b"] = "a"

    def __post_init__(self):
        if self.size < 0:
            raise ValueError("size must not be negative")


@dataclass(frozen=True)
class Outer:
    name: str
    ratio: float
    flag: bool
    inner: tuple[Inner, ...] = ()
    maybe: float | None = None
    table: dict[str, int] = field(default_factory=dict)


finite = st.floats(allow_nan=False, allow_infinity=False)
outers = st.builds(
    Outer,
    name=st.text(),
    ratio=finite,
    flag=st.booleans(),
    inner=st.lists(st.builds(Inner, st.integers(0, 2**62), st.sampled_from("ab"))).map(tuple),
    maybe=st.none() | finite,
    table=st.dictionaries(st.text(), st.integers()),
)


@given(outers)
def test_round_trip(value):
    text = canonical_json(encode(value))
    assert decode(Outer, parse_json(text)) == value
    assert canonical_json(parse_json(text)) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "top level"),
        ({}, "missing key name"),
        ({"name": 3, "ratio": 1.0, "flag": True}, "name must be of type str"),
        ({"name": "", "ratio": "1", "flag": True}, "ratio must be of type float"),
        ({"name": "", "ratio": True, "flag": True}, "ratio must be of type float"),
        ({"name": "", "ratio": 10**400, "flag": True}, "ratio is not a finite number"),
        ({"name": "", "ratio": 1, "flag": 1}, "flag must be of type bool"),
        ({"name": "", "ratio": 1, "flag": True, "extra": 1}, "unknown key extra"),
        ({"name": "", "ratio": 1, "flag": True, "inner": {}}, "inner must be a list"),
        ({"name": "", "ratio": 1, "flag": True, "inner": [{"size": 1.5}]}, r"inner\[0\].size"),
        ({"name": "", "ratio": 1, "flag": True, "inner": [{"size": -1}]}, "must not be negative"),
        ({"name": "", "ratio": 1, "flag": True, "inner": [{"size": 1, "kind": "c"}]}, "'a', 'b'"),
        ({"name": "", "ratio": 1, "flag": True, "table": {"x": None}}, "table.x"),
    ],
)
def test_what_does_not_fit_is_named(value, words):
    with pytest.raises(DecodeError, match=words):
        decode(Outer, value)


@pytest.mark.parametrize(
    "text",
    [b"{", b'{"a": NaN}', b"[Infinity]", b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 100_000, b""],
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(DecodeError):
        parse_json(text)


def test_unknown_keys_can_be_reported():
    seen = []
    inner = {"size": 1, "colour": "red"}
    decode(Outer, {"name": "", "ratio": 1, "flag": True, "new": 1, "inner": [inner]}, seen.append)
    assert seen == ["new", "inner[0].colour"]
