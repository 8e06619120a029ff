"""A build of convolutional and dense autoencoders, from recordings to bundles, as a person would run it."""

import dataclasses
import json

import pytest

from edge_ad.bundle.bundle import read
from edge_ad.bundle.manifest import decode_manifest, from_json, schema_for, to_json
from edge_ad.errors import BundleManifestError
from edge_ad.toolchain.keras_baseline import benchmark_keras
from tests.helpers import edge_ad, pump_recording

CONFIG = """
window_length = 11
models = ["conv", "dense"]
precisions = ["float32", "int8", "int8-full"]

[training]
epochs = 12
learning_rate = 0.01
"""
VARIANTS = [f"{m}-{precision}" for m in ("conv", "dense") for precision in ("float32", "int8", "int8-full")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("autoencoders")
    for seed, name in ((1, "north"), (2, "south")):
        pump_recording(root / "data" / f"{name}.csv", seed)
    (root / "build.toml").write_text(CONFIG)
    result = edge_ad("build", root / "data", "--config", root / "build.toml", "-o", root / "out", "-j", 1)
    assert result.returncode == 0, result.stderr
    return root


@pytest.fixture(scope="module")
def manifest(built):
    return read(built / "out" / "bundles" / "north.edgead").manifest


def test_all_forms_pass_the_gate(manifest):
    assert manifest.parity_passed
    assert [variant.name for variant in manifest.variants] == VARIANTS
    assert manifest.default_variant == "conv-int8"
    assert {variant.form for variant in manifest.variants} == {"patches", "integer"}
    assert not any(variant.stateful for variant in manifest.variants)
    checked = {check.reference for variant in manifest.variants for check in variant.parity}
    assert checked == {"keras", "oracle", "conv-float32", "dense-float32"}


def test_every_engine_finds_the_golden_scores(built):
    result = edge_ad("verify", built / "out" / "bundles" / "north.edgead", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    for variant in VARIANTS:
        assert variant in result.stdout
    assert "numpy" in result.stdout


@pytest.mark.parametrize("variant", ["conv-int8", "dense-int8-full"])
def test_the_recording_alarms_in_its_fault(built, variant):
    result = edge_ad(
        "run", built / "out" / "bundles" / "north.edgead", built / "data" / "north.csv", "--variant", variant
    )
    assert result.returncode == 0, result.stderr
    alarms = [json.loads(line)["alarm"] for line in result.stdout.splitlines()]
    assert sum(alarms[480:600]) > sum(alarms[:480])


def test_bundle_card_and_page_say_which_kind_it_is(built, manifest):
    assert [(m.kind, m.encoder_units, m.decoder_units) for m in manifest.models] == [
        ("conv", (16, 8), (8, 16)),
        ("dense", (16,), ()),
    ]
    assert manifest.schema == "1.5"
    card = edge_ad("inspect", built / "out" / "bundles" / "north.edgead", "--card").stdout
    assert "Model `conv`: convolutional autoencoder, units 16, 8 and 8, 16, relu, 1528 parameters" in card
    assert "Model `dense`: dense autoencoder, units 16, relu, " in card
    page = edge_ad("report", built / "out", "-o", built / "report.html")
    assert page.returncode == 0, page.stderr
    text = (built / "report.html").read_text()
    assert all(f"{model}-int8" in text for model in ("conv", "dense"))


def test_the_forms_can_be_explained(built):
    result = edge_ad("convert", built / "out", "--explain", "--json")
    assert result.returncode == 0, result.stderr
    found = {entry["file"].rsplit("/", 1)[1]: entry for entry in json.loads(result.stdout)}
    assert found["conv-int8.tflite"]["operators"]["GATHER"] == 4
    assert found["dense-int8.tflite"]["multiply_adds"] == 2 * 11 * 8 * 16


def test_keras_takes_the_same_network(manifest):
    results = benchmark_keras(manifest, windows=1, warmup=1)
    assert [result.variant for result in results] == ["conv", "dense"]


def test_a_fleet_trains_them_one_by_one_to_the_same_models(built, tmp_path):
    arguments = ["--preset", "pump", "--config", built / "build.toml", "--workers", 1]
    result = edge_ad("fleet", "build", built / "data", *arguments, "-o", tmp_path / "fleet")
    assert result.returncode == 0, result.stderr
    for path in sorted((built / "out" / "bundles").iterdir()):
        (other,) = (tmp_path / "fleet" / "bundles").rglob(path.name)
        ours, theirs = read(path), read(other)
        for variant in VARIANTS:
            assert ours.model(variant) == theirs.model(variant)


def test_a_window_that_is_too_short_is_told_before_any_work(built, tmp_path):
    (tmp_path / "short.toml").write_text('window_length = 3\nmodels = ["conv"]\n')
    for how in (["--window", 3, "--models", "conv"], ["--config", tmp_path / "short.toml"]):
        result = edge_ad("train", built / "data", *how, "-o", tmp_path / "out")
        assert result.returncode == 2
        assert "window_length is 3, and the model conv needs at least 4" in result.stderr
        assert not (tmp_path / "out" / "work").exists()


class TestManifest:
    def test_lstm_autoencoders_are_written_as_ever(self, toy_bundle_path):
        manifest = read(toy_bundle_path).manifest
        assert all(model.kind == "lstm" for model in manifest.models)
        assert b'"kind":"lstm"' not in to_json(manifest)
        assert schema_for(manifest) == "1.3"

    def test_other_kinds_survive_their_file(self, manifest):
        again = from_json(to_json(manifest))
        assert again == manifest
        lstm = tuple(dataclasses.replace(model, kind="lstm") for model in manifest.models)
        assert schema_for(dataclasses.replace(manifest, models=lstm)) == "1.3"

    def test_a_kind_that_is_none(self, manifest):
        plain = json.loads(to_json(manifest))
        plain["models"][0]["kind"] = "transformer"
        with pytest.raises(BundleManifestError, match="it can be 'lstm', 'conv', 'dense'"):
            decode_manifest(plain)
