"""The store on a real disk: what gets in, what runs, and how it goes back."""

import fcntl
import json
import os
import signal
import time

import numpy as np
import pytest

from edge_ad import errors
from edge_ad.bundle.bundle import unpack
from edge_ad.bundle.overlay import overlay_bytes
from edge_ad.bundle.secret_key import new_key
from edge_ad.bundle.signing import sign
from edge_ad.runtime.recalibrate import derive_overlay
from edge_ad.runtime.store import store as stores
from edge_ad.runtime.store.open import find_bundle
from edge_ad.runtime.store.service import Service
from edge_ad.runtime.store.state import MAX_STARTS
from edge_ad.runtime.store.store import Store
from tests.forge import edited, manifest_of, members_of, with_signature
from tests.helpers import snapshot

NOW = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def data(toy_bundle_path):
    return toy_bundle_path.read_bytes()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def build(tmp_path, data):
    """Writes build `number` of the toy bundle, signed where a key is given."""

    def make(number, key=None, **entries):
        content = edited(data, lambda manifest: manifest.update(build_number=number, **entries))
        path = tmp_path / f"build-{number}.edgead"
        path.write_bytes(sign(content, key) if key else content)
        return path

    return make


def bundle_id(path):
    return unpack(path.read_bytes()).manifest.bundle_id


def run_build(store, path):
    """Install, activate and prove a build."""
    found = store.install(path)
    store.activate(found.asset, bundle_id(path))
    store.confirm(found.asset, bundle_id(path))
    return bundle_id(path)


def test_first_bundle(store, build):
    path = build(1)
    found = store.install(path)
    assert found.active is None
    found = store.activate("toy", bundle_id(path))
    assert found.active == bundle_id(path)
    assert found.on_trial
    opened = store.begin("toy")
    assert opened.on_trial
    assert store.bundle_path("toy", bundle_id(path)).read_bytes() == path.read_bytes()
    assert store.state("toy").trial_starts == 1
    store.confirm("toy", bundle_id(path))
    assert not store.begin("toy").on_trial
    assert [entry.action for entry in store.journal("toy")] == ["install", "activate", "start", "confirm"]


def test_installing_twice_changes_nothing(store, build):
    path = build(1)
    run_build(store, path)
    before = snapshot(store.root)
    store.install(path)
    store.activate("toy", bundle_id(path))
    assert snapshot(store.root) == before


def test_update_and_back(store, build):
    old, new = run_build(store, build(1)), run_build(store, build(2))
    assert store.state("toy").active == new
    assert store.rollback("toy", "it is noisy").active == old
    assert store.state("toy").failed == {new: "it is noisy"}
    with pytest.raises(errors.StoreError, match="no earlier bundle"):
        store.rollback("toy")
    assert store.begin("toy").original.manifest.bundle_id == old


def test_a_downgrade_is_refused_and_can_be_allowed(store, build):
    run_build(store, build(5))
    before = snapshot(store.root)
    with pytest.raises(errors.BundleDowngradeError, match=r"build 4, .* already had build 5"):
        store.install(build(4))
    assert snapshot(store.root) == before
    store.install(build(4), allow_downgrade=True)
    assert len(store.state("toy").generations) == 2


@pytest.mark.parametrize("broken", ["scores", "bytes"])
def test_a_bundle_that_fails_its_self_test_leaves_nothing(store, build, tmp_path, broken):
    run_build(store, build(1))
    before = snapshot(store.root)
    path = tmp_path / "bad.edgead"
    if broken == "scores":

        def wrong(manifest):
            manifest["build_number"] = 2
            manifest["variants"][1]["golden_scores"][3] *= 1.5

        path.write_bytes(edited(build(2).read_bytes(), wrong))
        with pytest.raises(errors.BundleGoldenError, match=r"tiny-int8: FAILED.*window 3.*tolerance 0\.02"):
            store.install(path)
    else:
        path.write_bytes(build(2).read_bytes()[:-100])
        with pytest.raises(errors.BundleArchiveError, match=r"bad\.edgead"):
            store.install(path)
    after = snapshot(store.root)
    journal = "assets/toy/journal.ndjson"
    assert after.pop(journal).startswith(before.pop(journal))  # where the attempt may be noted
    assert after == before


def test_a_model_that_kills_the_interpreter_does_not_kill_the_installer(store, build, monkeypatch):
    """No model is known that passes the structure check and does so; here, what would run it dies itself."""
    from edge_ad.runtime import selftest

    def die(bundle, variant):
        os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr(selftest, "self_test", die)
    with pytest.raises(errors.BundleModelError, match="tiny-float32: the interpreter died of SIGSEGV"):
        store.install(build(1))
    monkeypatch.setattr(selftest, "self_test", lambda bundle, variant: time.sleep(60))
    monkeypatch.setattr(selftest, "TIME_LIMIT_S", 0.5)
    with pytest.raises(errors.BundleModelError, match="tiny-float32: no answer within"):
        store.install(build(1))
    assert store.assets() == []


def test_trial_that_ends_badly_goes_back_by_itself(store, build):
    old = run_build(store, build(1))
    path = build(2)
    store.install(path)
    store.activate("toy", bundle_id(path))
    for _ in range(MAX_STARTS):
        assert store.begin("toy").original.manifest.bundle_id == bundle_id(path)
    opened = store.begin("toy")
    assert opened.original.manifest.bundle_id == old
    assert "rolled back" in opened.notice
    assert "3 starts" in opened.notice
    assert store.begin("toy").notice == ""
    assert store.journal("toy")[-1].action == "rollback"


def test_the_first_bundle_has_nothing_to_go_back_to_and_goes_on(store, build):
    path = build(1)
    store.install(path)
    store.activate("toy", bundle_id(path))
    for _ in range(MAX_STARTS + 3):
        assert store.begin("toy").original.manifest.bundle_id == bundle_id(path)


def test_bit_rot_in_the_active_bundle(store, build):
    old, new = run_build(store, build(1)), run_build(store, build(2))
    path = store.bundle_path("toy", new)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = store.state("toy")
    opened = store.begin("toy")
    assert opened.bundle_id == old
    assert f"In its place runs {old[:12]}" in opened.notice
    assert store.state("toy") == before  # the disk may recover
    store.install(build(2))  # puts the good bytes back
    assert store.begin("toy").notice == ""
    assert store.begin("toy").bundle_id == new


def test_bit_rot_everywhere_is_an_error_that_says_so(store, build):
    only = run_build(store, build(1))
    store.bundle_path("toy", only).write_bytes(b"")
    with pytest.raises(errors.BundleArchiveError):
        store.begin("toy")


def test_a_damaged_state_is_made_anew_of_what_is_there(store, build):
    run_build(store, build(1))
    run_build(store, build(2))
    run_build(store, build(1, asset="other"))
    path = store.root / "assets" / "toy" / "state.json"
    path.write_bytes(b"{")
    with pytest.raises(errors.StoreError, match=r"state\.json is damaged .* install the asset's"):
        store.begin("toy")
    assert [found.asset for found in store.assets()] == ["other"]  # which goes on
    assert store.damaged() == [path.parent]
    with pytest.raises(errors.BundleDowngradeError):
        store.install(build(1, model_version="old"))
    found = store.install(build(2))
    assert [g.build_number for g in found.generations] == [1, 2]
    store.activate("toy", bundle_id(build(2)))
    assert store.begin("toy").bundle_id == bundle_id(build(2))
    assert len(store.journal("toy")) == found.sequence + 2


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


def test_a_trial_given_up_with_no_former_bundle_that_opens_goes_on(store, build):
    old = run_build(store, build(1))
    path = build(2)
    store.install(path)
    store.activate("toy", bundle_id(path))
    store.bundle_path("toy", old).write_bytes(b"damaged")
    for _ in range(MAX_STARTS + 2):
        assert store.begin("toy").bundle_id == bundle_id(path)
    assert store.state("toy").failed == {}


def test_an_older_build_is_no_update_though_it_is_installed(store, build):
    """Who has an old signed bundle must not bring it back by installing it once more."""
    run_build(store, build(1))
    run_build(store, build(2))
    with pytest.raises(errors.BundleDowngradeError):
        store.install(build(1))
    store.install(build(1), allow_downgrade=True)
    assert store.activate("toy", bundle_id(build(1))).active == bundle_id(build(1))


def test_a_signature_is_not_lost_to_an_unsigned_copy(store, build):
    key = new_key()
    run_build(store, build(1, key))
    signed = store.bundle_path("toy", bundle_id(build(1))).read_bytes()
    store.install(build(1))
    assert store.bundle_path("toy", bundle_id(build(1))).read_bytes() == signed


def test_a_service_goes_on_where_the_store_cannot_be_written(store, build, monkeypatch):
    path = build(1)
    store.install(path)
    store.activate("toy", bundle_id(path))
    monkeypatch.setattr(stores, "_LOCK_WAIT_S", 0.1)
    said = []
    with (store.root / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with Service.start("@toy", store.root, said.append, 0.0) as service:
            decide("normal")(service)
            decide("normal")(service)
    assert "not counted" in said[0]
    assert "another edge-ad" in said[1]
    assert store.state("toy").on_trial


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


def test_gc_keeps_what_waits_for_its_turn(store, build):
    run_build(store, build(1))
    run_build(store, build(2))
    store.install(build(3))
    store.gc()
    assert [g.build_number for g in store.state("toy").generations] == [1, 2, 3]
    store.install(build(3))
    left = store.root / "assets" / "never" / "bundles"
    left.mkdir(parents=True)
    (left / ".incoming-0").write_bytes(b"x" * 1000)
    assert store.gc() == 1000


def test_gc(store, build, tmp_path):
    ids = [run_build(store, build(number)) for number in range(1, 6)]
    stray = store.bundle_path("toy", "x").with_name(".incoming-0")
    stray.write_bytes(b"half")
    store.gc(3)
    assert [g.bundle_id for g in store.state("toy").generations] == ids[2:]
    assert sorted(path.stem for path in stray.parent.iterdir()) == sorted(ids[2:])
    assert store.rollback("toy").active == ids[3]
    with pytest.raises(errors.StoreError, match="at least 2"):
        store.gc(1)


def test_one_installer_at_a_time(store, build, monkeypatch):
    run_build(store, build(1))
    monkeypatch.setattr(stores, "_LOCK_WAIT_S", 0.1)
    with (store.root / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(errors.StoreBusyError, match="another edge-ad"):
            store.install(build(2))
        assert store.begin("toy").notice == ""  # a service that needs no change does not wait


@pytest.mark.parametrize("asset", ["../../etc", "a/b", ".hidden", "..", "ünï", "x" * 60, "a b%2F"])
def test_names_of_assets_are_no_paths(store, build, asset):
    path = build(1, asset=asset)
    run_build_of = store.install(path)
    assert run_build_of.asset == asset
    folders = list((store.root / "assets").iterdir())
    assert len(folders) == 1
    assert folders[0].resolve().parent == (store.root / "assets").resolve()
    store.activate(asset, bundle_id(path))
    assert store.active(asset).asset == asset


@pytest.mark.parametrize("asset", ["", "x" * 300, "ü" * 100])
def test_names_that_are_too_long_for_a_folder(store, build, asset):
    with pytest.raises(errors.StoreError, match="name of 1 to 200"):
        store.install(build(1, asset=asset))


def test_two_assets_do_not_meet(store, build):
    run_build(store, build(1, asset="a"))
    run_build(store, build(1, asset="b"))
    assert [found.asset for found in store.assets()] == ["a", "b"]
    with pytest.raises(errors.StoreError, match="no bundle of 'c' is installed in .*assets: a, b"):
        store.state("c")


def test_a_swapped_file_is_noticed(store, build):
    one, two = run_build(store, build(1, asset="a")), run_build(store, build(1, asset="b"))
    store.bundle_path("a", one).write_bytes(store.bundle_path("b", two).read_bytes())
    with pytest.raises(errors.BundleDigestError, match="not the bundle it is named after"):
        store.begin("a")


def test_a_torn_journal_line_swallows_nothing(store, build):
    run_build(store, build(1))
    path = store.root / "assets" / "toy" / "journal.ndjson"
    with path.open("ab") as file:
        file.write(b'{"action":"inst')
    run_build(store, build(2))
    actions = [entry.action for entry in store.journal("toy")]
    assert actions == ["install", "activate", "confirm"] * 2


def test_a_refused_activation_is_in_the_journal(store, build):
    run_build(store, build(1))
    path = build(2)
    store.install(path)
    stored = store.bundle_path("toy", bundle_id(path))
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(errors.BundleArchiveError):
        store.activate("toy", bundle_id(path))
    last = store.journal("toy")[-1]
    assert last.action == "refused"
    assert "not a complete bundle" in last.detail or "belong to no member" in last.detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_not_be_written(store, build):  # pragma: no cover
    run_build(store, build(1))
    store.root.chmod(0o500)
    with pytest.raises(errors.OutputError):
        store.install(build(2))
    store.root.chmod(0o700)


# Service


def serve(store, until, trial_s=0.0):
    said = []
    with Service.start("@toy", store.root, said.append, trial_s) as service:
        until(service)
    return said


def decide(state):
    class Decision:
        pass

    decision = Decision()
    decision.state = state
    return lambda service: service.watched(lambda *a: None)(decision, "")


def test_service_that_decides_is_confirmed(store, build):
    path = build(1)
    store.install(path)
    store.activate("toy", bundle_id(path))
    serve(store, decide("unknown"))
    assert store.state("toy").trial_starts == 0  # ended in good order, proved nothing
    serve(store, decide("normal"), trial_s=60)
    assert store.state("toy").trial_starts == 0
    serve(store, decide("alarm"))
    assert not store.state("toy").on_trial


def test_service_that_fails(store, build):
    old = run_build(store, build(1))
    path = build(2)

    def refuse(service):
        raise errors.BundleModelError("no such operator")

    def stumble(service):
        raise errors.DataError("no such file")

    def slip(service):
        raise errors.ConfigurationError("no such variant")

    def crash(service):
        raise RuntimeError("bug")

    store.install(path)
    store.activate("toy", bundle_id(path))
    with pytest.raises(errors.DataError):
        serve(store, lambda service: (decide("normal")(service), stumble(service)), trial_s=60)
    assert store.state("toy").trial_starts == 0
    with pytest.raises(errors.ConfigurationError):
        serve(store, slip)
    assert store.state("toy").trial_starts == 0
    with pytest.raises(errors.DataError):  # a channel that the stream does not have
        serve(store, stumble)
    assert store.state("toy").trial_starts == 1
    with pytest.raises(RuntimeError):
        serve(store, crash)
    assert store.state("toy").trial_starts == 2
    said = []
    with (
        pytest.raises(errors.BundleModelError),
        Service.start("@toy", store.root, said.append) as service,
    ):
        refuse(service)
    assert store.state("toy").active == old
    assert "rolled back to" in said[0]


# Recalibration


def derive(data, path, **options):
    return derive_overlay(
        unpack(data), path, **{"with_scaler": False, "by": "me", "created": NOW, "force": True, **options}
    )


def test_new_limits_follow_the_bundles_own_rule(data, normal_csv):
    from edge_ad.runtime.detector import Detector

    bundle = unpack(data)
    overlay = derive(data, normal_csv)
    for limit in overlay.limits:
        detector = Detector.load(bundle, limit.variant)
        text = normal_csv.read_text().splitlines()
        separator = bundle.manifest.input.separator
        at = [text[0].split(separator).index(c.name) for c in bundle.manifest.channels]
        rows = np.array([[float(line.split(separator)[i]) for i in at] for line in text[1:]])
        windows = np.stack([rows[i : i + 10] for i in range(len(rows) - 9)])
        scores = detector.score_windows(windows)
        entry = bundle.manifest.variant(limit.variant).limit
        expected = np.percentile(scores, entry.percentile) * entry.factor
        assert limit.new_ucl == pytest.approx(expected, rel=1e-5)
        assert limit.n_windows == len(windows)
        assert limit.old_ucl == entry.ucl


def test_recalibration_is_recorded_and_taken_back(store, build, normal_csv):
    path = build(1)
    run_build(store, path)
    original = store.bundle_path("toy", bundle_id(path)).read_bytes()
    overlay = derive(path.read_bytes(), normal_csv)
    store.apply_overlay(overlay_bytes(overlay))
    opened = store.begin("toy")
    assert opened.running.manifest.variants[0].limit.ucl == overlay.limits[0].new_ucl
    assert opened.original.manifest.variants[0].limit.ucl == overlay.limits[0].old_ucl
    assert find_bundle("@toy", store.root).running == opened.running
    last = store.journal("toy")[-1]
    assert last.action == "recalibrate"
    assert overlay.samples_sha256 in last.detail
    assert f"{overlay.limits[0].new_ucl:.6g}" in last.detail
    store.remove_overlay("toy")
    assert store.begin("toy").running == opened.original
    with pytest.raises(errors.StoreError, match="nothing to revert"):
        store.remove_overlay("toy")
    assert store.bundle_path("toy", bundle_id(path)).read_bytes() == original


def test_an_overlay_with_a_scaler(data, normal_csv, tmp_path):
    overlay = derive(data, normal_csv, with_scaler=True)
    glitch = tmp_path / "glitch.csv"
    lines = normal_csv.read_text().splitlines()
    separator = manifest_of(data)["input"]["separator"]
    cells = lines[300].split(separator)
    glitch.write_text(
        "\n".join([*lines[:300], separator.join([cells[0], "32767", *cells[2:]]), *lines[301:]]) + "\n"
    )
    with pytest.raises(errors.DataError, match=r"its scale would go from .* has it glitches"):
        derive(data, glitch, with_scaler=True, force=False)
    constant = [separator.join([(c := line.split(separator))[0], "7", *c[2:]]) for line in lines[1:]]
    glitch.write_text("\n".join([lines[0], *constant]) + "\n")
    with pytest.raises(errors.DataError, match="is it constant"):
        derive(data, glitch, with_scaler=True, force=False)
    assert overlay.old_scaler == unpack(data).manifest.scaler
    assert overlay.new_scaler != overlay.old_scaler


def test_a_damaged_overlay_stops_the_service_with_the_way_out(store, build, normal_csv):
    path = build(1)
    run_build(store, path)
    store.apply_overlay(overlay_bytes(derive(path.read_bytes(), normal_csv)))
    (file,) = (store.root / "assets" / "toy" / "overlays").iterdir()
    file.write_bytes(b"{}")
    with pytest.raises(errors.StoreError, match="edge-ad store revert toy"):
        store.begin("toy")


def test_an_overlay_of_another_bundle(store, build, normal_csv):
    run_build(store, build(1))
    with pytest.raises(errors.BundleMismatchError, match="belongs to bundle"):
        store.apply_overlay(overlay_bytes(derive(build(2).read_bytes(), normal_csv)))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda o: o["limits"][0].update(old_ucl=3.0), errors.BundleMismatchError),
        (lambda o: o["limits"].append(o["limits"][0]), errors.BundleMismatchError),
        (lambda o: o["limits"].pop(), errors.BundleMismatchError),
        (lambda o: o["limits"][0].update(new_ucl=1e300), errors.BundleManifestError),
        (lambda o: o["limits"][0].update(new_ucl=-1.0), errors.BundleManifestError),
        (lambda o: o["limits"][0].update(n_windows=-7), errors.BundleManifestError),
        (lambda o: o.update(schema="2.0"), errors.BundleVersionError),
        (lambda o: o.update(colour="red"), errors.BundleManifestError),
        (lambda o: o.update(asset="other"), errors.StoreError),
    ],
)
def test_overlays_that_lie(store, build, normal_csv, change, error):
    run_build(store, build(1))
    overlay = json.loads(overlay_bytes(derive(build(1).read_bytes(), normal_csv)))
    change(overlay)
    before = store.state("toy")
    with pytest.raises(error):
        store.apply_overlay(json.dumps(overlay).encode())
    assert store.state("toy") == before


def test_an_overlay_of_a_revoked_key(store, build, normal_csv):
    mine, other = new_key(), new_key()
    store.keyring.trust(mine.public)
    store.keyring.trust(other.public)
    path = build(1, mine)
    run_build(store, path)
    content = overlay_bytes(derive(path.read_bytes(), normal_csv))
    store.apply_overlay(content, other.sign(content, "x").text().encode())
    assert store.begin("toy").overlay is not None
    store.keyring.revoke(other.key_id)
    with pytest.raises(errors.StoreError, match="was revoked .* edge-ad store revert toy"):
        store.begin("toy")


def test_too_few_samples(data, normal_csv, tmp_path):
    short = tmp_path / "short.csv"
    short.write_text("\n".join(normal_csv.read_text().splitlines()[:60]) + "\n")
    with pytest.raises(errors.DataError, match="50 whole windows; a limit needs 100"):
        derive(data, short)


def test_samples_that_are_not_normal(data, toy_csv, normal_csv, tmp_path):
    lines = normal_csv.read_text().splitlines()
    separator = manifest_of(data)["input"]["separator"]
    far = [lines[0]] + [
        separator.join([x.split(separator)[0], *(["9999"] * (x.count(separator)))]) for x in lines[1:]
    ]
    path = tmp_path / "far.csv"
    path.write_text("\n".join(far) + "\n")
    with pytest.raises(errors.DataError, match="more than a factor of 3"):
        derive(data, path, force=False)
    broken = [line if i % 3 else "garbage" for i, line in enumerate(lines[1:])]
    path.write_text("\n".join([lines[0], *broken]) + "\n")
    with pytest.raises(errors.DataError, match="cannot be used"):
        derive(data, path, force=False)
