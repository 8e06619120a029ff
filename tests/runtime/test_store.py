"""The store on a real disk: what gets in, what runs, and how it goes back."""

import fcntl
import os
import signal
import time

import pytest

from edge_ad import errors
from edge_ad.runtime.store import lock
from edge_ad.runtime.store.state import MAX_STARTS
from tests.forge import edited
from tests.helpers import snapshot
from tests.runtime.stores import bundle_id, run_build


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
    monkeypatch.setattr(lock, "WAIT_S", 0.1)
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
