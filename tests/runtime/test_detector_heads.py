"""Bundles with detector heads in the runtime: stream, replay, restart, self-test, new limits, all as ever."""

import dataclasses
import json
import math

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.diff import diff
from edge_ad.bundle.manifest import BudgetEntry, from_json, schema_for, to_json
from edge_ad.bundle.overlay import overlaid
from edge_ad.errors import BundleManifestError, BundleMismatchError
from edge_ad.runtime import Detector
from edge_ad.runtime.recalibrate import derive_overlay
from edge_ad.runtime.selftest import replay_on_interpreters
from edge_ad.runtime.sources.csv_lines import CsvLines
from tests import naive
from tests.forge import edited
from tests.head_bundle import toy_heads, with_heads
from tests.hostile.golden import weights

KINDS = list(toy_heads(8))


@pytest.fixture(scope="module")
def toy_bytes(toy_bundle_path):
    return toy_bundle_path.read_bytes()


@pytest.fixture(scope="module")
def packed(toy_bytes):
    return {name: with_heads(toy_bytes, heads) for name, heads in toy_heads(8).items()}


@pytest.fixture(scope="module")
def recording(toy_bytes, toy_csv):
    manifest = bundles.unpack(toy_bytes).manifest
    columns = [channel.name for channel in manifest.channels]
    with toy_csv.open(encoding="utf-8") as file:
        lines = CsvLines(file, manifest.input, columns, name=str(toy_csv), strict=False)
        return [sample for sample in lines if sample.problem is None]


def comparable(decision):
    shares = None if decision.contributions is None else decision.contributions.tolist()
    return repr(decision._replace(contributions=shares, latency_ns=0))


@pytest.mark.parametrize("variant", ["tiny-float32", "tiny-int8-full"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_decides_as_the_stream_to_the_bit(packed, recording, kind, variant):
    bundle = bundles.unpack(packed[kind])
    streaming, replayed = Detector.load(bundle, variant), Detector.load(bundle, variant)
    pushed = [streaming.push(sample.values, sample.time) for sample in recording]
    replay = replayed.replay([s.values for s in recording], np.array([s.time for s in recording]))
    assert list(map(comparable, replay)) == list(map(comparable, pushed))
    assert {"normal", "alarm"} <= {decision.state for decision in pushed}
    for decision in pushed:
        if decision.score is not None:
            assert decision.score == math.fsum(decision.contributions.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_where_it_was_saved(packed, recording, kind):
    bundle = bundles.unpack(packed[kind])
    whole, first, second = (Detector.load(bundle) for _ in range(3))
    expected = [whole.push(sample.values, sample.time) for sample in recording]
    half = len(recording) // 2
    for sample in recording[:half]:
        first.push(sample.values, sample.time)
    second.restore(json.loads(json.dumps(first.save())))
    found = [second.push(sample.values, sample.time) for sample in recording[half:]]
    assert list(map(comparable, found)) == list(map(comparable, expected[half:]))


def test_the_stream_scores_by_the_definition(packed, recording):
    bundle = bundles.unpack(packed["all"])
    detector = Detector.load(bundle, "tiny-float32")
    model = detector._model
    rows = model.scaler.transform(np.array([sample.values for sample in recording[:30]]))
    heads = bundle.manifest.models[0].detector
    for index, sample in enumerate(recording[:30]):
        decision = detector.push(sample.values, sample.time)
        if decision.score is not None:
            window = rows[index - 9 : index + 1]
            shares, score = naive.fused(heads, window.tolist(), model.model.reconstruct(window).tolist())
            np.testing.assert_allclose(decision.contributions, shares, rtol=1e-4, atol=1e-5 * max(shares))
            assert decision.score == pytest.approx(score, rel=1e-4)


def test_a_center_that_follows_moves_the_stream_and_nothing_else(packed, recording):
    bundle = bundles.unpack(packed["follows"])
    following, fixed = Detector.load(bundle), Detector.load(bundle, follow=False)
    assert following.follows
    assert not fixed.follows
    scores = [[], []]
    for sample in recording:
        for detector, found in zip((following, fixed), scores, strict=True):
            found.append(detector.push(sample.values, sample.time).score)
    assert scores[0] != scores[1]
    golden = bundle.golden_windows()
    expected = fixed.score_windows(golden).tolist()
    assert following.score_windows(golden).tolist() == expected
    following.reset()
    again = [following.push(sample.values, sample.time).score for sample in recording]
    assert again == scores[0]


@pytest.mark.parametrize(
    "centers", [[], [[0.0] * 7], [[0.31] + [0.0] * 7], [["x"] * 8], [[float("nan")] * 8], 5, [[0.0] * 8] * 2]
)
def test_a_center_that_was_never_there_is_not_restored(packed, recording, centers):
    bundle = bundles.unpack(packed["follows"])
    first, second = Detector.load(bundle), Detector.load(bundle)
    for sample in recording[:60]:
        first.push(sample.values, sample.time)
    saved = first.save() | {"centers": centers}
    with pytest.raises((TypeError, ValueError)):
        second.restore(saved)
    fresh = Detector.load(bundle)
    for sample in recording:
        pair = [detector.push(sample.values, sample.time) for detector in (second, fresh)]
        assert len(set(map(comparable, pair))) == 1


def test_new_limits_of_a_center_that_follows_are_those_of_one_that_stays(packed, normal_csv):
    fields = {"by": "me", "created": "2026-02-01T00:00:00Z", "with_scaler": False, "force": True}
    following = bundles.unpack(packed["follows"])
    stays = tuple(
        dataclasses.replace(
            model,
            detector=dataclasses.replace(
                model.detector,
                heads=tuple(dataclasses.replace(head, follow=None) for head in model.detector.heads),
            ),
        )
        for model in following.manifest.models
    )
    fixed = dataclasses.replace(following, manifest=dataclasses.replace(following.manifest, models=stays))
    assert derive_overlay(following, normal_csv, **fields) == derive_overlay(fixed, normal_csv, **fields)


def test_an_l1_head_decides_as_a_bundle_without_heads(toy_bytes, recording):
    plain = bundles.unpack(toy_bytes)
    ucl = plain.manifest.variant().limit.ucl
    headed = bundles.unpack(with_heads(toy_bytes, toy_heads(8)["l1"], ucl))
    ours, theirs = Detector.load(headed), Detector.load(plain)
    for sample in recording:
        pair = [detector.push(sample.values, sample.time) for detector in (ours, theirs)]
        assert len(set(map(comparable, pair))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_interpreter_passes_the_golden_windows(packed, kind):
    for test in replay_on_interpreters(bundles.unpack(packed[kind])):
        assert test.passed, test.complaint()


def test_a_network_that_no_head_looks_at_must_work_all_the_same(packed):
    broken = bundles.unpack(weights(3e38, 128, buffer=26)(packed["t2"]))  # those of its output
    for test in replay_on_interpreters(broken):
        assert not test.passed
        assert "tiny-float32: its network makes no finite numbers of window" in test.complaint()
    # what such a head makes of the windows is as it was
    Detector.load(broken, "tiny-float32").score_windows(broken.golden_windows())


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_with_heads_survives_its_json(packed, kind):
    manifest = bundles.unpack(packed[kind]).manifest
    assert from_json(to_json(manifest)) == manifest
    assert schema_for(manifest) == manifest.schema == ("1.5" if kind == "follows" else "1.4")
    assert (b'"follow"' in to_json(manifest)) == (kind == "follows")


def test_a_manifest_without_heads_stays_one_of_the_schema_before(toy_bytes):
    manifest = bundles.unpack(toy_bytes).manifest
    assert b'"detector"' not in to_json(manifest)
    assert schema_for(manifest) == "1.3"
    with pytest.raises(BundleManifestError, match="unknown key exec"):
        bundles.unpack(edited(toy_bytes, lambda plain: plain.update(exec=1)))


def test_a_robust_scaler_is_one_of_schema_1_5_and_no_other_part_is(toy_bytes, packed):
    manifest = bundles.unpack(toy_bytes).manifest
    robust = dataclasses.replace(manifest, scaler=dataclasses.replace(manifest.scaler, kind="robust"))
    assert schema_for(robust) == "1.5"
    assert from_json(to_json(robust)) == robust
    for kind, data in {"none": toy_bytes, **packed}.items():
        assert (schema_for(bundles.unpack(data).manifest) < "1.5") == (kind != "follows")


def test_diff_names_what_changed_in_a_detector(toy_bytes):
    heads = toy_heads(8)["all"]
    other = dataclasses.replace(heads, fusion="sum")
    before, after = (bundles.unpack(with_heads(toy_bytes, each)) for each in (heads, other))
    paths = [change.path for change in diff(before, after)]
    assert ("models", "tiny", "detector", "fusion") in paths
    assert not [path for path in paths if path[:4] == ("models", "tiny", "detector", "heads")]


@pytest.mark.parametrize("with_scaler", [False, True])
def test_new_limits_leave_the_heads_as_they_are(packed, normal_csv, with_scaler):
    bundle = bundles.unpack(packed["all"])
    overlay = derive_overlay(
        bundle, normal_csv, with_scaler=with_scaler, by="me", created="2026-02-01T00:00:00Z", force=True
    )
    running = overlaid(bundle, overlay)
    assert running.manifest.models == bundle.manifest.models
    assert all(limit.new_ucl != limit.old_ucl > 0 for limit in overlay.limits)
    assert Detector.load(running).ucl == overlay.limits[-1].new_ucl or len(overlay.limits) > 1


def test_heads_of_another_machine_are_refused(toy_bytes):
    heads = toy_heads(7)["t2"]
    with pytest.raises(ValueError, match="center has 7 channels, the bundle 8"):
        with_heads(toy_bytes, heads)
    mixed = edited(with_heads(toy_bytes, toy_heads(8)["t2"]), lambda plain: plain["channels"].pop() and None)
    with pytest.raises(BundleMismatchError):
        bundles.unpack(mixed)


def test_new_limits_keep_the_budget_they_were_set_for(packed, normal_csv):
    bundle = bundles.unpack(packed["t2"])
    fields = {"by": "me", "created": "2026-02-01T00:00:00Z", "with_scaler": False, "force": True}
    variants = tuple(
        dataclasses.replace(
            v, limit=dataclasses.replace(v.limit, budget=BudgetEntry("conformal", "1 per week"))
        )
        for v in bundle.manifest.variants
    )
    promised = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, variants=variants))
    overlay = derive_overlay(promised, normal_csv, **fields)
    for limit in overlay.limits:  # a week is more than these minutes: the largest score is all there is
        assert limit.new_ucl == limit.score_quantiles[-1]
    notes = overlaid(promised, overlay).manifest.variant().limit.notes(bundle.manifest.sampling)
    assert len(notes) == 1
    assert f"{overlay.limits[0].n_windows:,} windows" in notes[0]
    assert from_json(to_json(promised.manifest)) == promised.manifest
    assert schema_for(dataclasses.replace(promised.manifest, score="sum")) == "1.4"
