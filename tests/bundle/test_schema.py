import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge_ad.bundle import schema
from edge_ad.bundle.bundle import read
from edge_ad.bundle.codec import canonical_json, encode
from edge_ad.bundle.json_schema import schema_text
from edge_ad.bundle.manifest import from_json, to_json
from edge_ad.errors import BundleError, BundleManifestError
from tests.conftest import DATA

FILE = DATA.parents[1] / "edge_ad" / "bundle" / "manifest.schema.json"
VALIDATOR = Draft202012Validator(json.loads(FILE.read_text()))
TOYS = sorted(DATA.glob("toy*.edgead"))
PLAIN = json.loads(to_json(read(DATA / "toy.edgead").manifest))


def test_the_file_is_what_the_classes_say():
    assert FILE.read_text() == schema_text(schema.manifest_schema()), (
        "manifest.schema.json does not fit manifest.py; make it anew:\n"
        "python -m edge_ad.bundle.schema > manifest.schema.json && "
        "mv manifest.schema.json edge_ad/bundle/"
    )


def test_the_schema_is_one():
    Draft202012Validator.check_schema(schema.manifest_schema())


@pytest.mark.parametrize("path", TOYS, ids=lambda path: path.name)
def test_real_manifests_are_valid(path):
    VALIDATOR.validate(json.loads(to_json(read(path).manifest)))


def test_every_key_is_described_by_its_docstring():
    described = VALIDATOR.schema["properties"]["largest_gap_s"]["description"]
    assert described == "A longer step in time ends the window."
    assert "unknown_keys" not in VALIDATOR.schema["properties"]
    assert set(VALIDATOR.schema["properties"]) == set(encode(from_json(canonical_json(PLAIN)))) - {
        "unknown_keys"
    }
    for definition in VALIDATOR.schema["$defs"].values():
        assert definition["description"].endswith(".")


def places(value):
    """Every container of a JSON value, found by walking down at random."""

    @st.composite
    def walk(draw):
        here, path = value, []
        while True:
            inner = [k for k, v in _items(here) if isinstance(v, (dict, list)) and v]
            if not inner or (path and draw(st.booleans())):
                return path
            path.append(draw(st.sampled_from(inner)))
            here = here[path[-1]]

    return walk()


def _items(container):
    return container.items() if isinstance(container, dict) else enumerate(container)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-1e9, 1e9).filter(lambda number: not number.is_integer()),
    st.sampled_from(["", "int8", "consecutive", ",", "1.0", "2.0", "1.x", "standard", "sum", "sum "]),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 3), min_size=1, max_size=2),
    st.dictionaries(st.text(max_size=2), st.floats(0, 1), min_size=1, max_size=1),
)
"""No number like 1.0: JSON Schema takes it for an integer, the decoder wants it written as one."""


@st.composite
def mutants(draw):
    """A valid manifest with one thing changed."""
    mutant = copy.deepcopy(PLAIN)
    here = mutant
    for key in draw(places(PLAIN)):
        here = here[key]
    keys = [key for key, _ in _items(here)]
    action = draw(st.sampled_from(["replace", "delete", "add"]))
    if action == "delete":
        del here[draw(st.sampled_from(keys))]
    elif action == "replace":
        here[draw(st.sampled_from(keys))] = draw(VALUES)
    elif isinstance(here, dict):
        here[draw(st.sampled_from(["extra", "", "Name", "default"]))] = draw(VALUES)
    else:
        here.append(draw(VALUES))
    return mutant


def decoded(plain):
    """Whether the decoder takes it, and whether what it minds is a rule of a class rather than a type."""
    try:
        from_json(canonical_json(plain))
    except BundleManifestError as error:
        return False, isinstance(error.__cause__.__cause__, ValueError)
    except BundleError:
        return False, False
    return True, False


@settings(deadline=None)
@given(mutants())
def test_schema_and_decoder_agree(mutant):
    accepted, by_a_rule = decoded(mutant)
    if not by_a_rule:
        assert VALIDATOR.is_valid(mutant) == accepted


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        (lambda m: None, True),
        (lambda m: m.pop("card_file"), True),
        (lambda m: m.pop("asset"), False),
        (lambda m: m.update(colour="red"), False),
        (lambda m: m["channels"][0].update(low=None), True),
        (lambda m: m["channels"][0].update(name=""), False),
        (lambda m: m["scaler"].update(kind="robust"), True),
        (lambda m: m["scaler"].update(kind="quantile"), False),
        (lambda m: m["input"].update(separator=";;"), False),
        (lambda m: m["alarm_rule"].update(k=0), False),
        (lambda m: m["provenance"]["versions"].update(numpy=2), False),
        (lambda m: m.update(window_length=True), False),
        (lambda m: m.update(largest_gap_s=6), True),
        (lambda m: m.update(schema="2.0"), False),
    ],
)
def test_single_changes(change, valid):
    plain = copy.deepcopy(PLAIN)
    change(plain)
    assert VALIDATOR.is_valid(plain) == valid
    assert decoded(plain)[0] == valid
