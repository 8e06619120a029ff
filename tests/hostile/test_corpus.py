"""Every bundle of the corpus is refused with its own error, before there is an interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_ad import errors
from edge_ad.bundle.bundle import unpack
from edge_ad.bundle.signing import sign
from edge_ad.runtime.selftest import require_golden_scores
from edge_ad.runtime.store.store import Store
from tests.forge import edited
from tests.hostile.attack import foreign_key, revoked_key, signed_only, trusted_key
from tests.hostile.corpus import CAUGHT_BY_SCORES, GROUPS, REFUSED
from tests.hostile.signatures import stripped

ROOT = Path(__file__).resolve().parents[2]
LARGEST_GROWTH = 384 * 2**20
"""The largest bundle has 64 MiB, and is held a few times over while its archive is compared."""


@pytest.fixture(scope="module")
def good(toy_bundle_path):
    return toy_bundle_path.read_bytes()


def test_the_good_bundle_is_taken(good):
    unpack(good)
    assert unpack(sign(good, trusted_key()), signed_only()).signature.trusted
    require_golden_scores(unpack(good))


def test_every_attack_has_a_name_of_its_own():
    names = [attack.name for attack in (*REFUSED, *CAUGHT_BY_SCORES)]
    assert len(names) == len(set(names))
    assert all(len(group) >= 25 for group in GROUPS.values())


@pytest.mark.parametrize("attack", REFUSED, ids=lambda attack: attack.name)
def test_refused_by_reading(good, attack):
    hostile = attack.make(good)
    assert hostile != good
    with pytest.raises(errors.BundleError, match=f"(?s){attack.words}") as caught:
        unpack(hostile, attack.trust())
    assert type(caught.value) is attack.error
    assert caught.value.exit_code == 3


def test_cut_at_every_kilobyte(good):
    signed = sign(good, trusted_key())
    for length in range(0, len(signed), 1024):
        for part in (signed[:length], signed[length + 1 :], signed[:length] + bytes(len(signed) - length)):
            with pytest.raises(errors.BundleError) as caught:
                unpack(part, signed_only())
            assert type(caught.value) is errors.BundleArchiveError


def test_no_interpreter_is_loaded_and_memory_is_bounded(toy_bundle_path):
    command = [sys.executable, "-m", "tests.hostile.refuse_all", toy_bundle_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["refused"] == len(REFUSED)
    for module in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
        assert module not in found["modules"]
    assert found["after"] - found["before"] < LARGEST_GROWTH


@pytest.mark.parametrize("attack", CAUGHT_BY_SCORES, ids=lambda attack: attack.name)
def test_caught_by_the_golden_scores(good, attack):
    hostile = attack.make(good)
    bundle = unpack(hostile)
    with pytest.raises(errors.BundleGoldenError, match=attack.words) as caught:
        require_golden_scores(bundle)
    assert type(caught.value) is attack.error


# --- what takes a store ----------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    """A device that trusts one key and has revoked another."""
    store = Store(tmp_path / "store")
    store.keyring.trust(trusted_key().public)
    store.keyring.trust(revoked_key().public)
    store.keyring.revoke(revoked_key().key_id)
    return store


def build(good, number, **entries):
    """Another build of the good bundle."""
    return edited(good, lambda manifest: manifest.update(build_number=number, **entries))


def install(store, folder, data):
    path = folder / "incoming.edgead"
    path.write_bytes(data)
    return store.install(path)


def test_a_downgrade_is_refused_though_it_is_well_signed(good, store, tmp_path):
    install(store, tmp_path, sign(build(good, 5), trusted_key()))
    before = store.state("toy")
    for number in (5, 4, 1):
        older = build(good, number, model_version="older")
        with pytest.raises(errors.BundleDowngradeError, match="already had build 5"):
            install(store, tmp_path, sign(older, trusted_key()))
    assert store.state("toy") == before
    assert (
        install(store, tmp_path, sign(build(good, 6), trusted_key())).highest_build[trusted_key().key_id] == 6
    )


def test_a_removed_generation_does_not_open_the_way_back(good, store, tmp_path):
    for number in (1, 2, 3):
        install(store, tmp_path, sign(build(good, number), trusted_key()))
    store.gc(2)
    with pytest.raises(errors.BundleDowngradeError):
        install(store, tmp_path, sign(build(good, 1), trusted_key()))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda good: good, errors.BundleUnsignedError),
        (stripped, errors.BundleUnsignedError),
        (lambda good: sign(good, foreign_key()), errors.BundleUntrustedKeyError),
        (lambda good: sign(good, revoked_key()), errors.BundleRevokedKeyError),
    ],
)
def test_the_store_takes_signed_bundles_only(good, store, tmp_path, make, error):
    with pytest.raises(error, match=r"incoming\.edgead"):
        install(store, tmp_path, make(good))
    assert store.assets() == []


@pytest.mark.parametrize(
    "asset", ["../../outside", "/etc/passwd", "..", ".", "a/../../b", "\x1b[2J", "ß\u202e"]
)
def test_an_asset_is_no_path(good, store, tmp_path, asset):
    install(store, tmp_path, sign(build(good, 1, asset=asset), trusted_key()))
    assert [state.asset for state in store.assets()] == [asset]
    assert {path.name for path in tmp_path.iterdir()} == {"store", "incoming.edgead"}
    (folder,) = (store.root / "assets").iterdir()
    assert folder.parent == store.root / "assets"


@pytest.mark.parametrize("asset", ["", "x" * 201, "ß" * 100])
def test_an_asset_without_a_name_for_a_folder(good, store, tmp_path, asset):
    with pytest.raises(errors.StoreError, match="needs a name of 1 to 200"):
        install(store, tmp_path, sign(build(good, 1, asset=asset), trusted_key()))


def test_what_scores_otherwise_is_not_kept(good, store, tmp_path):
    hostile = sign(CAUGHT_BY_SCORES[0].make(good), trusted_key())
    with pytest.raises(errors.BundleGoldenError):
        install(store, tmp_path, hostile)
    assert store.assets() == []
    assert not list(store.root.rglob("*.edgead"))
    assert not list(store.root.rglob(".incoming-*"))
