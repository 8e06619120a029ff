"""The build as its users see it: folders, files, exit codes."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.toolchain.workspace import Workspace
from tests.helpers import COMMAND, edge_ad, pump_recording, snapshot

VARIANTS = ["full-float32", "full-int8", "tiny-float32", "tiny-int8"]


@pytest.fixture(scope="module")
def summary(small_build):
    root, _, _ = small_build
    return json.loads((root / "build" / "summary.json").read_text())


def test_bundles_are_named_after_their_recordings(small_build):
    root, _, _ = small_build
    names = sorted(path.name for path in (root / "build" / "bundles").iterdir())
    assert names == ["north.edgead", "south.edgead"]


def test_a_bundle_says_all_that_a_device_needs(small_build):
    root, _, _ = small_build
    manifest = bundles.read(root / "build" / "bundles" / "north.edgead").manifest
    assert manifest.asset == "north"
    assert [variant.name for variant in manifest.variants] == VARIANTS
    assert manifest.default_variant == "tiny-int8"
    assert (manifest.window_length, len(manifest.channels), manifest.largest_gap_s) == (10, 8, 5.5)
    assert manifest.parity_passed
    assert not manifest.unchecked
    assert all(variant.parity for variant in manifest.variants)
    assert all(len(variant.evaluation) == 2 for variant in manifest.variants)
    assert manifest.provenance.train_rows == 400
    assert manifest.provenance.versions["tensorflow"].startswith("2.21")


def test_the_summary_has_a_row_per_model_variant_and_rule(summary):
    rows = {(row["model"], row["variant"], row["rule"]) for row in summary["rows"]}
    precisions, rules = ("float32", "int8"), ("leaderboard", "streaming")
    assert rows == {(m, v, r) for m in ("full", "tiny") for v in precisions for r in rules}
    assert len(summary["assets"]) == 2 * len(rows)
    assert {row["asset"] for row in summary["assets"]} == {"north", "south"}
    for row in summary["rows"] + summary["assets"]:
        for key in ("f1", "far", "mar"):
            assert row[key] is None or 0 <= row[key] <= 1
        assert row["size_bytes"] > 1000
        assert row["latency_p50_us"] > 0
    assert summary["gate_passed"] is True


def test_the_summarys_figures_are_the_streams(small_build, summary):
    """What `edge-ad run` decides on a recording, counted against its labels by hand."""
    root, _, _ = small_build
    for asset in ("north", "south"):
        csv = root / "data" / f"{asset}.csv"
        labels = [int(line.split(";")[9]) for line in csv.read_text().splitlines()[1:]][400:]
        for model, precision in (("tiny", "int8"), ("full", "float32")):
            bundle = root / "build" / "bundles" / f"{asset}.edgead"
            run = edge_ad("run", bundle, csv, "--variant", f"{model}-{precision}")
            alarms = [json.loads(line)["alarm"] for line in run.stdout.splitlines()][400:]
            hits = sum(1 for label, alarm in zip(labels, alarms, strict=True) if label and alarm)
            (row,) = (
                r
                for r in summary["assets"]
                if (r["asset"], r["model"], r["variant"], r["rule"]) == (asset, model, precision, "streaming")
            )
            assert row["f1"] == pytest.approx(2 * hits / (sum(labels) + sum(alarms)))
            assert row["mar"] == pytest.approx(1 - hits / sum(labels))


def test_the_table_is_printed_with_its_caveats(small_build, summary):
    _, _, result = small_build
    assert result.stdout.splitlines()[0].split()[:4] == ["model", "variant", "rule", "F1"]
    for caveat in summary["caveats"]:
        assert f"* {caveat}" in result.stdout
    assert "always-on alarm scores F1" in result.stdout
    assert "simulated" not in result.stderr


def test_progress_is_plain_lines_where_nobody_watches(small_build):
    _, _, result = small_build
    lines = [line for line in result.stderr.splitlines() if line.startswith(("train", "convert", "evaluate"))]
    assert len(lines) == 4 + 8 + 8
    assert "\x1b" not in result.stderr


def test_the_same_build_gives_the_same_bytes(small_build, tmp_path):
    root, arguments, _ = small_build
    assert edge_ad(*arguments, tmp_path / "build").returncode == 0
    ours, theirs = snapshot(root / "build" / "bundles"), snapshot(tmp_path / "build" / "bundles")
    assert ours == theirs


def test_an_asset_is_trained_alike_alone_and_among_others(small_build, tmp_path):
    root, arguments, _ = small_build
    alone = tmp_path / "data"
    alone.mkdir()
    shutil.copy(root / "data" / "south.csv", alone)
    result = edge_ad("build", alone, *arguments[2:], tmp_path / "build", "-j", 1)
    assert result.returncode == 0, result.stderr
    one = bundles.read(tmp_path / "build" / "bundles" / "south.edgead")
    many = bundles.read(root / "build" / "bundles" / "south.edgead")
    for variant in VARIANTS:
        assert one.model(variant) == many.model(variant)


def test_building_again_does_nothing_twice(small_build, build_copy):
    _, arguments, _ = small_build
    before = snapshot(build_copy)
    result = edge_ad(*arguments, build_copy)
    assert result.returncode == 0, result.stderr
    assert "train: 4 already done" in result.stderr
    assert "evaluate: 8 already done" in result.stderr
    assert snapshot(build_copy) == before


def test_the_steps_one_by_one_are_the_build(small_build, tmp_path):
    root, arguments, _ = small_build
    folder = tmp_path / "build"
    assert edge_ad("train", *arguments[1:], folder).returncode == 0
    for step in ("convert", "evaluate", "report", "gate", "pack"):
        result = edge_ad(step, folder)
        assert result.returncode == 0, result.stderr
    assert snapshot(folder / "bundles") == snapshot(root / "build" / "bundles")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("convert", "holds no usable build.json: run 'edge-ad train'"),
        ("pack", "holds no usable build.json"),
    ],
)
def test_a_step_on_a_folder_that_is_no_build(tmp_path, step, words):
    result = edge_ad(step, tmp_path)
    assert result.returncode == 2
    assert words in result.stderr


def test_a_step_before_its_turn(small_build, tmp_path):
    _, arguments, _ = small_build
    workspace = tmp_path / "build"
    result = edge_ad("train", *arguments[1:], workspace)
    assert result.returncode == 0, result.stderr
    for missing, steps in (
        ("convert", ("evaluate", "gate", "report", "pack")),
        ("evaluate", ("gate", "report", "pack")),
        ("gate", ("pack",)),
    ):
        for step in steps:
            result = edge_ad(step, workspace)
            assert result.returncode == 2
            assert f"run 'edge-ad {missing} {workspace}' first" in result.stderr
        assert edge_ad(missing, workspace).returncode == 0


def test_changed_settings_redo_what_depends_on_them(small_build, build_copy):
    _, arguments, _ = small_build
    result = edge_ad(*arguments, build_copy, "--consecutive", 5)
    assert "train: 4 already done" in result.stderr
    assert "convert: 8 already done" in result.stderr
    assert "evaluate 8/8" in result.stderr
    manifest = bundles.read(build_copy / "bundles" / "north.edgead").manifest
    assert manifest.alarm_rule.k == 5


@pytest.mark.parametrize("change", [["--consecutive", 8], ["--seed", 3], ["--window", 12]])
def test_nothing_is_packed_or_judged_by_what_was_made_for_another_plan(small_build, build_copy, change):
    _, arguments, _ = small_build
    before = snapshot(build_copy / "bundles")
    assert edge_ad("train", *arguments[1:], build_copy, *change).returncode == 0
    for step in ("pack", "gate", "report"):
        result = edge_ad(step, build_copy)
        assert result.returncode == 2
        assert "does not fit the plan: run 'edge-ad" in result.stderr
    assert snapshot(build_copy / "bundles") == before


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tiny.weights.npz", "cut"),
        ("tiny.keras.npz", "gone"),
        ("tiny-int8.tflite", "foreign"),
        ("tiny-int8.decisions.npz", "cut"),
        ("full.training.json", "foreign"),
    ],
)
def test_a_damaged_work_file_is_made_again(small_build, build_copy, name, damage):
    root, arguments, _ = small_build
    path = build_copy / "work/north" / name
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        shutil.copy(build_copy / "work/south" / name, path)
    result = edge_ad(*arguments, build_copy)
    assert result.returncode == 0, result.stderr
    assert snapshot(build_copy / "bundles") == snapshot(root / "build/bundles")


def test_a_damaged_file_is_named_and_not_the_record_beside_it(build_copy):
    path = build_copy / "work/north/tiny.weights.npz"
    path.write_bytes(path.read_bytes()[:-40])
    result = edge_ad("convert", build_copy)
    assert result.returncode == 2
    assert f"{path} is damaged, or was changed since: run 'edge-ad train" in result.stderr
    assert "training.json" not in result.stderr


def test_two_builds_in_one_folder(small_build, tmp_path):
    _, arguments, _ = small_build
    command = [*COMMAND, *map(str, arguments), str(tmp_path / "build")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        wait_for(process.stderr, "train 1/4")
        second = edge_ad(*arguments, tmp_path / "build")
        assert second.returncode == 1
        assert "another edge-ad is at work" in second.stderr
        process.stderr.read()
        assert process.wait(120) == 0


def test_a_recording_that_changed_since_is_not_mixed_in(small_build, build_copy, tmp_path):
    plan = Workspace(build_copy).load_plan()
    moved = pump_recording(tmp_path / "north.csv", 9)
    assets = tuple(
        dataclasses.replace(asset, file=str(moved)) if asset.name == "north" else asset
        for asset in plan.assets
    )
    Workspace(build_copy).save_plan(dataclasses.replace(plan, assets=assets))
    result = edge_ad("gate", build_copy)
    assert result.returncode == 5
    assert "has changed since this build began" in result.stderr


class TestGate:
    STRICT = "[gate.quantization]\nmin_agreement = 1.1\n"

    @pytest.fixture
    def strict(self, small_build, tmp_path):
        """Arguments of a build whose int8 variants can never agree enough."""
        root, arguments, _ = small_build
        config = tmp_path / "strict.toml"
        config.write_text((root / "build.toml").read_text() + self.STRICT)
        return [*arguments[:2], "--config", config, "-o"]

    def test_a_failed_gate_writes_no_bundle(self, strict, build_copy):
        shutil.rmtree(build_copy / "bundles")
        result = edge_ad(*strict, build_copy)
        assert result.returncode == 4
        assert not (build_copy / "bundles").exists()
        start = "tiny-int8 against tiny-float32: agreement"
        line = next(text for text in result.stderr.splitlines() if text.startswith(start))
        assert "below the least allowed 1.1" in line
        assert "--allow-unchecked" in result.stderr
        # the figures are there all the same
        assert json.loads((build_copy / "summary.json").read_text())["gate_passed"] is False

    def test_a_failed_gate_leaves_older_bundles_alone(self, strict, build_copy):
        before = snapshot(build_copy / "bundles")
        assert edge_ad(*strict, build_copy).returncode == 4
        assert edge_ad("gate", build_copy).returncode == 4
        assert edge_ad("pack", build_copy).returncode == 4
        assert snapshot(build_copy / "bundles") == before

    def test_a_bundle_on_request_says_what_it_is(self, strict, build_copy, tmp_path):
        assert edge_ad(*strict, build_copy, "--allow-unchecked").returncode == 0
        manifest = bundles.read(build_copy / "bundles" / "north.edgead").manifest
        assert manifest.unchecked
        assert not manifest.parity_passed
        failed = [c for v in manifest.variants for c in v.parity if not c.passed]
        assert {c.figure for c in failed} == {"agreement"}
        assert "unchecked" in edge_ad("inspect", build_copy / "bundles" / "north.edgead").stdout.lower()

    def test_a_verdict_on_other_models_does_not_count(self, small_build, build_copy):
        _, arguments, _ = small_build
        result = edge_ad("train", *arguments[1:], build_copy, "--seed", 5)
        assert result.returncode == 0, result.stderr
        for step in ("convert", "evaluate"):
            assert edge_ad(step, build_copy).returncode == 0
        before = snapshot(build_copy / "bundles")
        result = edge_ad("pack", build_copy)
        assert result.returncode == 2
        assert "the parity gate has not judged these models" in result.stderr
        assert snapshot(build_copy / "bundles") == before

    def test_a_wrong_conversion_is_caught(self, build_copy):
        """A float32 model of one asset in the place of another's."""
        shutil.copy(build_copy / "work/north/tiny-float32.tflite", build_copy / "work/south")
        theirs, ours = (build_copy / f"work/{n}/tiny-float32.conversion.json" for n in ("north", "south"))
        record = json.loads(ours.read_text())
        record["files"] = json.loads(theirs.read_text())["files"]
        ours.write_text(json.dumps(record))
        assert edge_ad("evaluate", build_copy).returncode == 0
        result = edge_ad("gate", build_copy)
        assert result.returncode == 4
        assert "tiny-float32 against keras: max_score_error" in result.stderr


def test_chosen_variants(small_build, build_copy):
    _, arguments, _ = small_build
    assert edge_ad(*arguments, build_copy, "--variants", "tiny-int8,full-float32").returncode == 0
    bundle = bundles.read(build_copy / "bundles" / "north.edgead")
    assert [v.name for v in bundle.manifest.variants] == ["full-float32", "tiny-int8"]
    assert [m.name for m in bundle.manifest.models] == ["full", "tiny"]
    result = edge_ad("pack", build_copy, "--variants", "tiny-int8")
    assert result.returncode == 0, result.stderr
    bundle = bundles.read(build_copy / "bundles" / "north.edgead")
    assert [v.name for v in bundle.manifest.variants] == ["tiny-int8"]
    result = edge_ad("pack", build_copy, "--variants", "tiny-int4")
    assert result.returncode == 2
    assert "no variant 'tiny-int4' in this build; there are: full-float32" in result.stderr


def wait_for(stream, start):
    """Read lines until one starts as told."""
    for line in stream:
        if line.startswith(start):
            return line
    pytest.fail(f"the build ended before a line {start!r}")


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_an_interrupted_build_goes_on_where_it_stopped(small_build, tmp_path, number, code):
    root, arguments, _ = small_build
    folder = tmp_path / "build"
    command = [*COMMAND, *map(str, arguments), str(folder)]
    # A session of its own, so that the signal reaches the workers as Ctrl-C on a terminal does.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(process.stderr, "train 2/4")
        children = children_of(process.pid)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(60) == code
        deadline = time.monotonic() + 60
        while any(alive(pid) for pid in children):
            assert time.monotonic() < deadline, "a worker outlived the build"
            time.sleep(0.1)
    result = edge_ad(*arguments, folder)
    assert result.returncode == 0, result.stderr
    done = next(line for line in result.stderr.splitlines() if "already done" in line)
    assert int(done.split()[1]) >= 2
    assert snapshot(folder / "bundles") == snapshot(root / "build" / "bundles")


def test_recordings_without_labels(small_build, tmp_path):
    root, _, _ = small_build
    path = tmp_path / "unlabelled.csv"
    lines = (root / "data" / "north.csv").read_text().splitlines()
    path.write_text("\n".join(";".join(line.split(";")[:9]) for line in lines) + "\n")
    config = root / "build.toml"
    result = edge_ad(
        "build",
        path,
        "--preset",
        "pump",
        "--config",
        config,
        "-o",
        tmp_path / "build",
        "--models",
        "tiny",
        "--epochs",
        2,
    )
    assert result.returncode == 0, result.stderr
    assert "no labels" in result.stdout
    summary = json.loads((tmp_path / "build" / "summary.json").read_text())
    assert [row["f1"] for row in summary["rows"]] == [None] * 4
    manifest = bundles.read(tmp_path / "build" / "bundles" / "unlabelled.edgead").manifest
    assert all(variant.evaluation == () for variant in manifest.variants)


def test_speed_optimized_variants_run_as_well(small_build, build_copy):
    _, arguments, _ = small_build
    result = edge_ad(*arguments, build_copy, "--optimize", "speed")
    assert result.returncode == 0, result.stderr
    bundle = bundles.read(build_copy / "bundles" / "north.edgead")
    assert not any(variant.stateful for variant in bundle.manifest.variants)
    assert edge_ad("verify", build_copy / "bundles" / "north.edgead").returncode == 0


def test_golden_windows_are_real_rows(small_build):
    root, _, _ = small_build
    bundle = bundles.read(root / "build" / "bundles" / "north.edgead")
    rows = [line.split(";")[1:9] for line in (root / "data" / "north.csv").read_text().splitlines()[1:]]
    recorded = {tuple(row) for row in np.array(rows, np.float64).astype(np.float32).tolist()}
    windows = bundle.golden_windows()
    assert len(windows) == 16
    assert all(tuple(row) in recorded for window in windows.tolist() for row in window)
