"""Rollouts to five machines with a real systemd and sshd each, of which one fails at every stage."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from edge_ad.toolchain.rollout.hosts import Host
from edge_ad.toolchain.rollout.inventory import inventory_yaml
from edge_ad.toolchain.rollout.stages import plan_stages
from tests.helpers import edge_ad
from tests.pi.deploying import Deployer, wheelhouse
from tests.toolchain.rollout.plant import build, spoiled

NAMES = [f"pi-{number}" for number in range(5)]
STAGES = [stage.hosts for stage in plan_stages(NAMES)]
CANARY, SECOND = STAGES[0][0], STAGES[1][0]
STORE = "/var/lib/edge-ad"
DROP_IN = "/etc/systemd/system/edge-ad-agent.service.d/90-broken.conf"


def asset_of(host):
    return f"pump-of-{host}"


class Plant:
    """Five hosts, each with an asset of its own, and the fleet that they belong to."""

    def __init__(self, folder, machines, toy):
        self.folder, self.machines, self.toy = folder, machines, toy
        self.fleet, self.inventory = folder / "fleet", folder / "inventory.yml"
        self.builds = {}
        """Bundle id -> build number, of every bundle that was ever built."""
        self._write_inventory()

    def _write_inventory(self):
        servers = [machine.server for machine in self.machines.values()]
        known = self.folder / "known_hosts"
        known.write_text("".join(server.known_hosts_file.read_text() for server in servers))
        config = self.folder / "ssh_config"
        config.write_text(
            f'Host *\n  IdentityFile "{servers[0].identity_file}"\n  IdentitiesOnly yes\n'
            "  IdentityAgent none\n"
            f'  UserKnownHostsFile "{known}"\n  GlobalKnownHostsFile /dev/null\n'
        )
        hosts = [
            Host(name, (asset_of(name),), machine.server.host, machine.server.port, "pi")
            for name, machine in self.machines.items()
        ]
        self.inventory.write_text(inventory_yaml(hosts, ssh_config=config, identity=None))

    def build(self, number, bad=()):
        """A new build of all assets; those of `bad` score otherwise on every host."""
        for name in NAMES:
            edit = {"edit": spoiled} if name in bad else {}
            record = build(self.fleet, self.toy, asset_of(name), number, **edit)
            self.builds[record.bundle_id] = number

    def install_first(self):
        """What edge-ad deploy would do for the host's own asset, with what the host has already."""
        self.build(1)

        def install(name, machine):
            (bundle,) = [p for p in self.fleet.rglob("*.edgead") if p.stem == asset_of(name)]
            shutil.copy(bundle, machine.path / "opt/first.edgead")
            self.edge_ad(name, "store", "install", "/opt/first.edgead")
            config = machine.path / "etc/edge-ad/agent.toml"
            config.write_text(config.read_text().replace('"toy"', f'"{asset_of(name)}"'))
            machine.run(["systemctl", "restart", "edge-ad-agent"])

        with ThreadPoolExecutor() as pool:
            list(pool.map(install, self.machines, self.machines.values()))

    def edge_ad(self, name, *words):
        program = ["runuser", "-u", "edge-ad", "--", "/opt/edge-ad/bin/edge-ad"]
        return self.machines[name].run([*program, *words, "--store", STORE]).stdout

    def write(self, name, *words):
        """A rollout of what the fleet has now."""
        folder = self.folder / name
        done = edge_ad("fleet", "rollout", self.fleet, "--inventory", self.inventory, "-o", folder, *words)
        assert done.returncode == 0, done.stderr
        return folder

    def run(self, folder, code, *words):
        """Run it; the state of every host."""
        done = edge_ad("fleet", "rollout", self.fleet, "-o", folder, "--run", "--json", *words)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        self.said = done.stderr
        return {result["host"]: result for result in map(json.loads, done.stdout.splitlines())}

    def serving(self):
        """By host: the build that serves. Every host has one that is whole, and a service that runs."""

        def of(name, machine):
            assert machine.run(["systemctl", "is-active", "edge-ad-agent"]).stdout.strip() == "active"
            states = json.loads(self.edge_ad(name, "store", "list", "--json"))
            (state,) = [state for state in states if state["asset"] == asset_of(name)]
            assert "FAILED" not in self.edge_ad(name, "verify", f"@{asset_of(name)}")
            return name, self.builds[state["active"]]

        with ThreadPoolExecutor() as pool:
            return dict(pool.map(of, self.machines, self.machines.values()))

    def break_reload(self, name, command):
        """What a reload of the service does instead."""
        folder = self.machines[name].path / DROP_IN.strip("/")
        folder.write_text(f"[Service]\nExecReload=\nExecReload={command}\n")
        self.machines[name].run(["systemctl", "daemon-reload"])

    def mend(self, name):
        self.machines[name].run(["rm", DROP_IN])
        self.machines[name].run(["systemctl", "daemon-reload"])


@pytest.fixture(scope="module")
def plant(tmp_path_factory, toy_bundle_path):
    import pi_rootfs

    folder = tmp_path_factory.mktemp("plant")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with pi_rootfs.BootedMachine.open("amd64-bookworm", folder / "first", key=key) as machine:
        deployer = Deployer(machine.server.ssh_config_file, ["--wheelhouse", wheelhouse("x86_64-bookworm")])
        deployed = deployer.deploy(toy_bundle_path)
        assert deployed.code == 0, deployed.stderr
    with ExitStack() as stack:

        def open_copy(name):
            subprocess.run(["cp", "-a", folder / "first", folder / name], check=True)
            return stack.enter_context(pi_rootfs.BootedMachine.open("amd64-bookworm", folder / name, key=key))

        with ThreadPoolExecutor(2) as pool:
            machines = dict(zip(NAMES, pool.map(open_copy, NAMES), strict=True))
        plant = Plant(folder, machines, toy_bundle_path.read_bytes())
        plant.install_first()
        yield plant


def test_the_canarys_failure_stops_the_rest(plant):
    assert set(plant.serving().values()) == {1}
    plant.build(2, bad=[CANARY])
    results = plant.run(plant.write("canary"), 1)
    assert {name: result["state"] for name, result in results.items()} == {
        name: "refused" if name == CANARY else "waiting" for name in NAMES
    }
    assert "self-test" in results[CANARY]["problem"]
    assert "what was active stays active" in results[CANARY]["problem"]
    assert set(plant.serving().values()) == {1}


def test_the_second_stages_failure_is_rolled_back_and_stops_the_rest(plant):
    plant.build(3)
    plant.break_reload(SECOND, "/bin/false")
    folder = plant.write("second")
    results = plant.run(folder, 1)
    plant.mend(SECOND)
    assert {name: result["state"] for name, result in results.items()} == {
        name: {CANARY: "updated", SECOND: "rolled-back"}.get(name, "waiting") for name in NAMES
    }
    assert "Let the service take them over" in results[SECOND]["problem"]
    assert plant.serving() == {name: 3 if name == CANARY else 1 for name in NAMES}
    log = plant.edge_ad(SECOND, "store", "log", asset_of(SECOND))
    assert "rollback" in log
    assert "rollout" in log


def test_failures_in_the_last_stage_leave_nobody_without_a_bundle(plant):
    """One dies after the reload; that it comes up again is not good enough. Another is not reached."""
    dying, away, well = STAGES[2]
    plant.build(4)
    soon = "+/usr/bin/systemd-run --on-active=2 --timer-property=AccuracySec=100ms"
    plant.break_reload(dying, f"{soon} /bin/kill -KILL $MAINPID")
    plant.machines[away].server.stop()
    folder = plant.write("last", "--healthy-within", 30, "--max-fail-percentage", 50)
    results = plant.run(folder, 1)
    plant.machines[away].server.start()
    plant.mend(dying)
    assert {name: result["state"] for name, result in results.items()} == {
        CANARY: "updated",
        SECOND: "updated",
        well: "updated",
        dying: "rolled-back",
        away: "unreachable",
    }
    assert "The service is still up" in results[dying]["problem"]
    assert plant.serving() == {name: 1 if name in (dying, away) else 4 for name in NAMES}

    # What is mended gets its bundle by the same rollout; one that was given up is not tried again unasked.
    again = plant.run(folder, 1)
    assert again[away]["state"] == "updated"
    assert again[dying]["state"] == "refused"
    assert "was given up on this host" in again[dying]["problem"]
    assert plant.serving() == {name: 1 if name == dying else 4 for name in NAMES}


def test_where_all_is_well_the_same_again_changes_nothing(plant):
    plant.build(5)
    folder = plant.write("well", "--stages", "100%")
    assert {result["state"] for result in plant.run(folder, 0).values()} == {"updated"}
    assert set(plant.serving().values()) == {5}
    assert {result["state"] for result in plant.run(folder, 0).values()} == {"unchanged"}
    recap = [line for line in plant.said.splitlines() if "changed=" in line]
    assert len(recap) == 6
    assert all("changed=0 " in line for line in recap)
    assert "password" not in "".join(p.read_text() for p in folder.rglob("*.yml"))


def test_an_asset_that_a_host_never_had_is_not_forced_upon_it(plant, tmp_path):
    """There would be nothing to go back to, and nobody has told the agent where its samples are."""
    build(plant.fleet, plant.toy, "newcomer")
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(plant.inventory.read_text().replace(asset_of(CANARY), "newcomer"))
    words = ("--inventory", inventory, "-o", tmp_path / "new", "--stages", "100%", "--run", "--json")
    done = edge_ad("fleet", "rollout", plant.fleet, *words)
    assert done.returncode == 1, done.stderr
    results = {result["host"]: result for result in map(json.loads, done.stdout.splitlines())}
    assert results[CANARY]["state"] == "refused"
    assert "the first one comes with edge-ad deploy" in results[CANARY]["problem"]
    assert {r["state"] for name, r in results.items() if name != CANARY} == {"unchanged"}
    assert set(plant.serving().values()) == {5}


def test_a_host_key_that_is_another_is_not_taken(plant):
    plant.build(6)
    folder = plant.write("stranger", "--stages", "100%")
    assert plant.run(folder, 0, "--check") == {}
    assert set(plant.serving().values()) == {5}  # nothing was changed

    server = plant.machines[CANARY].server
    server.change_host_key()
    server.kill_sessions()  # Ansible keeps connections for a while
    try:
        results = plant.run(folder, 1)
    finally:
        server.trust_host_key()
    assert results[CANARY]["state"] == "unreachable"
    assert "Host key verification failed" in results[CANARY]["problem"]
    assert plant.serving() == {name: 5 if name == CANARY else 6 for name in NAMES}
