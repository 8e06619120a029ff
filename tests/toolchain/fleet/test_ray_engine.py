"""A real Ray cluster on this machine: equal bundles, killed workers and drivers, no open door."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edge_ad.toolchain.fleet.store import FleetStore
from tests.helpers import COMMAND, edge_ad, snapshot
from tests.toolchain.fleet.test_build import CONFIG, pump_recording

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    root = tmp_path_factory.mktemp("plant")
    for seed in range(4):
        pump_recording(root / "data" / f"m{seed}.csv", seed)
    (root / "fleet.toml").write_text(CONFIG)
    return root


def arguments(root, output, *more):
    build = ["fleet", "build", root / "data", "--config", root / "fleet.toml", "--preset", "pump"]
    return [*map(str, [*build, "-o", output, "--assets-per-task", 1, *more])]


def children(parent):
    """Process ids below a process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found.setdefault(int(path.read_text().rsplit(")", 1)[1].split()[1]), []).append(
                int(path.parent.name)
            )
        except OSError:
            continue
    below = list(found.get(parent, []))
    for pid in below:
        below += found.get(pid, [])
    return below


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def works(pid):
    """Whether a process is a server or a worker of Ray's; its agents notice later, and go as well."""
    program = title(pid).partition(b"\0")[0]
    return program.endswith((b"/raylet", b"/gcs_server")) or program.startswith((b"ray::build", b"ray::IDLE"))


def open_doors(pids):
    """Addresses other than loopback on which any of the processes listens, as /proc writes them."""
    inodes = set()
    for pid in pids:
        try:
            links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        inodes |= {link[8:-1] for link in links if link.startswith("socket:[")}
    doors = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            loopback = local.startswith(("0100007F:", "00000000000000000000000001000000:"))
            loopback |= local.startswith("0000000000000000FFFF00000100007F:")
            if state == "0A" and inode in inodes and not loopback:
                doors.append(local)
    return doors


def wait_for(something, seconds=240):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := something():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.mark.slow
def test_workers_and_drivers_are_killed_and_the_bundles_are_those_of_the_local_engine(plant, tmp_path):
    fleet = tmp_path / "fleet"
    process = subprocess.Popen(
        [*COMMAND, *arguments(plant, fleet, "--engine", "ray", "--workers", "2")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        working = wait_for(lambda: [p for p in children(process.pid) if b"ray::build_assets" in title(p)])
        doors = open_doors([process.pid, *children(process.pid)])
        os.kill(working[0], signal.SIGKILL)
        wait_for(lambda: (fleet / "bundles").exists() and list((fleet / "bundles").rglob("*.edgead")))
        below = children(process.pid)
    finally:
        process.kill()
        said, _ = process.communicate()
    assert said == b"", "standard output is for data"
    assert doors == []
    wait_for(lambda: not any(map(works, below)), 60)  # nothing goes on behind its back
    again = edge_ad(*arguments(plant, fleet, "--engine", "ray", "--workers", "2", "--json"))
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["built"] == 4
    local = edge_ad(*arguments(plant, tmp_path / "local", "--workers", 1, "--assets-per-task", 32))
    assert local.returncode == 0, local.stderr
    assert snapshot(fleet / "bundles") == snapshot(tmp_path / "local" / "bundles")
    with FleetStore.open(fleet) as ours, FleetStore.open(tmp_path / "local") as theirs:
        assert ours.diff(theirs) == []


def test_a_cluster_that_is_not_there(plant, tmp_path):
    result = edge_ad(
        *arguments(plant, tmp_path / "fleet", "--engine", "ray", "--address", "127.0.0.1:1"),
        env={**os.environ, "RAY_AUTH_TOKEN": "0" * 64},
    )
    assert result.returncode == 1
    assert "no Ray cluster at 127.0.0.1:1" in result.stderr
    assert not (tmp_path / "fleet").exists()


@pytest.mark.parametrize(
    ("more", "environment", "words"),
    [
        (["--engine", "ray"], {"RAY_AUTH_MODE": "disabled"}, "RAY_AUTH_MODE is set to something else"),
        (["--engine", "ray", "--address", "auto"], {}, "is not HOST:PORT"),
        (["--address", "127.0.0.1:6379"], {}, "give --engine ray as well"),
    ],
)
def test_what_is_no_way_to_a_cluster(plant, tmp_path, more, environment, words):
    result = edge_ad(*arguments(plant, tmp_path / "fleet", *more), env={**os.environ, **environment})
    assert result.returncode == 2
    assert words in result.stderr
