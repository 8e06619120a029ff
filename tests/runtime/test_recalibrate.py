"""New limits from normal samples, and overlays that say what is not so."""

import dataclasses
import json

import numpy as np
import pytest

from edge_ad import errors
from edge_ad.bundle.bundle import unpack
from edge_ad.bundle.overlay import overlay_bytes
from edge_ad.bundle.secret_key import new_key
from edge_ad.runtime.recalibrate import derive_overlay
from edge_ad.runtime.store.open import find_bundle
from tests.forge import manifest_of
from tests.runtime.stores import bundle_id, run_build

NOW = "2026-01-01T00:00:00+00:00"


def derive(data, path, **options):
    return derive_overlay(
        unpack(data), path, **{"with_scaler": False, "by": "me", "created": NOW, "force": True, **options}
    )


def test_new_limits_follow_the_bundles_own_rule(data, normal_csv):
    from edge_ad.runtime.detector import Detector

    bundle = unpack(data)
    overlay = derive(data, normal_csv)
    for limit in overlay.limits:
        detector = Detector.load(bundle, limit.variant)
        text = normal_csv.read_text().splitlines()
        separator = bundle.manifest.input.separator
        at = [text[0].split(separator).index(c.name) for c in bundle.manifest.channels]
        rows = np.array([[float(line.split(separator)[i]) for i in at] for line in text[1:]])
        windows = np.stack([rows[i : i + 10] for i in range(len(rows) - 9)])
        scores = detector.score_windows(windows)
        entry = bundle.manifest.variant(limit.variant).limit
        expected = np.percentile(scores, entry.percentile) * entry.factor
        assert limit.new_ucl == pytest.approx(expected, rel=1e-5)
        assert limit.n_windows == len(windows)
        assert limit.old_ucl == entry.ucl


def test_recalibration_is_recorded_and_taken_back(store, build, normal_csv):
    path = build(1)
    run_build(store, path)
    original = store.bundle_path("toy", bundle_id(path)).read_bytes()
    overlay = derive(path.read_bytes(), normal_csv)
    store.apply_overlay(overlay_bytes(overlay))
    opened = store.begin("toy")
    assert opened.running.manifest.variants[0].limit.ucl == overlay.limits[0].new_ucl
    assert opened.original.manifest.variants[0].limit.ucl == overlay.limits[0].old_ucl
    assert find_bundle("@toy", store.root).running == opened.running
    last = store.journal("toy")[-1]
    assert last.action == "recalibrate"
    assert overlay.samples_sha256 in last.detail
    assert f"{overlay.limits[0].new_ucl:.6g}" in last.detail
    store.remove_overlay("toy")
    assert store.begin("toy").running == opened.original
    with pytest.raises(errors.StoreError, match="nothing to revert"):
        store.remove_overlay("toy")
    assert store.bundle_path("toy", bundle_id(path)).read_bytes() == original


def test_an_overlay_with_a_scaler(data, normal_csv, tmp_path):
    overlay = derive(data, normal_csv, with_scaler=True)
    glitch = tmp_path / "glitch.csv"
    lines = normal_csv.read_text().splitlines()
    separator = manifest_of(data)["input"]["separator"]
    cells = lines[300].split(separator)
    glitch.write_text(
        "\n".join([*lines[:300], separator.join([cells[0], "32767", *cells[2:]]), *lines[301:]]) + "\n"
    )
    with pytest.raises(errors.DataError, match=r"its scale would go from .* has it glitches"):
        derive(data, glitch, with_scaler=True, force=False)
    constant = [separator.join([(c := line.split(separator))[0], "7", *c[2:]]) for line in lines[1:]]
    glitch.write_text("\n".join([lines[0], *constant]) + "\n")
    with pytest.raises(errors.DataError, match="is it constant"):
        derive(data, glitch, with_scaler=True, force=False)
    assert overlay.old_scaler == unpack(data).manifest.scaler
    assert overlay.new_scaler != overlay.old_scaler


def test_a_robust_scaler_is_fitted_anew_as_one(data, normal_csv):
    bundle = unpack(data)
    scaler = dataclasses.replace(bundle.manifest.scaler, kind="robust")
    bundle = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, scaler=scaler))
    overlay = derive_overlay(bundle, normal_csv, with_scaler=True, by="me", created=NOW, force=True)
    assert overlay.new_scaler.kind == "robust"
    separator = bundle.manifest.input.separator
    names, *lines = (line.split(separator) for line in normal_csv.read_text().splitlines())
    for channel, offset in zip(bundle.manifest.channels, overlay.new_scaler.offset, strict=True):
        at = names.index(channel.name)
        assert offset == pytest.approx(np.median([float(line[at]) for line in lines]))


def test_a_damaged_overlay_stops_the_service_with_the_way_out(store, build, normal_csv):
    path = build(1)
    run_build(store, path)
    store.apply_overlay(overlay_bytes(derive(path.read_bytes(), normal_csv)))
    (file,) = (store.root / "assets" / "toy" / "overlays").iterdir()
    file.write_bytes(b"{}")
    with pytest.raises(errors.StoreError, match="edge-ad store revert toy"):
        store.begin("toy")


def test_an_overlay_of_another_bundle(store, build, normal_csv):
    run_build(store, build(1))
    with pytest.raises(errors.BundleMismatchError, match="belongs to bundle"):
        store.apply_overlay(overlay_bytes(derive(build(2).read_bytes(), normal_csv)))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda o: o["limits"][0].update(old_ucl=3.0), errors.BundleMismatchError),
        (lambda o: o["limits"].append(o["limits"][0]), errors.BundleMismatchError),
        (lambda o: o["limits"].pop(), errors.BundleMismatchError),
        (lambda o: o["limits"][0].update(new_ucl=1e300), errors.BundleManifestError),
        (lambda o: o["limits"][0].update(new_ucl=-1.0), errors.BundleManifestError),
        (lambda o: o["limits"][0].update(n_windows=-7), errors.BundleManifestError),
        (lambda o: o.update(schema="2.0"), errors.BundleVersionError),
        (lambda o: o.update(colour="red"), errors.BundleManifestError),
        (lambda o: o.update(asset="other"), errors.StoreError),
    ],
)
def test_overlays_that_lie(store, build, normal_csv, change, error):
    run_build(store, build(1))
    overlay = json.loads(overlay_bytes(derive(build(1).read_bytes(), normal_csv)))
    change(overlay)
    before = store.state("toy")
    with pytest.raises(error):
        store.apply_overlay(json.dumps(overlay).encode())
    assert store.state("toy") == before


def test_an_overlay_of_a_revoked_key(store, build, normal_csv):
    mine, other = new_key(), new_key()
    store.keyring.trust(mine.public)
    store.keyring.trust(other.public)
    path = build(1, mine)
    run_build(store, path)
    content = overlay_bytes(derive(path.read_bytes(), normal_csv))
    store.apply_overlay(content, other.sign(content, "x").text().encode())
    assert store.begin("toy").overlay is not None
    store.keyring.revoke(other.key_id)
    with pytest.raises(errors.StoreError, match="was revoked .* edge-ad store revert toy"):
        store.begin("toy")


def test_too_few_samples(data, normal_csv, tmp_path):
    short = tmp_path / "short.csv"
    short.write_text("\n".join(normal_csv.read_text().splitlines()[:60]) + "\n")
    with pytest.raises(errors.DataError, match="50 whole windows; a limit needs 100"):
        derive(data, short)


def test_samples_that_are_not_normal(data, toy_csv, normal_csv, tmp_path):
    lines = normal_csv.read_text().splitlines()
    separator = manifest_of(data)["input"]["separator"]
    flow = lines[0].split(separator).index("Volume Flow RateRMS")

    def with_flow(number, line, value):
        cells = line.split(separator)
        return separator.join([*cells[:flow], str(value + number % 7), *cells[flow + 1 :]])

    path = tmp_path / "far.csv"
    for value, words in ((20.0, "more than a factor of 3"), (999.0, r"0 whole windows \(out-of-range 640")):
        far = [lines[0], *(with_flow(i, line, value) for i, line in enumerate(lines[1:]))]
        path.write_text("\n".join(far) + "\n")
        with pytest.raises(errors.DataError, match=words):
            derive(data, path, force=False)
    broken = [line if i % 3 else "garbage" for i, line in enumerate(lines[1:])]
    path.write_text("\n".join([lines[0], *broken]) + "\n")
    with pytest.raises(errors.DataError, match="cannot be used"):
        derive(data, path, force=False)
