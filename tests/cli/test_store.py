"""Keys, signatures and the store, as commands; the signatures against the real minisign as well."""

import json
import os
import shutil
import stat
import subprocess

import pytest

from tests.forge import edited, members_of
from tests.helpers import COMMAND, edge_ad

PASSPHRASE = "correct horse"


@pytest.fixture
def run(tmp_path):
    """The command in an empty folder with a store of its own."""

    def command(*arguments, code=0, **options):
        env = os.environ | {"EDGE_AD_STORE": str(tmp_path / "store")}
        result = edge_ad(*arguments, cwd=tmp_path, env=env, **options)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        return result

    return command


@pytest.fixture
def minisign():
    found = shutil.which("minisign")
    if found is None:
        pytest.skip("needs the real minisign: apt-get install minisign")

    def command(*arguments, **options):
        return subprocess.run(
            [found, *map(str, arguments)], capture_output=True, text=True, check=False, **options
        )

    return command


@pytest.fixture
def bundle(tmp_path, toy_bundle_path):
    """A copy to sign."""
    path = tmp_path / "toy.edgead"
    path.write_bytes(toy_bundle_path.read_bytes())
    return path


def build(bundle, number, name):
    path = bundle.with_name(name)
    path.write_bytes(edited(bundle.read_bytes(), lambda manifest: manifest.update(build_number=number)))
    return path


def test_signing_and_the_real_minisign(run, minisign, bundle, tmp_path):
    made = run("keys", "new", "me", "--no-passphrase").stdout
    assert stat.S_IMODE((tmp_path / "me.key").stat().st_mode) == 0o600
    run("sign", bundle, "--key", "me.key")
    for name in ("manifest.json", "manifest.json.minisig"):
        (tmp_path / name).write_bytes(members_of(bundle.read_bytes())[name])
    result = minisign("-Vm", "manifest.json", "-p", "me.pub", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "asset=toy build=1" in result.stdout
    (tmp_path / "manifest.json").write_bytes((tmp_path / "manifest.json").read_bytes() + b" ")
    assert minisign("-Vm", "manifest.json", "-p", "me.pub", cwd=tmp_path).returncode != 0
    key = (tmp_path / "me.key").read_text().splitlines()[1]
    assert key not in made


def test_keys_and_signatures_of_the_real_minisign(run, minisign, bundle, tmp_path):
    assert minisign("-G", "-W", "-p", "m.pub", "-s", "m.key", cwd=tmp_path).returncode == 0
    run("sign", bundle, "--key", "m.key", "-o", "one.edgead")
    (tmp_path / "manifest.json").write_bytes(members_of(bundle.read_bytes())["manifest.json"])
    assert minisign("-Sm", "manifest.json", "-s", "m.key", cwd=tmp_path).returncode == 0
    by_hand = ["sign", bundle, "--signature", "manifest.json.minisig", "-o", "two.edgead"]
    assert "--public-key" in run(*by_hand, code=2).stderr
    run("keys", "new", "other", "--no-passphrase")
    assert "not trusted" in run(*by_hand, "--public-key", "other.pub", code=3).stderr
    run(*by_hand, "--public-key", "m.pub")
    run("keys", "trust", "m.pub")
    for name in ("one.edgead", "two.edgead"):
        assert "signed by the trusted key" in run("verify", name).stdout


def test_a_passphrase_of_ours_opens_in_the_real_minisign(run, minisign, tmp_path):
    (tmp_path / "pass").write_text(f"{PASSPHRASE}\n")
    run("keys", "new", "me", "--passphrase-file", "pass")
    (tmp_path / "x").write_text("hello")
    result = minisign("-Sm", "x", "-s", "me.key", cwd=tmp_path, input=f"{PASSPHRASE}\n")
    assert result.returncode == 0, result.stderr
    assert minisign("-Vm", "x", "-p", "me.pub", cwd=tmp_path).returncode == 0


def test_a_passphrase_of_the_real_minisign_opens_here(run, minisign, bundle, tmp_path):
    made = minisign("-G", "-p", "m.pub", "-s", "m.key", cwd=tmp_path, input=f"{PASSPHRASE}\n" * 2)
    assert made.returncode == 0, made.stderr
    (tmp_path / "pass").write_text(PASSPHRASE)
    (tmp_path / "wrong").write_text("wrong")
    result = run("sign", bundle, "--key", "m.key", "--passphrase-file", "wrong", code=2)
    assert "passphrase is wrong" in result.stderr
    assert "manifest.json.minisig" not in members_of(bundle.read_bytes())
    run("sign", bundle, "--key", "m.key", "--passphrase-file", "pass")
    assert "manifest.json.minisig" in members_of(bundle.read_bytes())


def test_keys_are_never_replaced(run, tmp_path):
    run("keys", "new", "me", "--no-passphrase")
    before = (tmp_path / "me.key").read_bytes()
    assert "never replaced" in run("keys", "new", "me", "--no-passphrase", code=1).stderr
    (tmp_path / "me.pub").unlink()
    run("keys", "new", "me", "--no-passphrase", code=1)
    assert (tmp_path / "me.key").read_bytes() == before


def test_signing_twice_gives_the_same_bytes(run, bundle):
    run("keys", "new", "me", "--no-passphrase")
    run("sign", bundle, "--key", "me.key")
    once = bundle.read_bytes()
    run("sign", bundle, "--key", "me.key")
    assert bundle.read_bytes() == once


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sign", "toy.edgead"], 2, "either --key or --signature"),
        (["sign", "toy.edgead", "--key", "missing.key"], 2, "cannot read missing.key"),
        (["sign", "toy.edgead", "--key", "me.pub"], 2, "is it the public one"),
        (["sign", "toy.edgead", "--key", "locked.key"], 2, "--passphrase-file"),
        (["sign", "toy.edgead", "--signature", "me.pub"], 2, "--public-key"),
        (
            ["sign", "toy.edgead", "--signature", "me.pub", "--public-key", "me.pub"],
            *(3, "me.pub: the signature is damaged"),
        ),
        (["sign", "missing.edgead", "--key", "me.key"], 3, "cannot read missing.edgead"),
        (["keys", "trust", "me.key"], 2, "no minisign public key"),
        (["keys", "trust", "missing.pub"], 2, "cannot read"),
        (["keys", "revoke", "0123456789ABCDEF"], 2, "no key '0123456789ABCDEF' is trusted"),
        (["keys", "new", "you"], 2, "--passphrase-file"),
        (["keys", "new", "no/such/folder", "--no-passphrase"], 1, "No such file"),
        (["store", "activate", "pump"], 1, "no bundle of 'pump' is installed"),
        (["store", "rollback", "pump"], 1, "no bundle of 'pump' is installed"),
        (["store", "install", "missing.edgead"], 3, "cannot read missing.edgead"),
        (["run", "@pump", "-"], 1, "no bundle of 'pump' is installed"),
        (["verify", "@"], 1, "name of 1 to 200"),
        (["recalibrate", "toy.edgead", "x.csv"], 2, "--output"),
        (["recalibrate", "toy.edgead", "x.csv", "-o", "o.json"], 5, "cannot read x.csv"),
        (["store", "apply", "toy.edgead"], 3, "overlay is not valid"),
    ],
)
def test_what_cannot_be_done(run, bundle, tmp_path, arguments, code, words):
    run("keys", "new", "me", "--no-passphrase")
    (tmp_path / "pass").write_text(PASSPHRASE)
    run("keys", "new", "locked", "--passphrase-file", "pass")
    before = bundle.read_bytes()
    assert words in run(*arguments, code=code, input="").stderr
    assert bundle.read_bytes() == before


def test_from_first_key_to_revocation(run, bundle, toy_csv):
    run("keys", "new", "a", "--no-passphrase")
    run("keys", "new", "b", "--no-passphrase")
    first = build(bundle, 1, "1.edgead")
    run("store", "install", first)
    warned = run("keys", "trust", "a.pub").stderr
    assert "toy will not start again" in warned  # what runs is not signed
    assert "not signed" in run("run", "@toy", toy_csv, code=3).stderr
    run("sign", first, "--key", "a.key")
    run("store", "install", first)
    run("run", "@toy", toy_csv, "--trial", "0")
    second = build(bundle, 2, "2.edgead")
    run("keys", "trust", "b.pub")
    run("sign", second, "--key", "b.key")
    run("store", "install", second)
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert len(listed["trusted"]) == 2
    assert listed["signature_required"]
    state = json.loads(run("store", "list", "--json").stdout)[0]
    a, b = (generation["key_id"] for generation in state["generations"])
    run("run", "@toy", toy_csv, "--trial", "0")
    run("keys", "revoke", a)
    assert a in run("store", "rollback", "toy", code=3).stderr
    assert run("keys", "revoke", b).stderr.startswith("toy will not start again")
    assert "revoked" in run("run", "@toy", toy_csv, code=3).stderr


def test_update_trial_and_rollback(run, bundle, toy_csv):
    for number in (1, 2):
        run("store", "install", build(bundle, number, f"{number}.edgead"))
        result = run("run", "@toy", toy_csv, "--trial", "0")
        assert result.stdout == run("run", f"{number}.edgead", toy_csv).stdout
    assert "active" in run("store", "list").stdout
    assert "build 1" in run("store", "rollback", "toy", "--reason", "noisy").stdout
    assert "given up: noisy" in run("store", "list").stdout
    again = run("store", "install", "2.edgead", code=1)
    assert "given up on this machine (noisy)" in again.stderr
    identity = json.loads(run("store", "list", "--json").stdout)[0]["generations"][1]["bundle_id"]
    run("store", "activate", "toy", identity[:8])
    assert "build 2" in run("inspect", "@toy").stdout
    assert "no difference" in run("diff", "@toy", "2.edgead").stdout
    forged = "x\n2026-01-01T00:00:00+00:00  confirm  000000000000  root: forged\x1b[2J"
    run("store", "rollback", "toy", "--reason", forged)
    shown = run("store", "log", "toy").stdout + run("store", "list").stdout
    assert "\x1b" not in shown
    assert not any(line.startswith("2026-01-01") for line in shown.splitlines())
    log = [json.loads(line) for line in run("store", "log", "toy", "--json").stdout.splitlines()]
    assert [entry["action"] for entry in log].count("rollback") == 2
    run("store", "gc")


def test_names_from_a_bundle_are_no_commands_to_a_terminal(run, bundle):
    name = "to\x1b[2Jy\nother: build 9"
    path = bundle.with_name("hostile.edgead")
    path.write_bytes(edited(bundle.read_bytes(), lambda manifest: manifest.update(asset=name)))
    run("keys", "new", "me", "--no-passphrase")
    for command in (["store", "install", path], ["store", "list"], ["store", "log", name]):
        result = run(*command)
        shown = result.stdout + result.stderr
        assert "\x1b" not in shown
        assert not any(line.startswith("other") for line in shown.splitlines())
    assert "\x1b" not in run("keys", "trust", "me.pub").stderr


def test_a_service_killed_on_trial_uses_up_its_starts(run, bundle, toy_csv, tmp_path):
    run("store", "install", build(bundle, 1, "1.edgead"))
    run("run", "@toy", toy_csv, "--trial", "0")
    run("store", "install", build(bundle, 2, "2.edgead"))
    env = os.environ | {"EDGE_AD_STORE": str(tmp_path / "store")}
    for _ in range(3):
        with subprocess.Popen(
            [*COMMAND, "run", "@toy", "-"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as service:
            service.stdin.write("".join(toy_csv.read_text().splitlines(keepends=True)[:30]))
            service.stdin.flush()
            assert service.stdout.readline().startswith("{")
            service.kill()
    result = run("run", "@toy", toy_csv)
    assert "rolled back" in result.stderr
    assert json.loads(run("store", "list", "--json").stdout)[0]["trial_starts"] is None


def test_recalibration_from_end_to_end(run, bundle, tmp_path, normal_csv):
    run("store", "install", bundle)
    result = run("recalibrate", "@toy", normal_csv, "--force", "--by", "Ada")
    assert "tiny-int8: UCL" in result.stdout
    assert "recalibrated  yes" in run("inspect", "@toy").stdout
    log = run("store", "log", "toy").stdout
    assert "by Ada" in log
    assert "->" in log
    decisions = run("run", "@toy", normal_csv).stdout.splitlines()
    ucl = json.loads(decisions[0])["ucl"]
    assert ucl != json.loads(run("run", bundle, normal_csv).stdout.splitlines()[0])["ucl"]
    run("store", "revert", "toy")
    assert "recalibrated  no" in run("inspect", "@toy").stdout


def test_an_overlay_from_elsewhere_must_be_signed_where_bundles_must(run, bundle, normal_csv):
    run("keys", "new", "me", "--no-passphrase")
    run("sign", bundle, "--key", "me.key")
    run("keys", "trust", "me.pub")
    run("store", "install", bundle)
    run("recalibrate", bundle, normal_csv, "--force", "-o", "o.json")
    assert "not signed" in run("store", "apply", "o.json", code=3).stderr
    run("recalibrate", bundle, normal_csv, "--force", "-o", "o.json", "--key", "me.key")
    run("store", "apply", "o.json")
    assert "recalibrated  yes" in run("inspect", "@toy").stdout
