"""Snapshots to bundles: the stacked network through the same build, and the same scores from raw files."""

import csv
import json

import numpy as np
import pytest
from agent_rig import AgentProcess, records, wait_for
from sklearn.model_selection import train_test_split

from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.manifest import Channel
from edge_ad.detect.limit import LimitRule
from edge_ad.detect.rules import leaderboard_flags
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.toolchain.architecture import LstmArchitecture
from edge_ad.toolchain.datasets.choose import FormatChanges
from edge_ad.toolchain.datasets.formats import (
    BEARING,
    SKAB,
    RecordingFormat,
    TrainSpan,
    format_toml,
    load_format,
)
from edge_ad.toolchain.datasets.recording import read_recording
from edge_ad.toolchain.preparation import prepare
from edge_ad.toolchain.settings import BEARING_SETTINGS, BuildSettings
from edge_ad.toolchain.train import Trainer, initial_weights
from edge_ad.toolchain.workspace import BuildPlan
from tests.helpers import edge_ad
from tests.snapshots import FEATURES, name, text

N, FAILS_FROM, TRAIN = 160, 110, 80
FORMAT = RecordingFormat(
    channels=tuple(Channel(signal) for signal in FEATURES.signals),
    train=TrainSpan(rows=TRAIN),
    sample_period_s=600.0,
    largest_gap_s=3000.0,
    snapshots=FEATURES,
)
SETTINGS = """
window_length = 1
models = ["stacked"]
scaler = "min-max"
score = "mean"
[training]
epochs = 60
batch_size = 10
validation_share = 0.05
patience = 60
keep = "last"
kernel_l2 = 0.0001
[limit]
percentile = 100
factor = 1.1
digits = 3
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A machine whose first bearing vibrates more and more; the build of it, and its raw files."""
    folder = tmp_path_factory.mktemp("bearing")
    (folder / "raw").mkdir()
    for index in range(N):
        level = 1 + max(0, index - FAILS_FROM) * 0.5
        (folder / "raw" / name(index)).write_bytes(text(index, level))
    (folder / "raw" / name(N)).write_bytes(b"1\t2\t3\r\n")
    (folder / "format.toml").write_text(format_toml(FORMAT))
    (folder / "settings.toml").write_text(SETTINGS)
    arguments = ["build", folder / "raw", "--format", folder / "format.toml", "-o", folder / "build"]
    arguments += ["--config", folder / "settings.toml", "--variants", "int8"]
    refused = edge_ad(*arguments)
    assert refused.returncode == 5
    assert f"{name(N)}: line 1 has 3 columns" in refused.stderr
    done = edge_ad(*arguments, "--bad-snapshots", "skip")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_build_tells_when_the_alarm_began_and_of_what(built):
    folder, done = built
    report = json.loads((folder / "build" / "report.json").read_text())
    for found in report["timelines"]:
        assert found["alarms_in_train"] == 0
        assert found["first_alarm"]["channel"] == "Bearing 1"
        assert 0 < found["lead_time_days"] <= (N - 1 - FAILS_FROM) * 600 / 86400
    assert [flaw["name"] for flaw in report["skipped"]["raw"]] == [name(N)]
    assert "Bearing 1 has" in done.stdout
    assert f"left out: {name(N)}" in done.stderr


def test_a_random_split_has_a_page_too(built):
    folder, _ = built
    arguments = [
        "--format",
        folder / "format.toml",
        "--config",
        folder / "settings.toml",
        "--split",
        "random",
    ]
    build = folder / "drawn"
    done = edge_ad("build", folder / "raw", *arguments, "-o", build, "--bad-snapshots", "skip")
    assert done.returncode == 0, done.stderr
    done = edge_ad("report", build, "-o", folder / "drawn.html")
    assert done.returncode == 0, done.stderr
    page = (folder / "drawn.html").read_text()
    learned = json.loads((build / "report.json").read_text())["timelines"][0]["train_rows"]
    assert f"{N} rows, a random {learned} for training" in page


def test_the_scored_table_holds_the_posts_columns(built):
    folder, _ = built
    with (folder / "build" / "scored" / "raw-stacked-int8.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N
    for row in rows:
        loss, threshold = float(row["loss"]), float(row["threshold"])
        assert row["anomaly"] == str(int(loss > threshold))
        parts = [float(value) for key, value in row.items() if key.startswith("contribution")]
        assert sum(parts) == pytest.approx(loss, rel=1e-5)
    learned = [float(row["loss"]) for row in rows if row["in_train"] == "1"]
    assert len(learned) == TRAIN
    assert threshold == round(max(learned) * 1.1, 3)


def test_the_bundle_makes_the_same_decisions_of_raw_files(built):
    folder, _ = built
    path = folder / "build" / "bundles" / "raw.edgead"
    assert path.stat().st_size <= 20_000
    manifest = bundles.read(path).manifest
    assert manifest.snapshots == FEATURES
    assert [variant.name for variant in manifest.variants] == ["stacked-int8"]
    assert (manifest.models[0].encoder_units, manifest.models[0].decoder_units) == ((16, 4), (4, 16))
    raw = edge_ad("run", path, folder / "raw")
    recorded = edge_ad("run", path, folder / "build" / "recordings" / "raw.csv")
    assert raw.returncode == recorded.returncode == 0
    *decisions, last = raw.stdout.splitlines()
    assert decisions == recorded.stdout.splitlines()
    assert json.loads(last)["state"] == "unknown"
    assert f"{name(N)}: line 1 has 3 columns" in raw.stderr
    assert edge_ad("verify", path).returncode == 0


def test_a_bundle_of_recordings_takes_no_folder(tmp_path, toy_bundle_path):
    refused = edge_ad("run", toy_bundle_path, tmp_path)
    assert refused.returncode == 5
    assert "not made of snapshot files" in refused.stderr


# --- the post's protocol ---------------------------------------------------------------------------------


def test_the_preset_is_the_post():
    shape = BuildPlan(BEARING, BEARING_SETTINGS, ()).architecture("stacked")
    assert shape == LstmArchitecture(1, 4, (16, 4), (4, 16), "relu")
    training = BEARING_SETTINGS.training
    assert (training.epochs, training.batch_size, training.validation_share) == (100, 10, 0.05)
    assert BEARING_SETTINGS.limit.limit(np.array([0.1, 0.26449, 0.2])) == 0.291


def test_a_limit_that_is_not_rounded_is_as_before():
    scores = np.random.default_rng(0).random(100)
    assert LimitRule().limit(scores) == np.percentile(scores, 99) * 1.5


def test_with_windows_of_one_row_the_leaderboard_flags_each_by_its_own():
    exceeds = np.array([True, False, True, True])
    assert np.array_equal(leaderboard_flags(exceeds, 1, 4), exceeds)


def recording_of(tmp_path, n, train):
    rng = np.random.default_rng(3)
    lines = ["time,Bearing 1,Bearing 2"]
    lines += [f"{i * 600},{rng.normal(1, 0.1):.4f},{rng.normal(2, 0.1):.4f}" for i in range(n)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    layout = RecordingFormat(
        FORMAT.channels,
        train,
        input=FORMAT.input.__class__(time_format="seconds"),
        sample_period_s=600,
        largest_gap_s=3000,
        snapshots=FEATURES,
    )
    return read_recording(tmp_path / "a.csv", layout, "a"), layout


@pytest.mark.parametrize("n", [100, 101, 104, 984])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_random_split_is_scikit_learns(tmp_path, n, seed):
    recording, _ = recording_of(tmp_path, n, TrainSpan(share=0.2, seed=seed))
    train, test = train_test_split(np.arange(n), test_size=0.8, random_state=seed)
    assert sorted(train) == np.flatnonzero(recording.in_train).tolist()
    assert sorted(test) == np.flatnonzero(recording.tested).tolist()


def test_the_scaler_of_a_random_split_knows_its_rows_only(tmp_path):
    recording, layout = recording_of(tmp_path, 200, TrainSpan(share=0.2))
    prepared = prepare(recording, BuildPlan(layout, BEARING_SETTINGS, ()))
    learned = recording.samples[recording.in_train]
    assert np.array_equal(prepared.scaler.offset, learned.min(axis=0))
    assert np.array_equal(prepared.scaler.scale, np.ptp(learned, axis=0))
    assert np.array_equal(prepared.train, np.flatnonzero(recording.in_train))
    with pytest.raises(DataError, match="make no windows of 10"):
        prepare(recording, BuildPlan(layout, BuildSettings(), ()))


def test_a_span_between_two_times(tmp_path):
    recording, _ = recording_of(tmp_path, 60, TrainSpan(since="1200", until="12000"))
    assert (recording.times[0], recording.train_rows, len(recording)) == (1200, 19, 58)
    recording, _ = recording_of(tmp_path, 60, TrainSpan(until="12100"))  # no such row: the one before
    assert recording.train_rows == 21
    for since, until in (("1e9", "12000"), (None, "1e9"), (None, "noon")):
        with pytest.raises(DataError, match="no row"):
            recording_of(tmp_path, 60, TrainSpan(since=since, until=until))


@pytest.mark.parametrize(
    "changes",
    [
        FormatChanges(),
        FormatChanges(features=("rms", "band-energy"), drop_first_row=True),
        FormatChanges(random_split=True),
        FormatChanges(train_rows=30),
    ],
)
def test_a_changed_format_survives_its_file(tmp_path, changes):
    changed = changes.apply(BEARING, 5)
    (tmp_path / "f.toml").write_text(format_toml(changed))
    assert load_format(tmp_path / "f.toml") == changed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (FormatChanges(features=("loudness",)), "no feature is called 'loudness'"),
        (FormatChanges(random_split=True, train_rows=3), "not both"),
    ],
)
def test_changes_that_cannot_be(changes, said):
    with pytest.raises(ConfigurationError, match=said):
        changes.apply(BEARING, 0)
    with pytest.raises(ConfigurationError, match="snapshot files"):
        FormatChanges(drop_first_row=True).apply(SKAB, 0)


def test_weight_decay_makes_the_first_kernel_smaller():
    shape = LstmArchitecture(1, 2, (16, 4), (4, 16))
    windows = np.random.default_rng(0).random((60, 1, 2)).astype(np.float32)
    settings = BEARING_SETTINGS.training.__class__(epochs=15, batch_size=10, patience=15, keep="last")
    initial = initial_weights(shape, 0, "a" * 64)
    plain, decayed = (Trainer(shape, 10, l2).fit(windows, settings, initial).weights for l2 in (0.0, 0.5))
    assert np.square(decayed[0]).sum() < 0.7 * np.square(plain[0]).sum()


def test_an_agent_decides_on_a_watched_folder_and_goes_on_after_a_restart(built, tmp_path):
    folder, _ = built
    bundle, watched = folder / "build" / "bundles" / "raw.edgead", tmp_path / "in"
    config = (
        f'[agent]\nspool = "{tmp_path}/spool.db"\nsave_every_s = 0.2\n'
        f'[[sink]]\nkind = "decisions"\npath = "{tmp_path}/decisions.ndjson"\n'
        f'[[asset]]\nname = "rig"\nbundle = "{bundle}"\n'
        f'source = {{ kind = "snapshots", path = "{watched}", poll_s = 0.05, wait_s = 0.3 }}\n'
    )
    expected = [json.loads(line) for line in edge_ad("run", bundle, folder / "raw").stdout.splitlines()]
    watched.mkdir()

    def decided():
        return list(records(tmp_path / "decisions.ndjson"))

    def put(*indices):
        for index in indices:
            (watched / name(index)).write_bytes((folder / "raw" / name(index)).read_bytes())

    process = AgentProcess(tmp_path, config)
    try:
        put(*range(100))
        process.start()
        wait_for(lambda: len(decided()) == 100, "what is there is decided on")
        assert process.stop() == 0
        put(*range(100, N + 1))
        process.start()
        wait_for(lambda: len(decided()) == N + 1, "what came meanwhile is decided on")
    finally:
        process.stop()
    made = decided()
    for entry in (*made, *expected):
        entry.pop("reason", None)  # says which file it was, rather than which line
        entry.pop("asset", None)
        entry.pop("bundle", None)
    assert made[:N] == expected[:N]
    assert made[N]["state"] == expected[N]["state"] == "unknown"


def test_a_bundle_of_recordings_refuses_a_folder_to_watch(tmp_path, toy_bundle_path):
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[agent]\nspool = "{tmp_path}/spool.db"\n[[asset]]\nname = "toy"\nbundle = "{toy_bundle_path}"\n'
        f'source = {{ kind = "snapshots", path = "{tmp_path}" }}\n'
    )
    refused = edge_ad("agent", config, "--check")
    assert refused.returncode == 2
    assert "not made of snapshot files" in refused.stderr + refused.stdout
