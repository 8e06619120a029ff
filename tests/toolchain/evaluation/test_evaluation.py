"""`edge-ad evaluate` on a real build of the simulated pump, on the toy bundle, and on what cannot be used."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.manifest import BudgetEntry
from edge_ad.cli.progress import PlainProgress
from edge_ad.detect.episodes import EpisodeTracker
from edge_ad.detect.heads import Head, Heads
from edge_ad.detect.rules import leaderboard_flags
from edge_ad.errors import BundleError, ConfigurationError, DataError
from edge_ad.runtime.detector import Detector
from edge_ad.toolchain.datasets.fetch import skab_files
from edge_ad.toolchain.datasets.formats import PUMP, SKAB, TrainSpan
from edge_ad.toolchain.datasets.recording import read_recording
from edge_ad.toolchain.evaluation.document import document, markdown, text
from edge_ad.toolchain.evaluation.evaluation import Wanted, evaluate_bundles
from edge_ad.toolchain.evaluation.examine import Examined
from edge_ad.toolchain.evaluation.inputs import (
    Run,
    Source,
    choose_reading,
    open_build,
    open_bundle,
    open_bundles,
)
from edge_ad.toolchain.evaluation.judging import judge_recording
from edge_ad.toolchain.evaluation.protocol import choices, evaluation_caveats
from edge_ad.toolchain.evaluation.seeds import make, seeded_builds
from edge_ad.toolchain.evaluation.tally import LabelledRows, tally
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.report.summary import limit_caveats
from edge_ad.toolchain.settings import ProtocolSettings
from tests.helpers import edge_ad, pump_recording, snapshot

DATA = Path(__file__).parents[2] / "data"


def evaluated(data, *runs, beside=(), **wanted):
    return evaluate_bundles(data, runs, Wanted(**wanted), 1, PlainProgress(), beside)


@pytest.fixture(scope="module")
def grouped(small_build, tmp_path_factory):
    """The recordings of the small build, in folders of their own, as its assets are not called."""
    root, _, _ = small_build
    data = tmp_path_factory.mktemp("grouped")
    for group, name in (("valve", "north"), ("cavitation", "south")):
        (data / group).mkdir()
        shutil.copy(root / "data" / f"{name}.csv", data / group / "0.csv")
    return data


@pytest.fixture(scope="module")
def small(small_build, grouped):
    root, _, _ = small_build
    run = open_build(root / "build")
    return evaluated(grouped, run, labels_of=("valve",), chosen_on="a guess")


def test_the_figures_are_those_of_the_build(small_build, small):
    root, _, _ = small_build
    summary = json.loads((root / "build" / "summary.json").read_text())
    rows = {(row["model"] + "-" + row["variant"], row["rule"]): row for row in summary["rows"]}
    assert small.variant == "tiny-int8"
    assert [found.name for found in small.detectors if not found.is_baseline] == ["tiny-int8", "full-int8"]
    for detector in ("tiny-int8", "full-int8"):
        for rule in ("leaderboard", "streaming"):
            figures = small.scope("all", detector, rule)
            for name in ("f1", "far", "mar"):
                assert figures[name].median == rows[detector, rule][name], (detector, rule, name)
    assets = {(row["asset"], row["rule"]): row["f1"] for row in summary["assets"] if row["model"] == "tiny"}
    by_file = {"valve-0": "north", "cavitation-0": "south"}
    for asset in small.detectors[0].runs[0].assets:
        for rule, result in asset.rules.items():
            assert result.figures.f1 == assets[by_file[asset.asset], rule]
    assert f"{summary['always_on_f1']:.3f}" in text(small)
    assert small.scope("all", "always on", "streaming")["f1"].median == summary["always_on_f1"]
    assert set(summary["caveats"]) == set(small.caveats)


def test_groups_and_what_was_chosen_on_them(small):
    assert small.groups == ("cavitation", "valve")
    assert small.untouched == ("cavitation",)
    assert small.scope("untouched", "T² alone", "streaming") == small.scope(
        "cavitation", "T² alone", "streaming"
    )
    raw = [
        asset.rules["streaming"].raw.counts
        for asset in small.detectors[0].runs[0].assets
        if asset.group == "valve"
    ]
    assert small.scope("valve", "tiny-int8", "streaming")["f1"].median == raw[0].f1
    assert any("a guess" in line for line in small.choices)
    assert any("Labels of valve" in line for line in small.choices)


def test_baselines_stand_beside(small):
    names = [found.name for found in small.detectors if found.is_baseline]
    assert names == ["always on", "position alone", "no model", "isolation forest", "T² alone"]
    position = small.scope("all", "position alone", "streaming")["f1"].median
    # the fault comes at the same time in each of them; of 640 rows, 600 places are tried
    assert 0.98 < position <= 1.0
    assert small.scope("all", "always on", "leaderboard")["on_before"].median == 1.0


def test_the_text_names_every_detector_and_caveat(small):
    shown = text(small)
    for found in small.detectors:
        assert found.name in shown
    for line in (*small.caveats, *small.choices):
        assert f"* {line}" in shown
    assert "valve-0" in shown


def test_the_markdown_has_tables_of_equal_rows(small):
    lines = [line for line in markdown(small).splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in lines}
    assert len(lines) > 20
    assert widths <= {7 + 1, 8, 9}
    assert document(small, ".md").decode() == markdown(small)


def test_the_page_holds_what_the_text_does(small):
    page = document(small, ".html").decode()
    assert "T² alone" in page
    assert page.count("<table") >= 5
    assert "valve-0" in page
    with pytest.raises(ConfigurationError, match=r"\.html or \.md"):
        document(small, ".pdf")


def test_seeds_give_median_and_range(small_build, grouped, tmp_path):
    root, _, _ = small_build
    other = tmp_path / "other"
    shutil.copytree(root / "build", other)
    plan = json.loads((other / "build.json").read_text())
    plan["settings"]["training"]["seed"] = 7
    (other / "build.json").write_text(json.dumps(plan))
    # the bundles change places, so that the two differ
    north, south = (other / "bundles" / f"{name}.edgead" for name in ("north", "south"))
    content = north.read_bytes(), south.read_bytes()
    data = tmp_path / "data"
    shutil.copytree(root / "data", data)
    north.write_bytes(content[1])
    south.write_bytes(content[0])
    runs = [open_build(root / "build"), open_build(other)]
    found = evaluated(data, *runs, with_baselines=False)
    assert [run.seed for run in found.detectors[0].runs] == [0, 7]
    each = [
        evaluated(data, run, with_baselines=False).scope("all", "tiny-int8", "streaming")["far"].median
        for run in runs
    ]
    far = found.scope("all", "tiny-int8", "streaming")["far"]
    assert (far.low, far.high, far.n) == (min(each), max(each), 2)
    assert far.median == pytest.approx(sum(each) / 2)
    assert each[0] != each[1]
    assert "–" in text(found)
    with pytest.raises(ConfigurationError, match="both have the seed 0"):
        evaluated(data, runs[0], runs[0])
    plan["settings"]["limit"]["factor"] = 2.0
    (other / "build.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigurationError, match="differ in more than their seeds: limit"):
        evaluated(data, runs[0], open_build(other))


def test_judging_is_what_a_stream_decides(toy_bundle_path, toy_csv):
    bundle = bundles.read(toy_bundle_path)
    length = bundle.manifest.window_length
    recording = read_recording(
        toy_csv, PUMP.__class__(PUMP.channels, TrainSpan(rows=30), PUMP.input, PUMP.label_column), "toy"
    )
    judged = judge_recording(Detector.load(bundle), recording, length)
    stream = Detector.load(bundle)
    decisions = [
        stream.push(sample, time)
        for sample, time in zip(recording.samples, recording.times.tolist(), strict=True)
    ]
    assert judged.alarms["streaming"].on.tolist() == [decision.alarm for decision in decisions[30:]]
    assert judged.n_unknown == sum(decision.score is None for decision in decisions[30:])
    assert 0 < judged.n_unknown < 60
    # the leaderboard rule scores windows across the gap as well, but none without all its values
    windows = [recording.samples[i : i + length] for i in range(len(recording) - length + 1)]
    scores = np.array(
        [np.nan if np.isnan(w).any() else stream.score_windows(w[np.newaxis])[0] for w in windows]
    )
    expected = leaderboard_flags(scores[30:] > stream.ucl, length, len(recording) - 30)
    assert judged.alarms["leaderboard"].on.tolist() == expected.tolist()
    assert expected.any()


@pytest.mark.parametrize("hold_off_s", [0.0, 4.0, 30.0])
def test_episodes_are_those_that_a_device_counts(hold_off_s, toy_bundle_path, toy_csv):
    """Not one more for rows that could not be scored, nor for an alarm within the hold-off."""
    bundle = bundles.read(toy_bundle_path)
    rule = replace(bundle.manifest.alarm_rule, hold_off_s=hold_off_s, k=1)
    # a limit that is crossed to and fro
    limits = tuple(
        replace(v, limit=replace(v.limit, ucl=v.limit.ucl * 0.8)) for v in bundle.manifest.variants
    )
    bundle = replace(bundle, manifest=replace(bundle.manifest, alarm_rule=rule, variants=limits))
    recording = read_recording(toy_csv, replace(PUMP, train=TrainSpan(rows=12)), "toy")
    judged = judge_recording(Detector.load(bundle), recording, bundle.manifest.window_length, hold_off_s)
    names = [channel.name for channel in bundle.manifest.channels]
    tracker = EpisodeTracker(names, [severity.name for severity in rule.severities], hold_off_s)
    for decision in Detector.load(bundle).replay(recording.samples, recording.times):
        tracker.update(decision)
    rows = LabelledRows(recording.times[12:], recording.labels[12:], None, 1.0)
    assert tally(rows, judged.alarms["streaming"]).n_episodes == tracker.count > 0


def test_a_budget_that_is_not_kept_is_said(toy_bundle_path, tmp_path):
    manifest = bundles.read(toy_bundle_path).manifest
    limit = manifest.variant().limit
    assert limit_caveats(manifest.sampling, [limit]) == []
    promised = replace(
        limit, budget=BudgetEntry("gpd", "1 per year", 0.1, "no tail could be fitted: too few")
    )
    examined = replace(EXAMINED, limits={(tmp_path, "tiny-int8"): promised})
    told = evaluation_caveats(
        None, None, PUMP, manifest, [examined], Confusion(1, 1, 1, 1), unknown_share=0, n_unlabelled=0
    )
    assert told[0] == "1 of 1 limits: no tail could be fitted: too few."
    assert "cannot promise 1 per year" in told[1]


EXAMINED = Examined(Source("a", "", Path("a.csv")), None, 400, 0, {}, learned_rows=400)
OTHER = replace(EXAMINED, learned_rows=None)
NO_NETWORK = Heads((Head("t2", "window-mean", center=(0.0,), root=((1.0,),)),))


@pytest.mark.parametrize(
    ("judged", "n_rows", "words"),
    [
        ([EXAMINED, EXAMINED], 400, "on the first 400 rows of its recording, which count as normal"),
        ([EXAMINED], None, "on the train span of its recording, which count as normal"),
        ([OTHER, OTHER], 400, "on other recordings than those judged here"),
        ([EXAMINED, OTHER, OTHER], 400, "2 of the 3 recordings are judged by a bundle from another"),
    ],
)
def test_what_a_bundle_was_made_from_is_said_of_its_own_recording_only(judged, n_rows, words):
    span = TrainSpan(rows=n_rows) if n_rows else TrainSpan(until="2026-01-02")
    told = choices(
        ProtocolSettings(), replace(PUMP, train=span), judged, [Run("a", {})], "sum", with_position=False
    )
    assert words in told[0]
    assert ("first 400 rows" in told[0]) == (n_rows == 400 and EXAMINED in judged)


def test_other_seeds_are_spoken_of_where_there_are_any(small_build):
    root, _, _ = small_build
    build, bundle = open_build(root / "build"), Run("pump.edgead", {})

    def told(scoring, *runs):
        return " ".join(choices(ProtocolSettings(), PUMP, [EXAMINED], runs, scoring, with_position=False))

    assert "with other seeds the figures would be others" in told("sum", build)
    assert "other seeds" not in told("sum", bundle)
    assert "2 builds that differ by their seeds alone" in told("sum", build, build)
    for runs in ([build], [bundle], [build, build]):
        assert "all seeds have these figures" in told(NO_NETWORK, *runs)
        assert "would be others" not in told(NO_NETWORK, *runs)
        assert "all seeds have" not in told("mean", *runs)


def test_caveats_of_the_published_recordings_are_for_these_alone():
    own = replace(EXAMINED, digest=skab_files()[0].sha256)
    manifest = bundles.read(DATA / "toy.edgead").manifest

    def told(examined, window_length=10):
        changed = replace(manifest, window_length=window_length)
        return " ".join(
            evaluation_caveats(
                None, "skab", SKAB, changed, examined, Confusion(1, 1, 1, 1), unknown_share=0, n_unlabelled=0
            )
        )

    assert "mean |z| with no model at all scores F1 0.660" in told([own, own])
    assert "0.929" in told([own])
    assert "0.660" not in told([own], window_length=15)
    assert "0.929" in told([own], window_length=15)
    assert "SKAB" not in told([own, EXAMINED])


def test_bundles_that_belong_to_no_recording_are_mentioned(small_build, tmp_path):
    root, _, _ = small_build
    alone = tmp_path / "south.csv"
    shutil.copy(root / "data" / "south.csv", alone)
    found = evaluated(alone, open_bundles(root / "build" / "bundles"), with_baselines=False)
    (note,) = [line for line in found.caveats if line.startswith("Bundles of")]
    assert note.endswith("belong to no recording here and were not judged: 1 of 2 (north).")
    whole = evaluated(root / "data", open_bundles(root / "build" / "bundles"), with_baselines=False)
    assert not any(line.startswith("Bundles of") for line in whole.caveats)


def test_other_seeds_are_trained_below_the_build(build_copy, small_build):
    root, _, _ = small_build
    plan = json.loads((build_copy / "build.json").read_text())
    plan["assets"] = plan["assets"][:1]
    plan["settings"]["training"] |= {"epochs": 1}
    plan["settings"] |= {"models": ["tiny"], "precisions": ["float32"]}
    (build_copy / "build.json").write_text(json.dumps(plan))
    builds = seeded_builds(build_copy, 3)
    assert [build.seed for build in builds] == [0, 1, 2]
    assert [build.workspace.root for build in builds[1:]] == [build_copy / "seeds" / n for n in "12"]
    for build in builds[1:]:
        make(build, 1, PlainProgress())
    one, two = (open_build(build.workspace.root) for build in builds[1:])
    found = evaluated(root / "data" / "north.csv", one, two, with_baselines=False)
    assert [run.seed for run in found.detectors[0].runs] == [1, 2]
    first, second = (open_bundle(run.bundles["north"]).manifest for run in (one, two))
    assert first.provenance.seed == 1
    assert first.members != second.members  # other weights
    before = snapshot(build_copy / "seeds" / "1")
    make(builds[1], 1, PlainProgress())
    assert snapshot(build_copy / "seeds" / "1") == before
    plan["settings"]["detector"] = {"heads": [{"kind": "t2"}]}
    (build_copy / "build.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigurationError, match=r"all seeds have the same figures; leave it out"):
        seeded_builds(build_copy, 3)


def test_other_bundles_stand_beside(small_build, toy_bundle_path):
    root, _, _ = small_build
    toy, build = open_bundles(toy_bundle_path), open_build(root / "build")
    found = evaluated(root / "data", toy, beside=[build], with_baselines=False)
    names = [detector.name for detector in found.detectors]
    assert names == ["tiny-int8", f"tiny-int8 of {root / 'build'}", f"full-int8 of {root / 'build'}"]
    alone = evaluated(root / "data", build, with_baselines=False)
    for rule in ("leaderboard", "streaming"):
        assert found.scope("all", names[1], rule) == alone.scope("all", "tiny-int8", rule)
        assert found.scope("all", names[0], rule) != alone.scope("all", "tiny-int8", rule)


def test_rows_that_a_bundle_has_learned_from_are_not_judged(small_build):
    root, _, _ = small_build
    build = open_build(root / "build")
    with pytest.raises(
        ConfigurationError, match=r"north\.edgead has learned from the first 400 rows.*--train-rows 400"
    ):
        evaluated(root / "data", build, train_rows=300, with_baselines=False)
    assert evaluated(root / "data", build, train_rows=450, with_baselines=False).n_rows > 0


# --- the command ------------------------------------------------------------------------------------


def test_the_command_with_a_single_bundle(toy_bundle_path, tmp_path):
    recording = pump_recording(tmp_path / "pump.csv", 3)
    report = tmp_path / "report.md"
    result = edge_ad("evaluate", recording, "--bundle", toy_bundle_path, "-o", report, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["n_recordings"] == 1
    assert found["preset"] == "pump"
    raw = found["detectors"][0]["runs"][0]["assets"][0]["rules"]["streaming"]["raw"]
    assert sum(raw["counts"].values()) == found["n_rows"] == 209  # of 609
    assert "evaluate 1/1 pump: 209 rows, streaming F1" in result.stderr
    assert report.read_text().startswith("# Detection on ")


def test_without_bundles_it_is_the_step_of_a_build(build_copy):
    result = edge_ad("evaluate", build_copy)
    assert result.returncode == 0, result.stderr
    assert "evaluate: 8 already done" in result.stderr
    result = edge_ad("evaluate", build_copy, "--json")
    assert result.returncode == 2
    assert "--json says how bundles are judged: add --bundle FILE|FOLDER or --build FOLDER" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pump.csv"], 2, "add --bundle FILE|FOLDER or --build FOLDER"),
        (["."], 2, "add --bundle FILE|FOLDER or --build FOLDER"),
        (["pump.csv", "--bundle", "toy.edgead", "--build", "."], 2, "either --bundle or --build"),
        (["pump.csv", "--bundle", "toy.edgead", "-o", "report.pdf"], 2, ".html or .md"),
        (["pump.csv", "--bundle", "toy.edgead", "-o", "no/report.md"], 1, "there is no folder no"),
        (["pump.csv", "--bundle", "no.edgead"], 3, "cannot read no.edgead"),
        (["empty", "--bundle", "toy.edgead"], 5, "holds no .csv or .parquet file"),
        (["no.csv", "--bundle", "toy.edgead"], 5, "no.csv does not exist"),
        (["no.csv"], 5, "no.csv does not exist; give a recording or a folder of them with --bundle"),
        (["pump.csv", "--bundle", "toy.edgead", "--seeds", "5"], 2, "give one, with --build FOLDER"),
        (["pump.csv", "--build", ".", "--seeds", "101"], 2, "101 is not in the range 2<=x<=100"),
        (["pump.csv", "--bundle", "toy.edgead", "--labels-of", "east"], 2, "there are: none"),
        (["pump.csv", "--bundle", "toy.edgead", "--label", "Fault"], 5, "pump.csv has no column 'Fault'"),
    ],
)
def test_bad_input_to_the_command(arguments, code, message, toy_bundle_path, tmp_path):
    pump_recording(tmp_path / "pump.csv", 3)
    (tmp_path / "empty").mkdir()
    shutil.copy(toy_bundle_path, tmp_path / "toy.edgead")
    result = edge_ad("evaluate", *arguments, cwd=tmp_path)
    assert message in " ".join(result.stderr.split())
    assert result.returncode == code
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("beside", [False, True])
def test_a_recording_without_a_bundle_is_told_before_seeds_are_trained(
    build_copy, small_build, tmp_path, beside
):
    root, _, _ = small_build
    data = tmp_path / "data"
    if beside:  # the build has a bundle for each, what is beside it has not
        shutil.copytree(root / "data", data)
        (tmp_path / "bundles").mkdir()
        shutil.copy(build_copy / "bundles" / "north.edgead", tmp_path / "bundles")
        lacking, options = "south", ["--beside", tmp_path / "bundles"]
    else:
        pump_recording(data / "other.csv", 5)
        lacking, options = "other", []
    result = edge_ad("evaluate", data, "--build", build_copy, "--seeds", 2, *options)
    assert result.returncode == 2, result.stderr
    assert f"has no bundle called {lacking!r}" in result.stderr
    assert not (build_copy / "seeds").exists()


def without_column(path, name):
    rows = [line.split(";") for line in path.read_text().splitlines()]
    at = rows[0].index(name)
    path.write_text("\n".join(";".join(row[:at] + row[at + 1 :]) for row in rows) + "\n")
    return path


def test_recordings_without_labels(toy_bundle_path, tmp_path):
    labelled = pump_recording(tmp_path / "data" / "a.csv", 3)
    unlabelled = without_column(pump_recording(tmp_path / "data" / "b.csv", 4), "anomaly")
    with pytest.raises(DataError, match=r"b\.csv has no column.*name it with --label; line 1 has: datetime"):
        evaluated(unlabelled, open_bundles(toy_bundle_path))
    both = evaluated(tmp_path / "data", open_bundles(toy_bundle_path), with_baselines=False)
    assert both.n_recordings == 1
    assert "1 of 2 recordings have no labels; F1 leaves them out." in both.caveats
    # the same under another name
    labelled.write_text(labelled.read_text().replace(";anomaly;", ";judged;"))
    again = evaluated(labelled, open_bundles(toy_bundle_path), label="judged", with_baselines=False)
    assert again.scopes[0].figures == both.scopes[0].figures


def test_a_recording_without_anomalies_has_nothing_to_find(toy_bundle_path, tmp_path):
    recording = pump_recording(tmp_path / "pump.csv", 3)
    recording.write_text(re.sub(r";1;[^;\n]*$", ";0;", recording.read_text(), flags=re.M))
    with pytest.raises(DataError, match="is labelled as anomalous, so there is nothing to find"):
        evaluated(recording, open_bundles(toy_bundle_path))


def test_a_bundle_for_other_channels(toy_bundle_path, tmp_path):
    recording = without_column(pump_recording(tmp_path / "pump.csv", 3), "Pressure")
    with pytest.raises(DataError, match=r"is for other channels.*lacks 'Pressure'; it has: datetime"):
        evaluated(recording, open_bundles(toy_bundle_path), train_rows=100)


def test_a_train_span_that_leaves_nothing(toy_bundle_path, tmp_path):
    recording = pump_recording(tmp_path / "pump.csv", 3)
    with pytest.raises(DataError, match="a shorter one with --train-rows"):
        evaluated(recording, open_bundles(toy_bundle_path), train_rows=609)


def test_no_bundle_of_that_name_nor_of_that_recording(small_build, tmp_path):
    root, _, _ = small_build
    stranger = pump_recording(tmp_path / "west.csv", 9)
    with pytest.raises(
        ConfigurationError, match=r"no bundle called 'west'.*it has: north, south.*--bundle FILE"
    ):
        evaluated(stranger, open_build(root / "build"))
    with pytest.raises(ConfigurationError, match=r"has no variant 'huge'; it has: full-float32"):
        evaluated(root / "data", open_build(root / "build"), variant="huge")
    with pytest.raises(ConfigurationError, match=r"--labels-of east: no such folder"):
        evaluated(root / "data", open_build(root / "build"), labels_of=("east",), with_baselines=False)


def test_a_format_of_rows_drawn_at_random_can_be_read_with_a_span_of_rows(small_build):
    root, _, _ = small_build
    run = open_build(root / "build")
    source = Source("north", "", root / "data" / "north.csv")
    drawn = replace(run, plan=replace(run.plan, format=replace(PUMP, train=TrainSpan(share=0.2))))
    with pytest.raises(ConfigurationError, match="drawn at random.*give --train-rows"):
        choose_reading([source], drawn, None, None, None, None)
    assert choose_reading([source], drawn, None, None, None, 400).format.train == TrainSpan(rows=400)


def test_a_build_on_rows_drawn_at_random_has_no_course_of_time(build_copy):
    plan = json.loads((build_copy / "build.json").read_text())
    plan["format"]["train"] = {"share": 0.2}
    (build_copy / "build.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigurationError, match="build with --split time"):
        open_build(build_copy)


def test_folders_without_bundles(build_copy, tmp_path):
    with pytest.raises(ConfigurationError, match=rf"give it with --build {build_copy}"):
        open_bundles(build_copy)
    with pytest.raises(ConfigurationError, match=r"holds no \.edgead file"):
        open_bundles(build_copy / "work")
    shutil.rmtree(build_copy / "bundles")
    with pytest.raises(ConfigurationError, match=f"run 'edge-ad pack {build_copy}' first"):
        open_build(build_copy)
    with pytest.raises(ConfigurationError, match=r"no usable build\.json"):
        open_build(tmp_path)


def test_a_broken_bundle_in_a_folder(small_build, build_copy):
    root, _, _ = small_build
    broken = build_copy / "bundles" / "south.edgead"
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"south\.edgead"):
        evaluated(root / "data", open_bundles(build_copy / "bundles"))


def test_bundles_are_found_at_any_depth_but_not_two_of_a_name(toy_bundle_path, tmp_path):
    for folder in ("76", "30"):
        (tmp_path / "bundles" / folder).mkdir(parents=True)
    shutil.copy(toy_bundle_path, tmp_path / "bundles" / "76" / "pump.edgead")
    pump_recording(tmp_path / "pump.csv", 3)
    arguments = ["evaluate", "pump.csv", "--bundle", "bundles", "--no-baselines"]
    result = edge_ad(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shutil.copy(toy_bundle_path, tmp_path / "bundles" / "30" / "pump.edgead")
    result = edge_ad(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert "two bundles called pump" in " ".join(result.stderr.split())
