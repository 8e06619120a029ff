"""The life of a store, step by step; runs under the shim and says what it found as JSON.

Usage: scenario.py WORK_FOLDER BUNDLES_FOLDER
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from edge_ad.bundle.bundle import read, unpack
from edge_ad.bundle.minisign import read_public_key
from edge_ad.bundle.overlay import NewLimit, Overlay, overlay_bytes
from edge_ad.errors import EdgeAdError
from edge_ad.runtime.store import store as stores
from edge_ad.runtime.store.store import Store
from tests.crash.disk import Disk, read_log

KILL, TEAR, FULL = 1, 2, 3
ASSET = "toy"
RANDOM_CUTS = 3

# The models run in another process, which does not touch the disk; here it would only take time.
stores.require_golden_scores = lambda bundle: []  # type: ignore[assignment]  # see above

shim = ctypes.CDLL(None)
shim.shim_count.restype = ctypes.c_long


def steps(bundles: Path) -> list[tuple[str, Callable[[Store], object]]]:
    """What happens to the store."""
    ids = [read(bundles / f"{n}.edgead").manifest.bundle_id for n in (1, 2, 3)]
    key = read_public_key(bundles / "me.pub")

    def install(number: int) -> tuple[str, Callable[[Store], object]]:
        return f"install {number}", lambda store: store.install(bundles / f"{number}.edgead")

    def activate(number: int) -> tuple[str, Callable[[Store], object]]:
        return f"activate {number}", lambda store: store.activate(ASSET, ids[number - 1])

    def begin(store: Store) -> object:
        return store.begin(ASSET)

    def recalibrate(store: Store) -> object:
        active = store.active(ASSET).original.manifest
        limits = tuple(NewLimit(v.name, v.limit.ucl, v.limit.ucl * 1.1, 500) for v in active.variants)
        made = "2026-01-01T00:00:00+00:00"
        overlay = Overlay("1.0", active.bundle_id, ASSET, made, "me", "0" * 64, 500, 0, limits)
        return store.apply_overlay(overlay_bytes(overlay))

    return [
        install(1),
        activate(1),
        ("begin", begin),
        ("confirm", lambda store: store.confirm(ASSET, ids[0])),
        ("trust", lambda store: store.keyring.trust(key)),
        install(2),
        activate(2),
        ("begin on trial", begin),
        ("stop", lambda store: store.ended_early(ASSET, ids[1])),
        ("fail", lambda store: store.fail(ASSET, ids[1], "broken")),
        activate(2),
        ("confirm 2", lambda store: store.confirm(ASSET, ids[1])),
        ("recalibrate", recalibrate),
        ("revert", lambda store: store.remove_overlay(ASSET)),
        install(3),
        activate(3),
        *[("begin on trial", begin)] * 3,
        ("begin gives up", begin),
        ("rollback", lambda store: store.rollback(ASSET)),
        ("gc", lambda store: store.gc()),
    ]


def essence(root: Path) -> object:
    """What the store knows, without times and numbers of changes."""
    store = Store(root)
    found = [dataclasses.replace(s, sequence=0, generations=()) for s in store.assets()]
    generations = [[g.bundle_id for g in s.generations] for s in store.assets()]
    return json.loads(json.dumps([[dataclasses.asdict(s) for s in found], generations])), sorted(
        key.key_id for key in store.keyring.policy().keys
    )


def check(root: Path, allowed: list[object], what: str) -> None:
    """The store opens, is in one of the allowed states, and what it would run is whole."""
    found = essence(root)
    assert found in allowed, f"{what}: {found} is none of {allowed}"
    store = Store(root)
    for asset in store.assets():
        noted = [entry.sequence for entry in store.journal(asset.asset)]
        assert noted == list(range(1, asset.sequence + 1)), f"{what}: the journal has {noted}"
        if asset.active is not None:
            store.active(asset.asset)
        for generation in asset.generations:
            check_whole(store.bundle_path(asset.asset, generation.bundle_id).read_bytes())


@cache
def check_whole(content: bytes) -> None:
    """Verify a bundle's bytes; the same ones only once."""
    unpack(content)


def write_out(files: dict[str, bytes | None], folder: Path) -> None:
    """Put what a disk has into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in files.items():
        if content is None:
            Path(path).mkdir(parents=True, exist_ok=True)
        else:
            Path(path).write_bytes(content)


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; its exit code, or minus the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
        os._exit(0)
    except EdgeAdError:
        os._exit(7)
    except BaseException as error:  # noqa: BLE001  the parent wants to know
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(8)


def attempt(root: Path, step: Callable[[Store], object], mode: int, at: int, log: int = -1) -> int:
    """One step under the shim."""

    def work() -> None:
        shim.shim_arm(str(root).encode(), mode, ctypes.c_long(at), log)
        try:
            step(Store(root))
        finally:
            if log >= 0:
                (root.parent / "count").write_text(str(shim.shim_count()))

    return in_child(work)


def main(work: Path, bundles: Path) -> None:
    """Go through the steps; at each, through every way it can be interrupted."""
    current = work / "store"
    current.mkdir()
    totals = {"killed": 0, "torn": 0, "full": 0, "power cuts": 0}
    rng = random.Random(0)
    trial = work / "trial"

    def fresh() -> Path:
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(current, trial)
        return trial

    for name, step in steps(bundles):
        before = essence(current)
        log_file = work / "log"
        log = os.open(log_file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        start = Disk.of(fresh())
        assert attempt(trial, step, FULL, 10**6, log) == 0, name
        os.close(log)
        calls = read_log(log_file.read_bytes())
        count = int((work / "count").read_text())
        n_writes = sum(operation == "write" for operation, *_ in calls)
        after = essence(trial)
        for mode, kind in ((KILL, "killed"), (TEAR, "torn"), (FULL, "full")):
            for at in range(1, (n_writes if mode == TEAR else count) + 1):
                what = f"{name}, {kind} at call {at} of {count}"
                code = attempt(fresh(), step, mode, at)
                assert code == -9 if mode != FULL else code in (0, 7), f"{what}: code {code}"
                # A service starts on a full disk, too: it is then not counted.
                done = code == 0 and not (mode == FULL and name.startswith("begin"))
                check(trial, [after] if done else [before, after], what)
                totals[kind] += 1
                # Whatever was left behind must not be in the way of doing it again.
                if essence(trial) == before and name != "begin on trial":
                    assert attempt(trial, step, FULL, 10**6) == 0, what
                    check(trial, [after], f"{what}, again")
        for length in range(len(calls) + 1):
            disk = start
            if length:
                disk.apply(*calls[length - 1])
            for choose in ("nothing", "names", "all", *[rng] * RANDOM_CUTS):
                write_out(disk.after_power_cut(choose), trial)
                ended = length == len(calls)
                check(trial, [after] if ended else [before, after], f"{name}, power cut after call {length}")
                totals["power cuts"] += 1
        # The next step starts from what is certain to be on the disk, and from nothing else.
        write_out(start.after_power_cut("nothing"), trial)
        shutil.rmtree(current)
        trial.rename(current)
    print(json.dumps(totals))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
