import dataclasses
import json

import pytest

from edge_ad.bundle.bundle import Bundle, pack, read
from edge_ad.bundle.diff import Change, diff
from edge_ad.bundle.manifest import MemberEntry
from tests.helpers import edge_ad


@pytest.fixture(scope="module")
def toy(toy_bundle_path):
    return read(toy_bundle_path)


def changed(bundle, **entries):
    """The bundle with entries of its manifest changed; nothing is made right again."""
    return Bundle(dataclasses.replace(bundle.manifest, **entries), bundle.members)


def with_variant(bundle, name, **entries):
    """The bundle with entries of one variant changed."""
    variants = [dataclasses.replace(v, **entries) if v.name == name else v for v in bundle.manifest.variants]
    return changed(bundle, variants=tuple(variants))


def with_limit(bundle, name, ucl):
    limit = dataclasses.replace(bundle.manifest.variant(name).limit, ucl=ucl)
    return with_variant(bundle, name, limit=limit)


def test_equal_bundles_do_not_differ(toy):
    assert diff(toy, toy) == []


def test_a_change_has_its_path_and_both_values(toy):
    before = toy.manifest.variant("tiny-int8").limit.ucl
    assert diff(toy, with_limit(toy, "tiny-int8", 10.0)) == [
        Change(("variants", "tiny-int8", "limit", "ucl"), before, 10.0)
    ]
    assert diff(toy, changed(toy, asset="pump", build_number=2)) == [
        Change(("build_number",), 1, 2),
        Change(("asset",), "toy", "pump"),
    ]


def test_both_ways_say_the_same(toy, toy_bundle_path):
    other = read(toy_bundle_path.with_name("toy-fast.edgead"))
    there, back = diff(toy, other), diff(other, toy)
    assert len(there) > 20
    assert {c.path: (c.before, c.after) for c in there} == {c.path: (c.after, c.before) for c in back}


def test_items_are_matched_by_name(toy):
    first, *others = toy.manifest.variants
    (change,) = diff(toy, changed(toy, variants=tuple(others)))
    assert change.path == ("variants", first.name)
    assert change.before["form"] == first.form
    assert change.after is None

    channels = toy.manifest.channels
    scaler = toy.manifest.scaler
    fewer = dataclasses.replace(scaler, offset=scaler.offset[1:], scale=scaler.scale[1:])
    paths = [change.path for change in diff(toy, changed(toy, channels=channels[1:], scaler=fewer))]
    name = channels[0].name
    assert paths == [("channels", name), ("scaler", "offset", name), ("scaler", "scale", name)]


def test_another_order_is_a_change(toy):
    channels, scaler = toy.manifest.channels, toy.manifest.scaler
    turned = dataclasses.replace(scaler, offset=scaler.offset[::-1], scale=scaler.scale[::-1])
    (change,) = diff(toy, changed(toy, channels=channels[::-1], scaler=turned))
    assert change.path == ("channels", "order")
    assert change.before == change.after[::-1] == [channel.name for channel in channels]


def test_an_entry_that_was_not_there_before(toy):
    (change,) = diff(with_variant(toy, "tiny-int8-full", calibration=None), toy)
    assert change.path == ("variants", "tiny-int8-full", "calibration")
    assert change.before is None
    assert change.after["curve"]


def test_names_that_mean_something_elsewhere(toy):
    """A channel may be called what a list of the manifest is called."""
    channel = dataclasses.replace(toy.manifest.channels[0], name="members")
    more = changed(toy, channels=(channel, *toy.manifest.channels[1:]))
    assert ("channels", "members") in [change.path for change in diff(toy, more)]


def test_a_name_twice_loses_nothing(toy):
    check = toy.manifest.variant("tiny-int8").parity[0]
    worse = dataclasses.replace(check, passed=False)
    (change,) = diff(
        with_variant(toy, "tiny-int8", parity=(check, check)),
        with_variant(toy, "tiny-int8", parity=(check, worse)),
    )
    assert change.path[-2:] == (f"{check.reference} {check.figure} {check.rule} #2", "passed")
    assert (change.before, change.after) == (True, False)


class TestCommand:
    @pytest.fixture
    def written(self, tmp_path, toy_bundle_path):
        """Write a changed toy bundle; returns what `edge-ad diff` says about it."""

        def write(bundle, *options, members=None):
            path = tmp_path / "after.edgead"
            path.write_bytes(pack(bundle.manifest, bundle.members if members is None else members))
            result = edge_ad("diff", toy_bundle_path, path, *options)
            assert result.returncode == 0, result.stderr
            assert result.stderr == ""
            return result.stdout

        return write

    def test_no_difference(self, toy, written):
        assert written(toy) == "no difference\n"
        assert json.loads(written(toy, "--json")) == []

    def test_limits_with_their_relative_change(self, toy, written):
        ucl = toy.manifest.variant("tiny-int8").limit.ucl
        lines = written(with_limit(toy, "tiny-int8", ucl * 1.02)).splitlines()
        assert lines[0] == "identity"
        assert lines[1].startswith(f"  bundle_id: {toy.manifest.bundle_id[:12]}… -> ")
        assert lines[2:] == ["limits", f"  tiny-int8 ucl: {ucl:.6g} -> {ucl * 1.02:.6g} (+2 %)"]

    def test_a_change_in_the_last_digit_can_be_seen(self, toy, written):
        ucl = toy.manifest.variant("tiny-int8").limit.ucl
        assert f"{ucl!r} -> {ucl * (1 + 1e-12)!r}" in written(with_limit(toy, "tiny-int8", ucl * (1 + 1e-12)))

    def test_long_vectors_are_one_line(self, toy, written):
        scores = toy.manifest.variant("tiny-int8").golden_scores
        bundle = with_variant(toy, "tiny-int8", golden_scores=(*scores[:-1], scores[-1] * 0.97))
        assert "  tiny-int8 golden_scores: 16 numbers, largest relative change -3 %" in written(bundle)
        scaler = toy.manifest.scaler
        scaler = dataclasses.replace(scaler, offset=tuple(offset * 1.5 for offset in scaler.offset))
        text = written(changed(toy, scaler=scaler))
        assert "scaler\n  offset: 8 numbers differ, largest relative change +50 %\n" in text

    def test_files_and_variants_that_come_and_go(self, toy, written):
        manifest = toy.manifest
        first, *others = manifest.variants
        members = {name: content for name, content in toy.members.items() if name != first.file}
        golden = toy.members[manifest.golden_file]
        members[manifest.golden_file] = golden[:-8] + golden[-4:] + golden[-8:-4]
        lines = written(changed(toy, variants=tuple(others)), members=members).splitlines()
        assert f"  {first.name}: removed" in lines
        assert f"  {first.file}: removed, it had {len(toy.members[first.file])} bytes" in lines
        assert f"  {manifest.golden_file}: other bytes, as many" in lines
        assert lines.index("variants") < lines.index("files")

    def test_figures_of_quality(self, toy, written):
        variant = toy.manifest.variant("tiny-int8")
        leaderboard, streaming = variant.evaluation
        check, *checks = variant.parity
        bundle = with_variant(
            toy,
            "tiny-int8",
            evaluation=(leaderboard, dataclasses.replace(streaming, f1=0.25)),
            parity=(dataclasses.replace(check, passed=False), *checks),
        )
        text = written(bundle)
        assert f"  tiny-int8 streaming f1: {streaming.f1:.6g} -> 0.25" in text
        name = f"{check.reference} {check.figure} {check.rule}"
        assert f"  tiny-int8 parity: 1 figure differs; {name} now FAILS" in text

    def test_what_stands_under_which_heading(self, toy, written):
        manifest = toy.manifest
        channel = dataclasses.replace(manifest.channels[3], unit="kPa", low=None)
        provenance = dataclasses.replace(
            manifest.provenance,
            train_rows=500,
            seed=3,
            data_sha256="0" * 64,
            versions=manifest.provenance.versions | {"numpy": "9.9"},
        )
        text = written(
            changed(
                toy,
                channels=(*manifest.channels[:3], channel, *manifest.channels[4:]),
                provenance=provenance,
                alarm_rule=dataclasses.replace(manifest.alarm_rule, k=5),
            )
        )
        _, _, rest = text.partition("versions\n")
        assert rest.splitlines() == [
            f"  numpy: {manifest.provenance.versions['numpy']} -> 9.9",
            "data",
            f"  data_sha256: {manifest.provenance.data_sha256[:12]}… -> 000000000000…",
            "  train_rows: 400 -> 500",
            "channels",
            "  Pressure unit: bar -> kPa",
            "  Pressure low: -2 -> none",
            "detection",
            "  alarm_rule k: 3 -> 5",
            "training",
            "  seed: 0 -> 3",
        ]

    def test_json(self, toy, written):
        changes = json.loads(written(changed(toy, asset="other"), "--json"))
        assert {"path": ["asset"], "before": "toy", "after": "other"} in changes
        assert {tuple(change["path"]) for change in changes} == {("asset",), ("bundle_id",)}

    def test_no_control_character_reaches_the_terminal(self, toy, written):
        channels = toy.manifest.channels
        evil = dataclasses.replace(channels[0], name="a\x1b[2Jb", unit="\x9b\x7f")
        bundle = changed(toy, asset="x\ny\u202e", channels=(evil, *channels[1:]))
        text = written(bundle)
        assert "  a\\x1b[2Jb: added" in text
        assert "asset: toy -> x\\ny\\u202e" in text
        for output in (text, written(bundle, "--json")):
            assert all(c.isprintable() or c == "\n" for c in output)

    def test_a_bad_bundle(self, toy_bundle_path, tmp_path):
        bad = tmp_path / "bad.edgead"
        bad.write_bytes(toy_bundle_path.read_bytes()[:1000])
        for pair in ((toy_bundle_path, bad), (bad, toy_bundle_path), (tmp_path / "none", toy_bundle_path)):
            result = edge_ad("diff", *pair)
            assert result.returncode == 3
            assert result.stdout == ""


def test_members_are_told_by_digest(toy):
    """The pure function needs no more than the manifest: members are in it by digest."""
    first, *others = toy.manifest.members
    other = MemberEntry(first.name, first.size, "0" * 64)
    assert diff(toy, changed(toy, members=(other, *others))) == [
        Change(("members", first.name, "sha256"), first.sha256, "0" * 64)
    ]
