import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.bundle import pack, read
from edge_ad.bundle.manifest import to_json
from edge_ad.text import align, number, percent, printable, printable_json
from tests.helpers import edge_ad


@pytest.fixture(scope="module")
def toy(toy_bundle_path):
    return read(toy_bundle_path)


@pytest.fixture
def inspected(toy, tmp_path):
    """Change entries of the toy's manifest; returns what `edge-ad inspect` makes of the bundle."""

    def inspect(*options, **entries):
        manifest = dataclasses.replace(toy.manifest, **entries)
        members = dict(toy.members)
        if not manifest.card_file:
            del members[toy.manifest.card_file]
        path = tmp_path / "changed.edgead"
        path.write_bytes(pack(manifest, members))
        return edge_ad("inspect", path, *options)

    return inspect


def test_what_a_person_sees(toy, toy_bundle_path):
    result = edge_ad("inspect", toy_bundle_path)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    manifest = toy.manifest
    assert ["asset", "toy"] in lines
    assert ["bundle", "id", manifest.bundle_id] in lines
    assert ["parity", "gate", "passed"] in lines
    assert ["Pressure", "bar", "-2", "10", "0.107179", "0.239723"] in lines
    for variant in manifest.variants:
        size = f"{len(toy.members[variant.file]) / 1000:.1f}"
        name = [variant.name] + ["(default)"] * (variant.name == manifest.default_variant)
        for m in variant.evaluation:
            figures = [f"{m.f1:.3f}", f"{100 * m.far:.1f}", f"{100 * m.mar:.1f}"]
            cells = [*name, variant.precision, "passed", m.rule, size, f"{variant.limit.ucl:.6g}", *figures]
            assert cells in lines
    last = result.stdout.splitlines()[-1]
    assert last.startswith("F1 is over 457 rows of one recording")
    assert "leaderboard rule looks ahead by 8 samples" in last


def test_a_bundle_that_failed_the_gate(toy, inspected):
    check, *others = toy.manifest.variants[1].parity
    failed = (dataclasses.replace(check, passed=False), *others)
    variants = (
        dataclasses.replace(toy.manifest.variants[0], parity=()),
        dataclasses.replace(toy.manifest.variants[1], parity=failed),
        toy.manifest.variants[2],
    )
    text = inspected(variants=variants, unchecked=True, parity_passed=False).stdout
    assert "UNCHECKED: packed although the gate failed or did not run" in text
    assert text.count("not judged") == 2
    assert text.count(f"FAILED 1 of {len(failed)}") == 2


def test_a_recording_without_labels(toy, inspected):
    variants = tuple(dataclasses.replace(variant, evaluation=()) for variant in toy.manifest.variants)
    lines = inspected(variants=variants).stdout.splitlines()
    assert [line.split()[-4:] for line in lines if line.startswith("tiny-float32")] == [["9.53265", *"---"]]
    assert lines[-1] == "The recording has no labels, so there is no F1, FAR or MAR."


def test_json_is_the_manifest(toy, toy_bundle_path):
    result = edge_ad("inspect", toy_bundle_path, "--json")
    assert result.stdout.encode() == to_json(toy.manifest) + b"\n"


def test_card(toy, toy_bundle_path):
    result = edge_ad("inspect", toy_bundle_path, "--card")
    assert result.stdout.encode() == toy.members[toy.manifest.card_file]
    assert result.stdout.startswith("# Model card: toy\n")


def test_a_bundle_without_a_card(inspected):
    assert "model card    none" in inspected(card_file="").stdout
    result = inspected("--card", card_file="")
    assert (result.returncode, result.stdout) == (2, "")
    assert "holds no model card" in result.stderr


def test_one_thing_at_a_time(toy_bundle_path):
    result = edge_ad("inspect", toy_bundle_path, "--card", "--json")
    assert result.returncode == 2
    assert "not both" in result.stderr


def test_no_control_character_reaches_the_terminal(toy, inspected, tmp_path):
    channels = toy.manifest.channels
    evil = dataclasses.replace(channels[0], name="a\x1b]0;owned\x07", unit="\x9b\x7f\n")
    entries = {"asset": "x\ry\u202e", "model_version": "\x1b[2J", "channels": (evil, *channels[1:])}
    text = inspected(**entries).stdout
    assert "\na\\x1b]0;owned\\x07 " in text
    assert " \\x9b\\x7f\\n " in text
    as_json = inspected("--json", **entries).stdout
    assert json.loads(as_json)["channels"][0]["name"] == evil.name
    path = tmp_path / "card.edgead"
    path.write_bytes(pack(toy.manifest, {**toy.members, toy.manifest.card_file: b"# \x1b[2J\r\n\xc2\x9b\n"}))
    card = edge_ad("inspect", path, "--card").stdout
    assert card == "# \\x1b[2J\\r\n\\x9b\n"
    for output in (text, as_json, card):
        assert all(c.isprintable() or c == "\n" for c in output)


@given(st.text())
def test_printable_text(text):
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


@given(st.recursive(st.none() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=5))
def test_printable_json(value):
    escaped = printable_json(json.dumps(value, ensure_ascii=False))
    assert escaped.isprintable()
    assert json.loads(escaped) == value


def test_columns():
    assert align([("a", "n"), ("long", "1.0"), ("b", "10.0")], left=1).splitlines() == [
        "a        n",
        "----  ----",
        "long   1.0",
        "b     10.0",
    ]
    assert (percent(None), percent(-0.0001), percent(0.1234)) == ("-", "0.0", "12.3")
    assert (number(None, 3), number(0.98765, 3)) == ("-", "0.988")
