"""A build with detector heads, from a recording to a bundle, as a person would run it."""

import json

import numpy as np
import pytest

from edge_ad.bundle.bundle import read
from edge_ad.bundle.codec import canonical_json, encode
from edge_ad.runtime.detector import Detector
from edge_ad.toolchain.settings import load_settings
from edge_ad.toolchain.workspace import Workspace, load_arrays
from tests.helpers import edge_ad, pump_recording

CONFIG = """
models = ["tiny"]
activation = "tanh"
fit_share = 0.7

[training]
noise = 0.1
epochs = 3
learning_rate = 0.01

[detector]
fusion = "FUSION"
[[detector.heads]]
kind = "t2"
[[detector.heads]]
kind = "l1"
[[detector.heads]]
kind = "q"
weight = 0.5
[[detector.heads]]
kind = "z-max"
baseline = 3
drifting = ["Temperature", "Thermocouple"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("heads")
    pump_recording(root / "data" / "north.csv", 1)
    return root


def build(root, text):
    (root / "build.toml").write_text(text)
    return edge_ad("build", root / "data", "--config", root / "build.toml", "-o", root / "out", "-j", 1)


@pytest.fixture(scope="module")
def built(folder):
    result = build(folder, CONFIG.replace("FUSION", "max"))
    assert result.returncode == 0, result.stderr
    return folder


def test_float32_and_int8_pass_the_gate(built):
    bundle = read(built / "out" / "bundles" / "north.edgead")
    assert bundle.manifest.parity_passed
    assert [variant.name for variant in bundle.manifest.variants] == ["tiny-float32", "tiny-int8"]
    result = edge_ad("verify", built / "out" / "bundles" / "north.edgead")
    assert result.returncode == 0, result.stdout
    assert bundle.manifest.score == "heads"
    detector = bundle.manifest.models[0].detector
    assert [head.kind for head in detector.heads] == ["t2", "l1", "q", "z-max"]
    assert bundle.manifest.models[0].activation == "tanh"
    names = [channel.name for channel in bundle.manifest.channels]
    assert [n for n, on in zip(names, detector.heads[3].drifting, strict=True) if on] == [
        "Temperature",
        "Thermocouple",
    ]
    for head in encode(detector)["heads"]:
        assert len(canonical_json(head)) <= 2048


def test_the_recording_alarms_in_its_fault_and_names_channels(built):
    bundle = built / "out" / "bundles" / "north.edgead"
    result = edge_ad("run", bundle, built / "data" / "north.csv")
    assert result.returncode == 0, result.stderr
    decisions = list(map(json.loads, result.stdout.splitlines()))
    alarms = [index for index, decision in enumerate(decisions) if decision["state"] == "alarm"]
    assert alarms
    for decision in decisions:
        if decision.get("score") is not None:
            assert sum(decision["contributions"].values()) == pytest.approx(decision["score"], rel=1e-5)


def test_fit_and_limit_windows_share_no_row(built):
    from edge_ad.toolchain.preparation import prepare

    workspace = Workspace(built / "out")
    plan = workspace.load_plan()
    prepared = prepare(workspace.recording(plan, plan.assets[0]), plan)
    length = plan.settings.window_length
    assert prepared.fit[-1] + 2 * length == prepared.limit[0]
    assert len(prepared.fit) == int(len(prepared.train) * 0.7)
    assert set(prepared.limit) <= set(prepared.train)
    limit = read(built / "out" / "bundles" / "north.edgead").manifest.variant("tiny-float32").limit
    assert limit.n_train_windows == len(prepared.limit)
    detector = Detector.load(read(built / "out" / "bundles" / "north.edgead"), "tiny-float32")
    scores = detector.score_windows(
        np.stack([prepared.recording.samples[i : i + length] for i in prepared.limit])
    )
    assert limit.ucl == pytest.approx(np.percentile(scores, 99) * 1.5, rel=1e-6)


def test_every_command_that_shows_a_bundle_knows_its_heads(built):
    bundle = built / "out" / "bundles" / "north.edgead"
    shown = edge_ad("inspect", bundle)
    assert shown.returncode == 0, shown.stderr
    assert "max of t2 of window-mean | l1 of residual | q of residual, weight 0.5" in shown.stdout
    card = edge_ad("inspect", bundle, "--card").stdout
    assert "max of t2 of window-mean" in card
    assert edge_ad("diff", bundle, bundle).returncode == 0
    page = edge_ad("report", built / "out", "-o", built / "report.html")
    assert page.returncode == 0, page.stderr


FOLLOWS = """
models = ["tiny"]
fit_share = 0.7
[training]
epochs = 1
[[detector.heads]]
kind = "t2"
of = "window-moments"
covariance = "per-channel"
follow = 200
follow_below = 0.8
[[detector.heads]]
kind = "l1"
"""


def test_a_head_that_follows_goes_through_the_whole_chain(folder, tmp_path):
    """Gate, bundle, report and evaluation are of one mind of what a stream decides."""
    (tmp_path / "build.toml").write_text(FOLLOWS)
    arguments = ["--config", tmp_path / "build.toml", "-o", tmp_path / "out", "-j", 1]
    result = edge_ad("build", folder / "data", *arguments)
    assert result.returncode == 0, result.stderr
    path = tmp_path / "out" / "bundles" / "north.edgead"
    manifest = read(path).manifest
    assert (manifest.schema, manifest.parity_passed) == ("1.5", True)
    head = manifest.models[0].detector.heads[0]
    assert (head.follow.samples, head.follow.below, len(head.follow.reach)) == (200, 0.8, 16)
    assert "center follows in 200 samples" in edge_ad("inspect", path).stdout
    assert edge_ad("verify", path).returncode == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    evaluated = edge_ad("evaluate", folder / "data", "--build", tmp_path / "out", "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    figures = {
        (scope["detector"], scope["rule"]): scope["figures"]
        for scope in json.loads(evaluated.stdout)["scopes"]
        if scope["scope"] == "all"
    }
    for row in summary["rows"]:
        if row["variant"] == "int8":
            found = figures["tiny-int8", row["rule"]]
            assert [found[name]["median"] for name in ("f1", "far", "mar")] == [
                row["f1"],
                row["far"],
                row["mar"],
            ]
    # the network's own decisions, which the gate holds the forms against, are of a stream as well
    arrays = load_arrays(tmp_path / "out" / "work" / "north" / "tiny.keras.npz")
    ours = load_arrays(tmp_path / "out" / "work" / "north" / "tiny-float32.decisions.npz")
    whole = np.isfinite(arrays["streamed"])
    assert np.abs(arrays["streamed"] - arrays["scores"])[whole].max() > 0.01
    np.testing.assert_allclose(ours["streamed"][whole], arrays["streamed"][whole], rtol=1e-3)
    page = edge_ad("report", tmp_path / "out", "-o", tmp_path / "report.html")
    assert page.returncode == 0, page.stderr


def test_other_heads_and_limits_need_no_new_training(built):
    budget = '[limit]\nkind = "conformal"\nbudget = "1 per week"\n\n[detector]'
    text = CONFIG.replace("FUSION", "sum").replace("[detector]", budget, 1)
    result = build(built, text)
    assert result.returncode == 0, result.stderr
    assert "tiny: weights kept, " in result.stderr
    path = built / "out" / "bundles" / "north.edgead"
    manifest = read(path).manifest
    assert manifest.models[0].detector.fusion == "sum"
    limit = manifest.variant().limit
    assert (limit.budget.kind, limit.budget.budget) == ("conformal", "1 per week")
    assert limit.ucl == limit.score_quantiles[-1]  # too few to leave any out
    doubt = "cannot promise 1 per week: they support no less than one false alarm in "
    for shown in (result.stdout, edge_ad("inspect", path).stdout, edge_ad("inspect", path, "--card").stdout):
        assert doubt in shown
        assert "takes 6,047,990 rows of normal operation, 70 days" in shown


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('kind = "q"', 'kind = "mse"'), "it can be 'l1', 't2', 'q', 'z-max'"),
        (('"Temperature"', '"Temprature"'), "no channel is called 'Temprature'; there are: Acc"),
        (("baseline = 3", "baseline = 10"), "leaves nothing of a window of 10"),
        (("fit_share = 0.7", "fit_share = 0.99"), "0 for the limit, at least 20 are needed"),
        (("fit_share = 0.7", "fit_share = 0.0"), "fit_share must lie above 0"),
        (("FUSION", "mean"), "it can be 'max', 'sum'"),
    ],
)
def test_settings_that_do_not_fit_end_before_any_work(folder, tmp_path, change, message):
    (tmp_path / "build.toml").write_text(CONFIG.replace(*change).replace("FUSION", "max"))
    arguments = ["--config", tmp_path / "build.toml", "-o", tmp_path / "out"]
    result = edge_ad("train", folder / "data", *arguments)
    assert result.returncode in (2, 5)
    assert message in result.stderr
    assert not (tmp_path / "out" / "work").exists()


def test_settings_survive_their_file(tmp_path):
    from edge_ad.toolchain.settings import SKAB_BEST_SETTINGS

    path = tmp_path / "build.toml"
    path.write_text('[detector]\nfusion = "sum"\n')
    settings = load_settings(path, SKAB_BEST_SETTINGS)
    assert settings.detector.heads == SKAB_BEST_SETTINGS.detector.heads
    assert settings.detector.fusion == "sum"
