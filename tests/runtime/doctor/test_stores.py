"""Stores as installers and accidents leave them, examined by the real probe."""

import subprocess
import sys

import pytest

from edge_ad.bundle.secret_key import new_key
from edge_ad.runtime.doctor.facts import AssetFact, EngineFact, KeysFact, NumpyFact, ProbeFacts, StoreFact
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.probing import Probe
from edge_ad.runtime.doctor.stores import stores
from tests.forge import edited
from tests.helpers import snapshot
from tests.runtime.doctor.trees import by_check, pi
from tests.runtime.stores import bundle_id, run_build


@pytest.fixture
def examined(monkeypatch):
    """Findings of a store."""
    monkeypatch.delenv("EDGE_AD_ENGINE", raising=False)

    def examine(store):
        probe = Probe(Machine(), store.root, 120)
        return list(stores(Machine(), probe.facts(), store.root))

    return examine


def test_no_store(examined, store):
    (finding,) = examined(store)
    assert finding.level == "skip"
    assert finding.fix == (f"edge-ad store install BUNDLE --store {store.root}",)


def test_an_empty_store(examined, store):
    store.root.mkdir()
    found = by_check(examined(store))
    assert found["store"].level == "skip"
    assert "nothing is installed" in found["store"].text


def test_an_active_bundle_is_verified_and_tried(examined, store, build):
    run_build(store, build(7))
    before = snapshot(store.root)
    found = by_check(examined(store))
    assert found["bundle"].level == "ok"
    assert found["bundle"].text == "toy, build 7: whole, and scores here as where it was built"
    assert found["keys"].level == "warn"
    assert "signatures are not required" in found["keys"].text
    assert snapshot(store.root) == before


def test_a_store_with_a_trusted_key(examined, store, build):
    key = new_key()
    store.keyring.trust(key.public)
    run_build(store, build(1, key))
    found = by_check(examined(store))
    assert found["keys"].level == "ok"
    assert found["keys"].text == "signatures are required; 1 trusted"
    assert found["bundle"].level == "ok"


def test_a_key_that_was_revoked(examined, store, build):
    key = new_key()
    store.keyring.trust(key.public)
    run_build(store, build(1, key))
    store.keyring.revoke(key.key_id)
    found = by_check(examined(store))
    assert "no key is trusted" in found["keys"].text
    assert found["keys"].level == found["bundle"].level == "fail"
    assert "revoked" in found["bundle"].text
    assert any("keys trust" in command for command in found["bundle"].fix)


def test_damaged_keys(examined, store, build):
    run_build(store, build(1))
    (store.root / "trust").mkdir()
    (store.root / "trust" / "X.pub").write_text("rubbish")
    found = by_check(examined(store))
    assert found["keys"].level == "fail"
    assert "X.pub" in found["keys"].text


def test_a_damaged_state_beside_a_good_asset(examined, store, build, data, tmp_path):
    run_build(store, build(1))
    other = tmp_path / "other.edgead"
    other.write_bytes(edited(data, lambda manifest: manifest.update(asset="fan 2/b")))
    run_build(store, other)
    state = next((store.root / "assets").glob("fan*/state.json"))
    state.write_text("{")
    found = [finding for finding in examined(store) if finding.check == "bundle"]
    assert sorted(finding.level for finding in found) == ["fail", "ok"]
    damaged = next(finding for finding in found if finding.level == "fail")
    assert "state.json is damaged" in damaged.text
    assert damaged.fix == (f"edge-ad store install BUNDLE --store {store.root}",)


def test_a_damaged_bundle(examined, store, build):
    first, second = build(1), build(2)
    run_build(store, first)
    run_build(store, second)
    path = store.bundle_path("toy", bundle_id(second))
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    finding = by_check(examined(store))["bundle"]
    assert finding.level == "fail"
    assert finding.text.startswith("toy, build 2: ")
    assert any(command.startswith("edge-ad store rollback toy --store ") for command in finding.fix)


def test_a_bundle_that_scores_otherwise_here(examined, store, data, tmp_path):
    def worsen(manifest):
        for variant in manifest["variants"]:
            variant["golden_scores"] = [score * 1.5 for score in variant["golden_scores"]]

    run_build(store, _written(tmp_path / "good.edgead", data))
    bad = _written(tmp_path / "bad.edgead", edited(data, worsen))
    # As after an upgrade of the interpreter: it was taken in while it still scored as it should.
    store.bundle_path("toy", bundle_id(bad)).write_bytes(bad.read_bytes())
    state = store.root / "assets" / "toy" / "state.json"
    state.write_text(state.read_text().replace(bundle_id(tmp_path / "good.edgead"), bundle_id(bad)))
    finding = by_check(examined(store))["bundle"]
    assert finding.level == "fail"
    assert "does not score here as it did where it was built" in finding.text
    assert finding.fix[0] == f"edge-ad verify @toy --store {store.root}"


def test_trials_and_what_was_given_up(examined, store, build):
    first, second = build(1), build(2)
    run_build(store, first)
    store.install(second)
    store.activate("toy", bundle_id(second))
    assert "on trial" in by_check(examined(store))["bundle"].text
    store.begin("toy")
    store.begin("toy")
    found = by_check(examined(store))
    assert found["bundle"].level == "warn"
    assert "started 2 times" in found["bundle"].text
    store.rollback("toy", "it smelled")
    found = by_check(examined(store))
    assert found["bundle"].level == "ok"
    assert found["given-up-bundle"].level == "warn"
    assert f"toy: {bundle_id(second)[:12]}: it smelled" in found["given-up-bundle"].text


def test_an_asset_with_nothing_active(examined, store, build):
    store.install(build(1))
    finding = by_check(examined(store))["bundle"]
    assert finding.level == "fail"
    assert finding.fix == (f"edge-ad store activate toy --store {store.root}",)


def test_an_unreadable_store(examined, store, build):
    run_build(store, build(1))
    (store.root / "assets" / "toy" / "state.json").unlink()
    (store.root / "assets" / "toy" / "state.json").mkdir()
    finding = by_check(examined(store))["store"]
    assert finding.level == "fail"
    assert "cannot read" in finding.text
    assert finding.fix[0].startswith("sudo ")


# What the probe could not get to

ENGINE = (EngineFact("numpy", in_use=True),)
KEYS = KeysFact(trusted=1, required=True)


def test_the_probe_ended_in_the_middle(tmp_path):
    facts = ProbeFacts(
        NumpyFact("2.2.6"),
        ENGINE,
        store=StoreFact(500),
        keys=KEYS,
        assets=(AssetFact("a", 1), AssetFact("b", 2)),
        step="the bundle of c",
        ending="it had not ended after 20 s",
    )
    found = by_check(stores(pi(tmp_path / "pi").machine(), facts, tmp_path))
    assert found["store"].level == "warn"
    assert (
        "498 of 500 assets are not examined: it had not ended after 20 s at the bundle of c"
        in found["store"].text
    )
    assert found["store"].fix


def test_without_numpy_nothing_is_said_of_bundles(tmp_path):
    facts = ProbeFacts(NumpyFact(problem="it died of SIGILL"))
    (finding,) = stores(pi(tmp_path / "pi").machine(), facts, tmp_path)
    assert finding.level == "skip"


def test_bundles_are_not_tried_on_a_broken_engine(tmp_path):
    broken = EngineFact("ai-edge-litert", in_use=True, problem="it died of SIGILL", signal="SIGILL")
    facts = ProbeFacts(
        NumpyFact("2.2.6"), (broken,), store=StoreFact(1), keys=KEYS, assets=(AssetFact("a", 1),)
    )
    finding = by_check(stores(pi(tmp_path / "pi").machine(), facts, tmp_path))["bundle"]
    assert finding.level == "skip"
    assert "not tried" in finding.text


def test_names_that_a_shell_would_take_apart(tmp_path):
    facts = ProbeFacts(
        NumpyFact("2.2.6"),
        ENGINE,
        store=StoreFact(1),
        keys=KEYS,
        assets=(AssetFact("a; rm -rf /", trouble="inactive", problem="no bundle is active"),),
    )
    finding = by_check(stores(pi(tmp_path / "pi").machine(), facts, tmp_path))["bundle"]
    assert finding.fix[0].startswith("edge-ad store activate 'a; rm -rf /' ")


def _written(path, content):
    path.write_bytes(content)
    return path


SAME_STORE = """
import os
from edge_ad.runtime.doctor import examination
from edge_ad.runtime.store import store
assert examination.default_store() == store.default_store()
if os.geteuid() == 0:
    os.setuid(65534)
    assert examination.default_store() == store.default_store()
os.environ["XDG_DATA_HOME"] = "/somewhere"
assert examination.default_store() == store.default_store()
"""


def test_the_store_is_the_one_that_other_commands_take():
    result = subprocess.run([sys.executable, "-c", SAME_STORE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
