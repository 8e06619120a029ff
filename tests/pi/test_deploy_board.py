"""Deploying to an emulated 64-bit Arm board, over a real sshd: what can go wrong on the way there."""

import subprocess

import pytest

from tests.forge import edited
from tests.pi.deploying import COMMAND, Deployer, active_build, build, wheelhouse, worker_pid

TARGET = "rpi4-bookworm"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    import pi_rootfs

    with (
        pi_rootfs.Machine.open("arm64-bookworm", tmp_path_factory.mktemp("board")) as machine,
        machine.sshd() as server,
    ):
        yield server


@pytest.fixture(scope="module")
def board(server, toy_bundle_path):
    """A board with build 1 on it."""
    deployer = Deployer(server.ssh_config_file, ["--wheelhouse", wheelhouse(TARGET)])
    outcome = deployer.deploy(toy_bundle_path)
    assert outcome.code == 0, outcome.stderr
    assert {"account", "environment", "bundle", "switch"} <= set(outcome.steps("done"))
    return deployer


def program(server, *words):
    return server.ssh(" ".join(["sudo", "/opt/edge-ad/bin/edge-ad", *words, "--store", "/var/lib/edge-ad"]))


def test_it_scores_there_as_here(board, server, toy_csv, toy_decisions):
    assert server.ssh("uname -m").stdout.strip() == "aarch64"
    verified = program(server, "verify", "@toy").stdout
    assert "ai-edge-litert" in verified
    assert "FAILED" not in verified
    server.ssh(f"tee toy.csv > /dev/null <<'END'\n{toy_csv.read_text()}END")
    lines = program(server, "run", "@toy", "/home/pi/toy.csv", "--summary", "none").stdout.splitlines()
    assert len(lines) == len(toy_decisions)
    alarms = ['"alarm":true' in line for line in lines]
    assert alarms == ['"alarm":true' in line for line in toy_decisions]
    assert any(alarms)


def test_again_there_is_nothing_to_do(board, server, toy_bundle_path):
    number = active_build(server)
    outcome = board.deploy(build(toy_bundle_path, number, server.folder) if number > 1 else toy_bundle_path)
    assert outcome.code == 0, outcome.stderr
    assert set(outcome.steps("done")) == {"upload", "clean"}


@pytest.mark.parametrize("how", ["connection", "worker"])
def test_an_upgrade_that_is_interrupted(board, server, toy_bundle_path, tmp_path, how):
    for step in ("upload", "uploads", "bundle", "clean"):
        before = active_build(server)
        path = build(toy_bundle_path, before + 1, tmp_path)

        def interrupt():
            if how == "connection":
                assert server.kill_sessions()
            elif (pid := worker_pid(server)) != 0:
                server.ssh(f"sudo kill -KILL {pid}", check=False)

        cut = board.deploy(path, at=step, then=interrupt)
        assert step in cut.steps("begin"), (step, cut.stderr)
        assert cut.code in (0, 1), cut.stderr
        assert active_build(server) in (before, before + 1)
        again = board.deploy(path)
        assert again.code == 0, (step, again.stderr)
        assert active_build(server) == before + 1


def test_a_bundle_that_is_cut_off_never_leaves(board, server, toy_bundle_path, tmp_path):
    before = active_build(server)
    path = tmp_path / "cut.edgead"
    path.write_bytes(toy_bundle_path.read_bytes()[:-100])
    outcome = board.deploy(path)
    assert outcome.code == 3
    assert "not a complete bundle" in outcome.stderr
    assert not outcome.events
    assert active_build(server) == before


def test_a_bundle_that_scores_differently_there(board, server, toy_bundle_path, tmp_path):
    before = active_build(server)

    def spoil(manifest):
        manifest["build_number"] = 1000
        for variant in manifest["variants"]:
            variant["golden_scores"] = [score * 1.5 for score in variant["golden_scores"]]

    path = tmp_path / "spoiled.edgead"
    path.write_bytes(edited(toy_bundle_path.read_bytes(), spoil))
    outcome = board.deploy(path)
    assert outcome.code == 3
    assert "does not score here as it did" in outcome.stderr
    assert active_build(server) == before
    assert "FAILED" not in program(server, "verify", "@toy").stdout


@pytest.mark.parametrize("target", ["x86_64-bookworm", "rpi4-bookworm-32bit", "rpi4-trixie"])
def test_packages_for_other_boards(server, toy_bundle_path, target):
    outcome = Deployer(server.ssh_config_file, ["--wheelhouse", wheelhouse(target)]).deploy(toy_bundle_path)
    assert outcome.code == 1
    assert "and the board has Python 3.11 on aarch64" in outcome.stderr
    assert not outcome.events


def test_a_profile_for_other_boards(server, toy_bundle_path):
    outcome = Deployer(server.ssh_config_file, ["--profile", "rpi-zero-w"]).deploy(toy_bundle_path)
    assert outcome.code == 1
    assert "the board has aarch64" in outcome.stderr


def test_a_wheelhouse_that_is_damaged(server, toy_bundle_path, tmp_path):
    import shutil

    folder = tmp_path / "wheelhouse"
    shutil.copytree(wheelhouse(TARGET), folder)
    wheel = next(folder.glob("click-*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-1])
    outcome = Deployer(server.ssh_config_file, ["--wheelhouse", str(folder)]).deploy(toy_bundle_path)
    assert outcome.code == 2
    assert f"{wheel} is missing or damaged" in outcome.stderr


def test_no_room(tmp_path, toy_bundle_path):
    """Too little from the start; and a disk that fills when half is done."""
    import pi_rootfs

    with pi_rootfs.Machine.open("arm64-bookworm", tmp_path, size_mb=150) as machine, machine.sshd() as server:
        deployer = Deployer(server.ssh_config_file, ["--wheelhouse", wheelhouse(TARGET)])
        outcome = deployer.deploy(toy_bundle_path)
        assert outcome.code == 1
        assert "MB are needed" in outcome.stderr
        assert not outcome.events
    with pi_rootfs.Machine.open("arm64-bookworm", tmp_path, size_mb=400) as machine, machine.sshd() as server:
        deployer = Deployer(server.ssh_config_file, ["--wheelhouse", wheelhouse(TARGET)])

        def fill():
            server.ssh("sudo dd if=/dev/zero of=/fill bs=1M count=320 2>/dev/null", check=False)

        outcome = deployer.deploy(toy_bundle_path, at="environment", then=fill)
        assert outcome.code == 1
        assert "No space left on device" in outcome.stderr
        assert "make room" in outcome.stderr
        assert server.ssh(
            "ls /opt/edge-ad/releases /opt/edge-ad/bin 2>/dev/null", check=False
        ).stdout.split() in (
            [],
            ["/opt/edge-ad/releases:"],
        )


def test_a_host_key_that_is_not_the_known_one(board, server, toy_bundle_path):
    known = server.known_hosts_file.read_text()
    server.change_host_key()
    outcome = board.deploy(toy_bundle_path)
    assert outcome.code == 1
    assert "another host key than the one that is known" in outcome.stderr
    assert "ssh-keygen -R" in outcome.stderr
    server.known_hosts_file.write_text("")
    outcome = board.deploy(toy_bundle_path)
    assert outcome.code == 1
    assert "is not known here" in outcome.stderr
    assert server.known_hosts_file.read_text() == ""  # nor was it taken on trust
    server.known_hosts_file.write_text(known)
    server.trust_host_key()
    assert board.run("undeploy").code == 0


def test_a_configuration_that_trusts_anybody_is_overruled(server, toy_bundle_path, tmp_path):
    careless = tmp_path / "config"
    careless.write_text(f"StrictHostKeyChecking no\n{server.ssh_config_file.read_text()}")
    server.known_hosts_file.write_text("")
    outcome = Deployer(careless).deploy(toy_bundle_path)
    assert outcome.code == 1
    assert "is not known here" in outcome.stderr
    server.trust_host_key()


def test_nobody_there(server, toy_bundle_path, tmp_path):
    outcome = Deployer(server.ssh_config_file).deploy(toy_bundle_path, board="pi@127.0.0.1")
    assert outcome.code == 1
    config = tmp_path / "config"
    config.write_text(server.ssh_config_file.read_text().replace(str(server.port), "9"))
    outcome = Deployer(config).deploy(toy_bundle_path)
    assert outcome.code == 1
    assert "cannot be reached" in outcome.stderr
    other = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", other], check=True)
    config.write_text(server.ssh_config_file.read_text().replace(str(server.identity_file), str(other)))
    outcome = Deployer(config).deploy(toy_bundle_path)
    assert outcome.code == 1
    assert "does not let us in" in outcome.stderr


def test_through_a_jump_host(server, toy_bundle_path, tmp_path):
    """The board is its own way in: what counts is that the configuration of ssh is heeded on the way."""
    config = tmp_path / "config"
    text = server.ssh_config_file.read_text()
    config.write_text(f"{text}\nHost beyond\n  ProxyJump board\n{text.partition(chr(10))[2]}")
    result = subprocess.run(
        [
            *COMMAND,
            "deploy",
            str(toy_bundle_path),
            "beyond",
            "--ssh-config",
            str(config),
            "--dry-run",
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert '"environment"' in result.stdout
