"""Recordings in a bucket of a real server that speaks S3: built, refused, and lost midway."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_ad.toolchain.datasets.pump import standard_run
from edge_ad.toolchain.datasets.simulated import pump_parquet
from tests.helpers import edge_ad, pump_recording, snapshot
from tests.toolchain.fleet.test_build import CONFIG

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


@contextmanager
def bucket(folder, *key):
    """The bucket `plant` with a folder's files; yields the environment of somebody who may read it."""
    command = [sys.executable, Path(__file__).with_name("s3_server.py"), folder, *key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            told = json.loads(server.stdout.readline())
            yield {
                **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
                "AWS_ENDPOINT_URL": told["url"],
                "AWS_ACCESS_KEY_ID": told["id"],
                "AWS_SECRET_ACCESS_KEY": told["secret"],
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            }
        finally:
            server.kill()


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    root = tmp_path_factory.mktemp("plant")
    pump_recording(root / "data" / "2026" / "b.csv", 1)
    parquet = root / "data" / "2026" / "hall" / "a.parquet"
    parquet.parent.mkdir()
    parquet.write_bytes(pump_parquet(standard_run(0)))
    (root / "data" / "2026" / "readme.md").touch()
    (root / "fleet.toml").write_text(CONFIG)
    return root


def build(plant, dataset, output, *more, **options):
    words = ["--preset", "pump", "--config", plant / "fleet.toml", "--workers", 1, "--json"]
    done = edge_ad("fleet", "build", dataset, *words, *more, "-o", output, **options)
    assert "Traceback" not in done.stderr
    return done


def test_a_bucket_and_a_folder_make_the_same_bundles(plant, tmp_path):
    with bucket(plant / "data") as environment:
        done = build(plant, "s3://plant/2026/", tmp_path / "remote", env=environment)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["built"] == 2
        again = build(plant, "s3://plant/2026/", tmp_path / "remote", env=environment)
        assert json.loads(again.stdout)["skipped"] == 2
    local = build(plant, plant / "data" / "2026", tmp_path / "local")
    assert local.returncode == 0, local.stderr
    assert snapshot(tmp_path / "remote" / "bundles") == snapshot(tmp_path / "local" / "bundles")


@pytest.mark.parametrize(
    ("dataset", "changes", "code", "words"),
    [
        ("s3://plan/2026", {}, 5, "cannot list s3://plan/2026: The specified bucket does not exist"),
        ("s3://plant/2025", {}, 5, "s3://plant/2025 holds no .csv or .parquet file"),
        ("s3://", {}, 2, "s3:// names no bucket: s3://BUCKET/FOLDER"),
        (
            "s3://plant/2026",
            {"AWS_ACCESS_KEY_ID": "me"},
            5,
            "cannot list s3://plant/2026: The AWS Access Key Id",
        ),
        (
            "s3://plant/2026",
            {"AWS_SECRET_ACCESS_KEY": "x"},
            5,
            "cannot list s3://plant/2026: The request signature",
        ),
        ("s3://plant/2026", {"AWS_ACCESS_KEY_ID": None}, 5, "cannot list s3://plant/2026: "),
        (
            "s3://plant/2026",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            5,
            "Could not connect to the endpoint",
        ),
    ],
)
def test_what_cannot_be_read(plant, tmp_path, served, dataset, changes, code, words):
    environment = {name: value for name, value in {**served, **changes}.items() if value is not None}
    done = build(plant, dataset, tmp_path / "fleet", env=environment)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert not (tmp_path / "fleet").exists()


@pytest.fixture(scope="module")
def served(plant):
    with bucket(plant / "data") as environment:
        yield environment


def test_a_server_that_is_gone_midway_costs_what_it_had_not_given(plant, tmp_path):
    for seed, name in enumerate(("a", "b", "c")):
        pump_recording(tmp_path / "data" / f"{name}.csv", seed)
    with bucket(tmp_path / "data", "/plant/b.csv") as environment:
        done = build(plant, "s3://plant", tmp_path / "fleet", "--assets-per-task", 1, env=environment)
    assert done.returncode == 5, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["built"], facts["done"]) == (1, 3)
    assert [failed["asset"] for failed in facts["failed"]] == ["b", "c"]
    assert all(f["error"].startswith(f"cannot read s3://plant/{f['asset']}.csv: ") for f in facts["failed"])
    with bucket(tmp_path / "data") as environment:
        again = build(plant, "s3://plant", tmp_path / "fleet", env=environment)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["built"] == 3
