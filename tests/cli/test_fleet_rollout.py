"""From a list of hosts to a rollout, on the command line; what is done on hosts is tested in tests/pi."""

import json
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from agent_rig import wait_for

from tests.helpers import COMMAND, edge_ad
from tests.toolchain.rollout.plant import build

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="needs Debian's package openssh-client")
HOSTS = "host,address,port,user,assets\n" + "".join(f"pi-{n},127.0.0.1,9,pi,pump-{n}\n" for n in range(5))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, toy_bundle_path):
    root = tmp_path_factory.mktemp("plant") / "fleet"
    for number in range(6):
        build(root, toy_bundle_path.read_bytes(), f"pump-{number}")
    (root.parent / "hosts.csv").write_text(HOSTS)
    return root


@pytest.fixture(scope="module")
def inventory(fleet):
    path = fleet.parent / "inventory.yml"
    done = edge_ad("fleet", "inventory", fleet, "--hosts", fleet.parent / "hosts.csv", "-o", path)
    assert done.returncode == 0, done.stderr
    assert "5 hosts, 5 assets" in done.stderr
    assert "no host watches pump-5" in done.stderr
    return path


def test_the_fleet_keeps_its_hosts(fleet, inventory):
    again = edge_ad("fleet", "inventory", fleet)
    assert again.returncode == 0, again.stderr
    assert again.stdout == inventory.read_text()


@needs_ssh
def test_a_rollout_is_written_run_and_told_of(fleet, inventory, tmp_path):
    folder = tmp_path / "monday"
    done = edge_ad("fleet", "rollout", fleet, "--inventory", inventory, "-o", folder, "--canary", "pi-3")
    assert done.returncode == 0, done.stderr
    assert "canary: pi-3" in done.stderr
    assert len(list((folder / "bundles").iterdir())) == 5
    again = edge_ad("fleet", "rollout", fleet, "--inventory", inventory, "-o", folder)
    assert again.returncode == 2
    assert "there already" in again.stderr

    run = edge_ad("fleet", "rollout", fleet, "-o", folder, "--run")
    assert run.returncode == 1
    assert "PLAY [Stage 1 of 3, canary]" in run.stderr
    assert "Stage 2" not in run.stderr
    assert "not running what they should: 5 of 5 hosts: pi-" in run.stderr
    assert "1 unreachable, 4 waiting" in run.stdout
    told = edge_ad("fleet", "rollout", fleet, "-o", folder, "--json")
    assert told.returncode == 1
    states = {result["host"]: result["state"] for result in map(json.loads, told.stdout.splitlines())}
    assert states == {f"pi-{n}": "unreachable" if n == 3 else "waiting" for n in range(5)}
    status = edge_ad("fleet", "status", fleet, "--json", "--only", "rollout-failed").stdout
    (each,) = map(json.loads, status.splitlines())
    assert (each["asset"], each["rollout_state"]) == ("pump-3", "unreachable")


@pytest.mark.parametrize("is_old", [False, True])
def test_a_rollout_is_of_one_fleet(fleet, inventory, tmp_path, is_old, toy_bundle_path):
    """A folder of before fleets had an identity is known by its bundles."""
    folder, other = tmp_path / "monday", tmp_path / "other"
    for number in range(6):
        build(other, toy_bundle_path.read_bytes(), f"pump-{number}", 2)
    written = edge_ad("fleet", "rollout", fleet, "--inventory", inventory, "-o", folder)
    assert written.returncode == 0, written.stderr
    if is_old:
        plan = json.loads((folder / "rollout.json").read_text())
        assert len(plan.pop("fleet")) == 32
        (folder / "rollout.json").write_text(json.dumps(plan))
    for more in ([], ["--run"], ["--run", "--check"]):
        refused = edge_ad("fleet", "rollout", other, "-o", folder, *more)
        assert refused.returncode == 2
        assert f"the rollout in {folder} is not one of the fleet in {other}" in refused.stderr
        assert "PLAY" not in refused.stderr
    moved = tmp_path / "moved"
    shutil.copytree(fleet, moved)
    if is_old:  # and a bundle that was built anew meanwhile
        build(moved, toy_bundle_path.read_bytes(), "pump-1", 2)
    for root in (fleet, moved):
        told = edge_ad("fleet", "rollout", root, "-o", folder)
        assert told.returncode == 1, told.stderr
        assert "5 waiting" in told.stdout


def test_what_cannot_be_acted_on(fleet, inventory, tmp_path):
    hosts = tmp_path / "hosts.csv"
    hosts.write_text("host,assets\npi-9,fan\n")
    strange = tmp_path / "strange.yml"
    strange.write_text("all: {hosts: {pi-9: {edge_ad_assets: [fan]}}}")
    new = ["-o", tmp_path / "new"]
    for words, complaint in (
        (["inventory", fleet, "--hosts", hosts], "pi-9 is to watch 'fan', which the fleet does not know"),
        (["inventory", fleet, "--hosts", tmp_path / "none.csv"], "cannot read"),
        (["rollout", fleet, "--inventory", strange, *new], "pi-9 of the inventory watches 'fan'"),
        (["rollout", fleet, "--inventory", tmp_path / "none.yml", *new], "there is no inventory"),
        (["rollout", fleet, "--inventory", inventory, *new, "--canary", "pi-x"], "pi-x"),
        (["rollout", fleet, "--inventory", inventory, *new, "--stages", "1,10%"], "the last must be 100%"),
        (["rollout", fleet, *new, "--run"], "holds no rollout"),
        (["rollout", fleet, *new, "--check"], "--check goes with --run"),
        (["rollout", tmp_path / "nowhere", *new], "holds no fleet"),
    ):
        done = edge_ad("fleet", *words)
        assert done.returncode == 2, (words, done.stderr)
        assert complaint in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_bundle_of_another_asset_goes_nowhere(tmp_path, toy_bundle_path):
    first, second = (build(tmp_path / "fleet", toy_bundle_path.read_bytes(), name) for name in ("one", "two"))
    (tmp_path / "fleet" / first.bundle_path).write_bytes(
        (tmp_path / "fleet" / second.bundle_path).read_bytes()
    )
    (tmp_path / "hosts.csv").write_text("host,assets\npi-1,one;two\n")
    inventory = tmp_path / "inventory.yml"
    done = edge_ad(
        "fleet", "inventory", tmp_path / "fleet", "--hosts", tmp_path / "hosts.csv", "-o", inventory
    )
    assert done.returncode == 0, done.stderr
    done = edge_ad("fleet", "rollout", tmp_path / "fleet", "--inventory", inventory, "-o", tmp_path / "new")
    assert done.returncode == 3
    assert "is a bundle of 'two', not of 'one'" in done.stderr


@needs_ssh
def test_whoever_ends_a_rollout_ends_ansible(fleet, tmp_path):
    """While it waits for a host that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = tmp_path / "hosts.csv"
        hosts.write_text(f"host,address,port,assets\npi-1,127.0.0.1,{silent.getsockname()[1]},pump-1\n")
        inventory, folder = tmp_path / "inventory.yml", tmp_path / "rollout"
        assert edge_ad("fleet", "inventory", fleet, "--hosts", hosts, "-o", inventory).returncode == 0
        assert edge_ad("fleet", "rollout", fleet, "--inventory", inventory, "-o", folder).returncode == 0
        command = [*COMMAND, "fleet", "rollout", str(fleet), "-o", str(folder), "--run"]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **streams) as process, silent.accept()[0]:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            (ansible,) = map(int, children.split())
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
            wait_for(lambda: not is_running(ansible), "ansible-playbook has ended")


def is_running(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
