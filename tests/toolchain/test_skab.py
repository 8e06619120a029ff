"""The whole job on the real recordings: SKAB, 34 files, two models, two precisions."""

import json

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.toolchain.workspace import load_arrays
from tests.helpers import edge_ad

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("skab") / "build"
    result = edge_ad("build", "--preset", "skab", shared_data / "skab", "-o", folder, timeout=3000)
    assert result.returncode == 0, result.stderr
    return folder, json.loads((folder / "summary.json").read_text()), result.stdout


def row(summary, model, variant, rule="leaderboard"):
    (found,) = (r for r in summary["rows"] if (r["model"], r["variant"], r["rule"]) == (model, variant, rule))
    return found


def test_quality_is_that_of_the_published_protocol(built):
    _, summary, _ = built
    full, tiny = row(summary, "full", "float32"), row(summary, "tiny", "float32")
    assert 0.735 <= full["f1"] <= 0.765
    assert tiny["f1"] >= 0.73
    assert (full["f1"] - tiny["f1"]) / full["f1"] <= 0.05
    for model in (full, tiny):
        assert abs(row(summary, model["model"], "int8")["f1"] - model["f1"]) <= 0.02
    assert summary["gate_passed"]


def test_what_is_printed_beside_an_f1(built):
    _, summary, table = built
    assert summary["anomalous_share"] == pytest.approx(0.537, abs=0.0005)
    assert summary["always_on_f1"] == pytest.approx(0.698, abs=0.0007)
    assert summary["n_test_rows"] == 23801
    assert summary["unknown_share"] <= 0.005
    for words in ("53.7%", "0.698", "0.660", "0.929", "looks ahead by 8 samples", "never point-adjusted"):
        assert words in table


def test_every_file_is_an_asset(built):
    folder, summary, _ = built
    names = {path.stem for path in (folder / "bundles").iterdir()}
    assert len(names) == 34
    assert {"valve1-0", "valve1-15", "valve2-3", "other-1", "other-14"} <= names
    assert {r["asset"] for r in summary["assets"]} == names


@pytest.mark.parametrize("asset", ["valve1-0", "valve2-3", "other-9"])
@pytest.mark.parametrize("variant", ["tiny-int8", "full-float32"])
def test_a_stream_decides_as_the_evaluation_did(built, shared_data, asset, variant):
    folder, _, _ = built
    recording = shared_data / "skab" / f"{asset.replace('-', '/')}.csv"
    run = edge_ad("run", folder / "bundles" / f"{asset}.edgead", recording, "--variant", variant)
    decisions = [json.loads(line) for line in run.stdout.splitlines()]
    arrays = load_arrays(folder / "work" / asset / f"{variant}.decisions.npz")
    test_rows = decisions[400:]
    assert [d["alarm"] for d in test_rows] == arrays["streaming"].tolist()
    assert [d["state"] == "unknown" for d in test_rows] == arrays["unknown"].tolist()
    scored = np.array([np.nan if d["score"] is None else d["score"] for d in decisions[9:]])
    known = np.isfinite(scored)
    np.testing.assert_array_equal(scored[known], arrays["scores"][known])


def test_bundles_of_real_recordings_verify(built):
    folder, _, _ = built
    for path in (folder / "bundles").iterdir():
        bundle = bundles.read(path)
        assert len(bundle.manifest.variants) == 4
    assert edge_ad("verify", folder / "bundles" / "valve2-0.edgead").returncode == 0
