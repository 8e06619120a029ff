"""Deploying to a board with a real systemd: the service is upgraded, taken back, interrupted, removed."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.forge import edited
from tests.pi.deploying import COMMAND, Deployer, active_build, wheelhouse, worker_pid

BROKEN_SPOOL = "/proc/nowhere/spool.db"
"""The agent can do without much, but not without a spool; that shows when it starts."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    import pi_rootfs

    with pi_rootfs.BootedMachine.open("amd64-bookworm", tmp_path_factory.mktemp("booted")) as machine:
        yield machine.server


@pytest.fixture(scope="module")
def board(server):
    """Every command to it; what one test leaves is the next one's start."""
    return Deployer(server.ssh_config_file, ["--wheelhouse", wheelhouse("x86_64-bookworm")])


@pytest.fixture
def later(toy_bundle_path, tmp_path, numbers):
    """The toy bundle as a build that is newer than all before; with the number it gets."""

    def make(edit=lambda manifest: None):
        number = next(numbers)
        path = tmp_path / f"{number}.edgead"

        def renumbered(manifest):
            manifest["build_number"] = number
            edit(manifest)

        path.write_bytes(edited(toy_bundle_path.read_bytes(), renumbered))
        return path, number

    return make


@pytest.fixture(scope="module")
def numbers():
    return count(2)


@pytest.fixture
def prepared(board, server, later, tmp_path):
    """A board on which a build serves, with settings of its own."""
    path, number = later()
    outcome = board.deploy(path, "--config", settings(tmp_path))
    assert outcome.code == 0, outcome.stderr
    assert is_active(server)
    assert active_build(server) == number
    return board


def settings(folder, comment="", spool=""):
    table = f'[agent]\nspool = "{spool}"\n' if spool else ""
    path = folder / f"settings{comment}.toml"
    path.write_text(
        f'# {comment}\n{table}[[asset]]\nname = "toy"\n'
        'source = { kind = "follow", path = "/var/log/toy.csv" }\n'
    )
    return path


def is_active(server):
    return server.ssh("systemctl is-active edge-ad-agent", check=False).stdout.strip() == "active"


def main_pid(server):
    return server.ssh("systemctl show -P MainPID edge-ad-agent").stdout.strip()


def everything(server):
    """What decides what runs: release, bundle, files."""
    command = "readlink /opt/edge-ad/bin; cd /etc; tail -n +1 edge-ad/agent.toml"
    return server.ssh(f"sudo sh -c '{command} systemd/system/*ad-agent.service'").stdout, active_build(server)


def test_first_and_again(board, server, toy_bundle_path, toy_csv):
    board.run("undeploy", "--purge")
    planned = board.deploy(toy_bundle_path, "--dry-run")
    assert planned.code == 0, planned.stderr
    to_do = {event["step"] for event in planned.events if not event["done"]}
    assert {"account", "environment", "bundle", "settings", "unit", "switch", "service"} <= to_do
    assert server.ssh("ls -d /opt/edge-ad /var/lib/edge-ad /etc/edge-ad", check=False).stdout == ""

    first = board.deploy(toy_bundle_path)
    assert first.code == 0, first.stderr
    assert to_do <= set(first.steps("done"))
    assert is_active(server)
    assert server.ssh("systemctl is-enabled edge-ad-agent").stdout.strip() == "enabled"
    assert "MemoryMax" in server.ssh("systemctl cat edge-ad-agent").stdout
    verified = server.ssh("systemd-analyze verify edge-ad-agent.service 2>&1", check=False).stdout
    assert "edge-ad" not in verified, verified
    exposure = server.ssh("systemd-analyze security --no-pager edge-ad-agent", check=False).stdout
    assert float(exposure.rpartition("edge-ad-agent.service: ")[2].split()[0]) <= 2.0, exposure

    # It does watch: samples that are appended are decided on.
    server.ssh("sudo install -d /var/log/edge-ad")
    server.ssh(f"sudo tee /var/log/edge-ad/toy.csv > /dev/null <<'END'\n{toy_csv.read_text()}END")
    deadline = time.monotonic() + 60
    events = "/var/lib/edge-ad/agent/events.ndjson"
    while server.ssh(f"sudo test -s {events}", check=False).returncode and time.monotonic() < deadline:
        time.sleep(0.2)
    assert '"began"' in server.ssh(f"sudo cat {events}").stdout

    pid = main_pid(server)
    again = board.deploy(toy_bundle_path)
    assert again.code == 0, again.stderr
    assert set(again.steps("done")) == {"upload", "clean"}
    assert main_pid(server) == pid


def test_a_later_build_takes_over_without_a_restart(prepared, server, later):
    pid = main_pid(server)
    path, number = later()
    outcome = prepared.deploy(path)
    assert outcome.code == 0, outcome.stderr
    assert active_build(server) == number
    assert main_pid(server) == pid
    assert "environment" in outcome.steps("kept")


def test_an_older_build_is_refused_unless_allowed(prepared, server, later):
    older, number = later()
    assert prepared.deploy(later()[0]).code == 0
    before = everything(server)
    outcome = prepared.deploy(older)
    assert outcome.code == 3
    assert "--allow-downgrade" in outcome.stderr
    assert everything(server) == before
    assert is_active(server)
    assert prepared.deploy(older, "--allow-downgrade").code == 0
    assert active_build(server) == number


def test_a_service_that_does_not_come_up_is_taken_back(prepared, server, later, tmp_path):
    before = everything(server)
    broken = ["--config", settings(tmp_path, "broken", BROKEN_SPOOL), "--gpio", "--healthy-within", 20]
    outcome = prepared.deploy(later()[0], *broken)
    assert outcome.code == 1, outcome.stderr
    assert "environment" in outcome.steps("done")  # it has other packages, and is not in service afterwards
    assert "taken back" in outcome.stderr
    assert everything(server) == before
    assert is_active(server)
    # and the next order is not burdened by it
    path, number = later()
    good = prepared.deploy(path)
    assert good.code == 0, good.stderr
    assert active_build(server) == number


def test_settings_that_cannot_be_acted_on_change_nothing(prepared, server, later, tmp_path):
    before, pid = everything(server), main_pid(server)
    config = tmp_path / "wrong.toml"
    config.write_text('[[asset]]\nname = "toy"\nsource = { kind = "telepathy" }\n')
    outcome = prepared.deploy(later()[0], "--config", config)
    assert outcome.code == 2
    assert "telepathy" in outcome.stderr
    assert everything(server) == before
    assert main_pid(server) == pid


def test_a_bundle_that_scores_differently_there_is_refused(prepared, server, later):
    before, pid = everything(server), main_pid(server)

    def spoil(manifest):
        for variant in manifest["variants"]:
            variant["golden_scores"] = [score * 1.5 for score in variant["golden_scores"]]

    outcome = prepared.deploy(later(spoil)[0])
    assert outcome.code == 3
    assert "does not score here as it did" in outcome.stderr
    assert everything(server) == before
    assert main_pid(server) == pid


def test_another_asset_joins(prepared, server, later, tmp_path):
    path, _ = later(lambda manifest: manifest.update(asset="second"))
    outcome = prepared.deploy(path, "--samples", "/var/log/second.csv")
    assert outcome.code == 0, outcome.stderr
    config = server.ssh("cat /etc/edge-ad/agent.toml").stdout
    assert settings(tmp_path).read_text().strip() in config
    assert 'name = "second"' in config
    assert '"/var/log/second.csv"' in config
    assert is_active(server)


STEPS = ("upload", "uploads", "environment", "bundle", "settings", "unit", "switch", "service", "clean")


@pytest.fixture(scope="module")
def profile():
    from edge_ad.profiles import firmware_file

    text = firmware_file("generic-x86_64.toml").decode()
    assert "memory_limit_mb = 256" in text
    return text


@pytest.fixture
def upgrade(later, tmp_path, profile):
    """Orders in which every step has something to do: bundle, settings, unit and packages are others."""

    def make():
        path, number = later()
        changed = tmp_path / f"board-{number}.toml"
        changed.write_text(profile.replace("memory_limit_mb = 256", f"memory_limit_mb = {256 + number}"))
        packages = ["--gpio"] if number % 2 == 0 else []
        order = [path, "--config", settings(tmp_path, number), "--profile", changed, *packages]
        return order, number

    return make


@pytest.mark.parametrize("how", ["connection", "worker"])
def test_wherever_it_is_interrupted_the_same_again_converges(prepared, server, upgrade, how):
    """At every step the connection breaks, or the process that works on the board is killed."""

    def interrupt():
        if how == "connection":
            assert server.kill_sessions()
        elif (pid := worker_pid(server)) != 0:
            server.ssh(f"sudo kill -KILL {pid}", check=False)

    for step in STEPS[how == "worker" :]:
        serving = server.ssh("readlink /opt/edge-ad/bin").stdout.split("/")[1]
        server.ssh(f"cd /opt/edge-ad/releases; ls | grep -v {serving} | xargs -r sudo rm -r")  # made anew
        order, number = upgrade()
        before = active_build(server)
        cut = prepared.deploy(*order, at=step, then=interrupt)
        assert step in cut.steps("begin"), (step, cut.events, cut.stderr)
        if cut.code:
            assert cut.code == 1, cut.stderr
            assert "again" in cut.stderr
        assert active_build(server) in (before, number)
        again = prepared.deploy(*order)
        assert again.code == 0, (step, again.stderr)
        assert active_build(server) == number
        assert is_active(server), step
    third = prepared.deploy(*order)
    assert set(third.steps("done")) == {"upload", "clean"}, third.events


@pytest.mark.parametrize("asset", ["toy", "third"])
def test_after_an_interruption_it_goes_back_to_what_served_before(
    prepared, server, upgrade, later, tmp_path, asset
):
    """Killed when half was changed, and what follows, of whatever asset, does not work either."""
    before = everything(server)
    order, _ = upgrade()
    cut = prepared.deploy(
        *order, at="settings", then=lambda: server.ssh(f"sudo kill -KILL {worker_pid(server)}", check=False)
    )
    assert cut.code == 1, cut.stderr
    record = json.loads(server.ssh("sudo cat /opt/edge-ad/deploy/record.json").stdout)
    assert record["before"] is not None  # a change is under way
    broken = ["--config", settings(tmp_path, "broken", BROKEN_SPOOL), "--healthy-within", 20]
    outcome = prepared.deploy(later(lambda manifest: manifest.update(asset=asset))[0], *broken)
    assert outcome.code == 1, outcome.stderr
    assert everything(server) == before
    assert is_active(server)


def test_settings_keep_their_owner_and_mode(prepared, server, later):
    """They may hold what is not for everybody; so may copies of them."""
    config = "/etc/edge-ad/agent.toml"
    server.ssh(f"sudo chown root:edge-ad {config}; sudo chmod 640 {config}")
    assert prepared.deploy(later(lambda manifest: manifest.update(asset="fourth"))[0]).code == 0
    assert is_active(server)
    files = f"{config} {config}.before /opt/edge-ad/deploy/record.json"
    shown = server.ssh(f"sudo stat -c '%U:%G %a' {files}").stdout.split("\n")
    assert shown[:3] == ["root:edge-ad 640", "root:edge-ad 640", "root:root 600"]


def test_a_service_that_is_started_again_and_again_is_not_well(prepared, server, later):
    folder = "/etc/systemd/system/edge-ad-agent.service.d"
    server.ssh(f"printf '[Service]\\nExecStartPre=/bin/false\\n' | sudo tee {folder}/90-broken.conf")
    server.ssh("sudo systemctl daemon-reload; sudo systemctl restart --no-block edge-ad-agent")
    try:
        outcome = prepared.deploy(later()[0], "--healthy-within", 20)
        assert outcome.code == 1, outcome.stderr
        assert "COULD BE TAKEN BACK" in outcome.stderr  # what ran before does not run either
    finally:
        server.ssh(f"sudo rm {folder}/90-broken.conf; sudo systemctl daemon-reload")
    assert prepared.deploy(later()[0]).code == 0
    assert is_active(server)


def test_two_at_once(prepared, server, later):
    orders = [later(), later()]
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda order: prepared.deploy(order[0]), orders))
    log = server.ssh("sudo /opt/edge-ad/bin/edge-ad store log toy --store /var/lib/edge-ad").stdout
    assert any(outcome.code == 0 for outcome in outcomes), outcomes
    for outcome, (_, number) in zip(outcomes, orders, strict=True):
        assert outcome.code in (0, 1, 3), outcome.stderr  # 3: the other's build is the newer one
        assert outcome.code or f"build {number}\n" in log
    path, number = orders[1]
    assert prepared.deploy(path).code == 0
    assert active_build(server) == number


def test_undeploy_leaves_what_the_board_collected(prepared, server):
    number = active_build(server)
    outcome = prepared.run("undeploy")
    assert outcome.code == 0, outcome.stderr
    assert not is_active(server)
    assert server.ssh("ls -d /opt/edge-ad /etc/systemd/system/edge-ad*", check=False).stdout == ""
    assert active_build(server) == number
    assert prepared.run("undeploy", "--purge").code == 0
    assert server.ssh("ls -d /var/lib/edge-ad /etc/edge-ad", check=False).stdout == ""
    assert "edge-ad" not in server.ssh("getent passwd").stdout
    assert prepared.run("undeploy", "--purge").code == 0  # once more is no trouble


def test_a_first_service_that_does_not_come_up_leaves_none(board, server, toy_bundle_path, tmp_path):
    board.run("undeploy", "--purge")
    broken = ["--config", settings(tmp_path, "broken", BROKEN_SPOOL), "--healthy-within", 20]
    outcome = board.deploy(toy_bundle_path, *broken)
    assert outcome.code == 1, outcome.stderr
    assert not is_active(server)
    unit, link = "/etc/systemd/system/edge-ad-agent.service", "/opt/edge-ad/bin"
    assert server.ssh(f"ls -d {unit} {link} /etc/edge-ad/agent.toml", check=False).stdout == ""
    assert board.deploy(toy_bundle_path).code == 0
    assert is_active(server)


@pytest.mark.parametrize("what", ["file", "@toy"])
def test_bench_there(prepared, server, toy_bundle_path, tmp_path, what):
    """Of a file in an environment that is there, or what is active; the service goes on meanwhile."""
    pid, before = main_pid(server), everything(server)
    output = tmp_path / "bench.json"
    result = subprocess.run(
        [
            *(*COMMAND, "bench", str(toy_bundle_path) if what == "file" else what),
            *("--on", "board", "--ssh-config", str(server.ssh_config_file), *prepared.options),
            *("--windows", "300", "--processes", "2", "--engine", "numpy", "--variant", "tiny-int8"),
            *("-o", str(output)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    measured = json.loads(output.read_text())
    assert measured["bundle"]["asset"] == "toy"
    assert "tiny-int8" in result.stdout
    assert "verdict:" in result.stdout
    assert (main_pid(server), everything(server)) == (pid, before)


def test_bench_there_without_anything_installed(board, server, toy_bundle_path, tmp_path):
    board.run("undeploy", "--purge")
    words = ["--on", "board", "--ssh-config", str(server.ssh_config_file), *board.options]
    words += ["--windows", "300", "--processes", "1", "--engine", "numpy", "--variant", "tiny-int8"]
    result = subprocess.run(
        [*COMMAND, "bench", str(toy_bundle_path), *words], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "verdict:" in result.stdout
    assert server.ssh("ls -d /opt/edge-ad", check=False).stdout == ""
    nothing = subprocess.run([*COMMAND, "bench", "@toy", *words], capture_output=True, text=True, check=False)
    assert nothing.returncode == 1
    assert "edge-ad deploy" in nothing.stderr


def test_an_environment_made_by_hand_is_left_alone(board, server, toy_bundle_path):
    board.run("undeploy", "--purge")
    server.ssh("sudo install -d /opt/edge-ad/bin && sudo touch /opt/edge-ad/bin/mine")
    for words in (["deploy", toy_bundle_path], ["undeploy"]):
        outcome = board.run(*words)
        assert outcome.code == 1
        assert "made by hand" in outcome.stderr
    assert server.ssh("ls /opt/edge-ad/bin").stdout.strip() == "mine"
    server.ssh("sudo rm -r /opt/edge-ad")


def test_without_root(board, server, toy_bundle_path):
    outcome = board.deploy(toy_bundle_path, "--user")
    assert outcome.code == 0, outcome.stderr
    assert "FAILED" not in server.ssh(".local/lib/edge-ad/bin/edge-ad verify @toy").stdout
    assert server.ssh("ls -d /opt/edge-ad", check=False).stdout == ""
    assert board.run("undeploy", "--user", "--purge").code == 0
    assert server.ssh("ls -d .local/lib/edge-ad .local/share/edge-ad", check=False).stdout == ""


def test_sudo_that_wants_a_password(board, server, toy_bundle_path):
    from edge_ad.errors import DeployError
    from edge_ad.toolchain.deploy.board import Board
    from edge_ad.toolchain.deploy.ssh import Connection, Destination

    rules = server.ssh("sudo sh -c 'grep -l NOPASSWD /etc/sudoers.d/*'").stdout.split()
    server.ssh("echo pi:secret | sudo chpasswd")
    server.ssh(f"sudo sed -i s/NOPASSWD:// {' '.join(rules)}")
    try:
        with Connection(Destination("board", config=Path(server.ssh_config_file))) as connection:
            assert Board(connection).facts().prefix.startswith("/home/pi")
            assert Board(connection, sudo_password="secret").facts().prefix == "/opt/edge-ad"
            with pytest.raises(DeployError, match="does not take this password"):
                Board(connection, sudo_password="wrong").facts()
        for outcome in (board.run("undeploy"), board.deploy(toy_bundle_path)):
            assert outcome.code == 1
            assert "--ask-sudo-password" in outcome.stderr
    finally:
        server.ssh(f"echo secret | sudo -S sed -i 's/ALL$/NOPASSWD: ALL/' {' '.join(rules)}")
    assert server.ssh("sudo -n id -u").stdout.strip() == "0"
