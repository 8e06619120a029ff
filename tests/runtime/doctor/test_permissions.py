"""Store, secrets, private keys, devices: who may do what."""

import os
import stat

import pytest

from edge_ad.bundle.secret_key import new_key, write_secret_key
from edge_ad.runtime.doctor.account import Account
from edge_ad.runtime.doctor.agent_files import AgentFiles
from edge_ad.runtime.doctor.permissions import permissions
from tests.runtime.doctor.trees import by_check, pi

OTHER = Account(4_000_000, "edge-ad", frozenset({4_000_000}))


@pytest.fixture
def tree(tmp_path):
    return pi(tmp_path / "pi")


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    (folder / "trust").mkdir(parents=True)
    for path in (folder, folder / "trust"):
        path.chmod(0o755)
    return folder


def found(tree, store, files=None, account=None):
    account = account or Account.here()
    return by_check(permissions(tree.machine(), account, {"store": store, "spool": store / "agent"}, files))


def test_a_store_that_is_as_it_should_be(tree, store):
    assert found(tree, store)["store-access"].level == "ok"
    assert found(tree, store, account=OTHER)["store-access"].level == "ok"


def test_a_store_that_the_service_may_not_read(tree, store):
    store.chmod(0o700)
    finding = found(tree, store, account=OTHER)["store-access"]
    assert finding.level == "fail"
    assert finding.text == f"edge-ad may not read {store}"
    assert finding.fix[0].startswith(f"sudo chown -R edge-ad: {store}")


@pytest.mark.parametrize("part", ["", "trust"])
def test_a_store_that_everybody_may_write(tree, store, part):
    (store / part).chmod(0o777)
    finding = found(tree, store)["store-access"]
    assert finding.level == "fail"
    assert str(store / part) in finding.text
    assert finding.fix == (f"sudo chmod -R o-w {store}",)


def test_bundles_that_another_account_has_installed(tree, store):
    """As root did, say: the service runs them, but keeps no book on their trials."""
    (store / "assets" / "pump").mkdir(parents=True)
    (store / "assets" / "pump").chmod(0o755)
    finding = found(tree, store, account=OTHER)["store-trials"]
    assert finding.level == "warn"
    assert f"may not write {store / 'assets' / 'pump'}" in finding.text
    assert finding.fix[0].startswith(f"sudo chown -R edge-ad: {store}")
    assert "store-trials" not in found(tree, store)


def test_a_spool_that_the_service_may_not_write(tree, store):
    (store / "agent").mkdir()
    (store / "agent").chmod(0o755)
    assert "spool-access" not in found(tree, store)
    finding = found(tree, store, account=OTHER)["spool-access"]
    assert finding.level == "fail"
    assert finding.fix == (f"sudo chown -R edge-ad: {store / 'agent'}",)


@pytest.mark.parametrize(
    ("mode", "account", "level", "words"),
    [
        (0o600, None, "ok", "not everybody"),
        (0o640, None, "ok", "not everybody"),
        (0o644, None, "fail", "every account of this machine may read"),
        (0o602, None, "fail", "every account"),
        (0o600, OTHER, "fail", "edge-ad may not read"),
    ],
)
def test_secrets(tree, store, tmp_path, mode, account, level, words):
    path = tmp_path / "broker password"
    path.write_text("secret\n")
    path.chmod(mode)
    finding = found(tree, store, AgentFiles(tmp_path / "agent.toml", secrets=(path,)), account)["secret"]
    assert finding.level == level
    assert words in finding.text
    assert "secret\n" not in finding.text
    if level == "fail":
        assert finding.fix[0].endswith(f"'{path}'")


def test_a_secret_that_is_not_there(tree, store, tmp_path):
    files = AgentFiles(tmp_path / "agent.toml", secrets=(tmp_path / "none",))
    finding = found(tree, store, files)["secret"]
    assert finding.level == "fail"
    assert "No such file" in finding.text
    assert finding.fix[0].startswith("sudo install -m 600")


def test_a_private_key_belongs_on_the_workstation(tree, store, tmp_path):
    write_secret_key(store / "plant.key", new_key(), None)
    (store / "other.key").write_text("a TLS key, say\n")
    files = AgentFiles(tmp_path / "etc" / "agent.toml")
    finding = found(tree, store, files)["private-key"]
    assert finding.level == "warn"
    assert str(store / "plant.key") in finding.text
    assert finding.fix[0].startswith(f"shred -u {store / 'plant.key'}")
    (store / "plant.key").unlink()
    assert "private-key" not in found(tree, store, files)


def device(tree, path, mode):
    tree.write(path)
    place = tree.root / path.lstrip("/")
    place.chmod(mode)
    return place


def test_a_serial_port_that_is_configured(tree, store, tmp_path):
    files = AgentFiles(tmp_path / "agent.toml", devices=("/dev/ttyUSB0",))
    finding = found(tree, store, files)["serial-port"]
    assert (finding.level, finding.text) == ("fail", "/dev/ttyUSB0 is not there")
    place = device(tree, "/dev/ttyUSB0", 0o660)
    group = stat.S_IMODE(place.stat().st_mode) and place.stat().st_gid
    finding = found(tree, store, files, OTHER)["serial-port"]
    assert finding.level == "fail"
    assert finding.fix[0].startswith("sudo usermod -aG ")
    member = Account(OTHER.uid, "edge-ad", frozenset({group}))
    finding = found(tree, store, files, member)["serial-port"]
    assert (finding.level, finding.text) == ("ok", "edge-ad may use /dev/ttyUSB0")


def test_serial_ports_that_nobody_configured(tree, store):
    device(tree, "/dev/ttyACM0", 0o660)
    assert found(tree, store, account=OTHER)["serial-port"].level == "warn"
    os.chmod(tree.root / "dev/ttyACM0", 0o666)
    assert found(tree, store, account=OTHER)["serial-port"].level == "ok"


def test_gpio(tree, store, tmp_path):
    wanted = AgentFiles(tmp_path / "agent.toml", kinds=frozenset({"gpio"}))
    assert found(tree, store)["gpio"].level == "skip"
    assert found(tree, store, wanted)["gpio"].level == "fail"
    device(tree, "/dev/gpiochip0", 0o660)
    assert found(tree, store, wanted, OTHER)["gpio"].level == "fail"
    assert found(tree, store, None, OTHER)["gpio"].level == "warn"
