"""Building a fleet: by the command, with real workers, some of them killed."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edge_ad.bundle.bundle import read
from edge_ad.toolchain.datasets.formats import PUMP
from edge_ad.toolchain.fleet.build import build_fleet
from edge_ad.toolchain.fleet.engines import Finished
from edge_ad.toolchain.fleet.plan import FleetPlan, load_plan
from edge_ad.toolchain.fleet.record import AssetRecord
from edge_ad.toolchain.fleet.sources import find_sources
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.fleet.work import AssetResult
from edge_ad.toolchain.settings import BuildSettings
from tests.helpers import COMMAND, edge_ad, pump_recording, snapshot

CONFIG = """
models = ["tiny"]

[training]
epochs = 3
learning_rate = 0.01

[gate.quantization]  # networks of three epochs lose more
f1_drop = 1.0
far_rise = 1.0
mar_rise = 1.0
min_agreement = 0.0
min_asset_agreement = 0.0
min_episode_agreement = 0.0
delay_shift = 1000.0
min_rank_correlation = -1.0
"""


def build(root, output, *arguments, **options):
    return edge_ad(*command(root, output, *arguments), **options)


def command(root, output, *arguments):
    return [
        "fleet",
        "build",
        root / "data",
        "--config",
        root / "fleet.toml",
        "--workers",
        1,
        *arguments,
        "-o",
        output,
    ]


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A data set of three machines and a file that is none, and the fleet that was built from it."""
    root = tmp_path_factory.mktemp("plant")
    for seed, name in enumerate(("north", "south", "hall/west")):
        pump_recording(root / "data" / f"{name}.csv", seed)
    (root / "data" / "odd.csv").write_text("datetime;Current\n2026-01-01 00:00:00;1\n")
    (root / "fleet.toml").write_text(CONFIG)
    return root, build(root, root / "fleet", "--preset", "pump", "--json")


@pytest.fixture
def copied(plant, tmp_path):
    shutil.copytree(plant[0], tmp_path / "plant")
    return tmp_path / "plant"


def bundles(fleet):
    return snapshot(fleet / "bundles")


def listed(fleet, *arguments):
    result = edge_ad("fleet", "list", fleet, "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_asset_has_a_bundle_or_a_reason(plant):
    root, result = plant
    assert result.returncode == 5
    facts = json.loads(result.stdout)
    assert (facts["assets"], facts["built"], facts["done"]) == (4, 3, 4)
    [failed] = facts["failed"]
    assert failed["asset"] == "odd"
    assert "is missing from" in failed["error"]
    assert "odd: failed: " in result.stderr
    assert "a minute" in result.stderr
    rows = {row["asset"]: row for row in listed(root / "fleet")}
    assert rows["odd"]["state"] == "failed"
    for name in ("north", "south", "hall-west"):
        row = rows[name]
        bundle = read(root / "fleet" / row["bundle_path"])
        assert bundle.manifest.bundle_id == row["bundle_id"]
        assert bundle.manifest.asset == name
        assert bundle.manifest.parity_passed
        variant = bundle.manifest.default_variant
        assert variant == row["default_variant"] == "tiny-int8"
        [entry] = [v for v in bundle.manifest.variants if v.name == variant]
        assert entry.limit.ucl == row["ucl"]
        [streaming] = [m for m in entry.evaluation if m.rule == "streaming"]
        assert streaming.f1 == row["f1"]
        assert 0 <= row["parity_headroom"] <= 1
    assert load_plan(root / "fleet").settings.models == ("tiny",)


def test_the_models_make_the_decisions_of_those_of_build(plant, tmp_path):
    """Trained side by side or one by one: rounding apart, the same bundle."""
    root, _ = plant
    source = root / "data" / "north.csv"
    result = edge_ad(
        *("build", source, "--preset", "pump", "--config", root / "fleet.toml", "--models", "tiny", "-j", 1),
        *("-o", tmp_path / "build"),
    )
    assert result.returncode == 0, result.stderr
    one = read(tmp_path / "build" / "bundles" / "north.edgead").manifest
    [row] = listed(root / "fleet", "--where", "asset=north")
    two = read(root / "fleet" / row["bundle_path"]).manifest
    assert one.channels == two.channels
    assert one.scaler == two.scaler
    assert one.provenance == two.provenance
    for ours, theirs in zip(one.variants, two.variants, strict=True):
        assert ours.limit.ucl == pytest.approx(theirs.limit.ucl, rel=1e-3)
        assert [m.f1 for m in ours.evaluation] == pytest.approx([m.f1 for m in theirs.evaluation], abs=0.01)


def test_given_again_it_does_what_is_left(copied):
    """What failed, what has changed, what is damaged; and in tasks of another size, to the same bytes."""
    fleet = copied / "fleet"
    before = bundles(fleet)
    [north, south] = [fleet / row["bundle_path"] for row in listed(fleet, "--where", "asset~*th")]
    south.write_bytes(south.read_bytes()[:-1])
    north.unlink()
    (copied / "data" / "odd.csv").unlink()
    # the copy lies elsewhere, which is no change
    again = build(copied, fleet, "--preset", "pump", "--json", "--assets-per-task", 1)
    assert again.returncode == 0, again.stderr
    facts = json.loads(again.stdout)
    assert (facts["skipped"], facts["done"], facts["failed"]) == (1, 2, [])
    assert bundles(fleet) == before
    idle = build(copied, fleet, "--preset", "pump", "--json")
    assert json.loads(idle.stdout)["done"] == 0


def test_workers_and_the_build_itself_are_killed(copied, tmp_path):
    fleet = tmp_path / "fleet"
    arguments = ["--preset", "pump", "--assets-per-task", "1"]
    started = [*COMMAND, *map(str, command(copied, fleet, *arguments))]
    process = subprocess.Popen(started, stderr=subprocess.PIPE, text=True)
    lines = iter(process.stderr.readline, "")
    worker = wait_for_worker(process.pid)
    os.kill(worker, signal.SIGKILL)
    first = next(line for line in lines if "tiny-int8" in line)
    process.kill()
    process.wait()
    process.stderr.close()
    with FleetStore.open(fleet) as store:
        assert store.counts().get("built", 0) >= 1, first
    again = build(copied, fleet, *arguments, "--json")
    assert again.returncode == 5
    facts = json.loads(again.stdout)
    assert facts["skipped"] >= 1
    assert facts["built"] == 3
    assert bundles(fleet) == bundles(copied / "fleet")


def wait_for_worker(parent):
    """A child that runs our code, not multiprocessing's tracker of resources."""
    for _ in range(600):
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                mine = int(path.read_text().rsplit(")", 1)[1].split()[1]) == parent
                if mine and b"spawn_main" in path.with_name("cmdline").read_bytes():
                    return int(path.parent.name)
            except OSError:
                continue
        time.sleep(0.1)
    raise AssertionError("no worker began")


class LosingEngine:
    """Loses every worker that has a certain asset."""

    def __init__(self, killer):
        self.killer, self.rounds = killer, []

    def run(self, tasks):
        self.rounds.append([len(task.sources) for task in tasks])
        for task in tasks:
            if self.killer in [source.asset for source in task.sources]:
                yield Finished(task, [], "the process was killed by SIGSEGV")
            else:
                records = [AssetRecord(s.asset, s.address, "built", sha256="0") for s in task.sources]
                yield Finished(task, [AssetResult(record, None) for record in records])


def test_an_asset_that_kills_its_worker_takes_no_other_with_it(tmp_path):
    engine, seen = LosingEngine("pump-2"), []
    plan = FleetPlan("pump://6", PUMP, BuildSettings(models=("tiny",)), "pump")
    tally, missing = build_fleet(
        tmp_path, plan, find_sources("pump://6"), engine, assets_per_task=4, watch=lambda r, t: seen.append(t)
    )
    assert engine.rounds == [[4, 2], [1, 1, 1, 1], [1]]
    assert (tally.done, tally.failed) == (6, 1)
    assert [record.asset for record in missing] == ["pump-2"]
    assert "lost 3 times, the last time: the process was killed by SIGSEGV" in missing[0].error
    assert [t.done for t in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].seconds_left == 0


@pytest.mark.parametrize(
    ("dataset", "words", "code"),
    [
        ("/nowhere", "does not exist", 5),
        ("pump://0", "holds no asset", 5),
        ("pump://x", "how many machines?", 2),
        ("pump://", "how many machines?", 2),
        ("pump://-3", "how many machines?", 2),
        ("gopher://x/y", "gopher", 2),
    ],
)
def test_data_sets_that_are_none(tmp_path, dataset, words, code):
    pytest.importorskip("fsspec")
    result = edge_ad("fleet", "build", dataset, "-o", tmp_path / "fleet")
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert not (tmp_path / "fleet").exists()


def test_what_differs_between_two_fleets(plant, copied):
    fleet = plant[0] / "fleet"
    with FleetStore.open(copied / "fleet") as store:
        [north] = [r for r in store.assets() if r.asset == "north"]
        store.record(dataclasses.replace(north, build_number=2, ucl=1.5))
        store.forget(["south"])
    result = edge_ad("fleet", "diff", fleet, copied / "fleet")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("north: build_number 1 -> 2, ucl ")
    assert lines[1] == f"south: only in {fleet}"
    table = edge_ad("fleet", "list", fleet, "--sort", "worst-parity", "--limit", 2).stdout.splitlines()
    assert table[0].split()[:3] == ["asset", "state", "build"]
    assert len(table) == 4
