"""Whose bundles a store takes."""

import subprocess
import sys

import pytest

from edge_ad import errors
from edge_ad.bundle.secret_key import new_key
from tests.conftest import DATA
from tests.forge import edited, members_of, with_signature
from tests.runtime.stores import bundle_id, run_build


def test_what_the_rules_refuse_costs_no_generation(store, build):
    """A key trusted too early, or revoked: a person's matter, after which all is as it was."""
    for number in (1, 2, 3):
        last = run_build(store, build(number))
    before = store.state("toy")
    store.keyring.trust(new_key().public)
    with pytest.raises(errors.BundleUnsignedError):
        store.begin("toy")
    assert store.state("toy") == before
    store.keyring.set_requirement("optional")
    assert store.begin("toy").bundle_id == last


def test_a_signature_is_not_lost_to_an_unsigned_copy(store, build):
    key = new_key()
    run_build(store, build(1, key))
    signed = store.bundle_path("toy", bundle_id(build(1))).read_bytes()
    store.install(build(1))
    assert store.bundle_path("toy", bundle_id(build(1))).read_bytes() == signed


def test_keys_decide_what_gets_in(store, build, tmp_path):
    mine, other = new_key(), new_key()
    assert store.keyring.trust(mine.public)
    assert not store.keyring.trust(mine.public)
    with pytest.raises(errors.BundleUnsignedError, match="edge-ad sign"):
        store.install(build(1))
    with pytest.raises(errors.BundleUntrustedKeyError, match=other.key_id):
        store.install(build(1, other))
    signed = build(1, mine)
    stolen = with_signature(edited(signed.read_bytes(), lambda m: m.update(asset="other")), b"x")
    (tmp_path / "x.edgead").write_bytes(stolen)
    with pytest.raises(errors.BundleSignatureError, match="damaged"):
        store.install(tmp_path / "x.edgead")
    assert store.assets() == []
    run_build(store, signed)
    assert store.state("toy").generations[0].key_id == mine.key_id


def test_a_signature_of_another_manifest(store, build, tmp_path, data):
    mine = new_key()
    store.keyring.trust(mine.public)
    other = build(2, mine).read_bytes()
    forged = with_signature(data, members_of(other)["manifest.json.minisig"])
    (tmp_path / "x.edgead").write_bytes(forged)
    with pytest.raises(errors.BundleSignatureError, match="changed after they were signed"):
        store.install(tmp_path / "x.edgead")


def test_rotation_and_revocation(store, build):
    old, new = new_key(), new_key()
    store.keyring.trust(old.public)
    first = run_build(store, build(1, old))
    store.keyring.trust(new.public)
    run_build(store, build(2, new))
    store.keyring.revoke(old.key_id.lower())
    with pytest.raises(errors.BundleRevokedKeyError, match=old.key_id):
        store.install(build(3, old))
    with pytest.raises(errors.BundleRevokedKeyError):
        store.rollback("toy")  # to a bundle that is not trusted any more
    with pytest.raises(errors.BundleRevokedKeyError):
        store.activate("toy", first)
    with pytest.raises(errors.ConfigurationError, match="revoked"):
        store.keyring.trust(old.public)
    store.keyring.revoke(new.key_id)
    assert store.keyring.policy().require_signature  # nothing is trusted, and still nothing unsigned gets in
    with pytest.raises(errors.BundleRevokedKeyError):
        store.begin("toy")


def test_policies(store, build):
    key = new_key()
    store.keyring.set_requirement("required")
    with pytest.raises(errors.BundleUnsignedError):
        store.install(build(1))
    store.keyring.set_requirement("optional")
    store.keyring.trust(key.public)
    store.install(build(1))
    store.keyring.set_requirement("automatic")
    with pytest.raises(errors.BundleUnsignedError):
        store.install(build(2))
    (store.root / "trust" / "policy").write_text("whatever")
    with pytest.raises(errors.KeyFileError, match="must say"):
        store.install(build(2, key))


def test_a_damaged_key_file_trusts_nothing(store, build):
    key = new_key()
    store.keyring.trust(key.public)
    (store.root / "trust" / f"{key.key_id}.pub").write_text("untrusted comment: x\nAAAA\n")
    with pytest.raises(errors.KeyFileError):
        store.install(build(1, key))


def test_a_key_counts_for_its_own_builds_only(store, build):
    """Someone with another trusted key cannot block the first with a huge build number."""
    first, second = new_key(), new_key()
    store.keyring.trust(first.public)
    store.keyring.trust(second.public)
    run_build(store, build(10**6, second))
    run_build(store, build(2, first))


CHECK = """
import sys
from pathlib import Path
from edge_ad.bundle.minisign import parse_signature, read_public_key, verify
from edge_ad.errors import BundleSignatureError
if sys.argv[4] == "no fork":
    import os
    del os.fork
signature = parse_signature(Path(sys.argv[1]).read_bytes())
key = read_public_key(Path(sys.argv[2]))
content = Path(sys.argv[3]).read_bytes()
try:
    verify(key, signature, content)
    print("good")
except BundleSignatureError:
    print("bad")
print("cryptography" in sys.modules)
"""


@pytest.mark.parametrize(
    ("change", "how", "expected"),
    [
        (b"", "fork", ["good", "False"]),
        (b"", "no fork", ["good", "True"]),
        (b"!", "fork", ["bad", "True"]),
    ],
)
def test_a_good_signature_leaves_the_library_out_of_this_process(tmp_path, change, how, expected):
    """It takes 8 MB, in a process that may run for years; where anything is wrong, it is looked at here."""
    manifest = members_of((DATA / "toy.edgead").read_bytes())["manifest.json"]
    (tmp_path / "manifest.json").write_bytes(manifest + change)
    files = [DATA / "toy.minisig", DATA / "toy.pub", tmp_path / "manifest.json"]
    result = subprocess.run(
        [sys.executable, "-c", CHECK, *map(str, files), how], capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == expected, result.stderr
    assert result.stderr == ""
