"""Spools on a disk that is full or read-only; runs while it is mounted: bad_disk.py FOLDER."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from edge_ad.runtime.agent import undelivered
from edge_ad.runtime.agent.undelivered import Undelivered
from tests.runtime.agent.support import Log, event, fill, ids


def on_disk(folder):
    """Checkpoints and ids of the events that a process which starts now would find."""
    with_copy = folder.parent.parent / "copy"  # on another disk
    shutil.rmtree(with_copy, ignore_errors=True)
    shutil.copytree(folder, with_copy)
    log = Log()
    copy = Undelivered(with_copy / "spool.db", ("a", "b"), note=log.note, say=log.say)
    found = dict(copy.checkpoints), ids(copy.pending("a", 10_000))
    copy.close()
    shutil.rmtree(with_copy)
    assert not log.notes
    return found


def full(disk):
    log = Log()
    folder = disk / "spool"
    subject = Undelivered(folder / "spool.db", ("a", "b"), note=log.note, say=log.say, most_unsaved=50)
    assert subject.add([event(1), event(2)], {"pump-1": "2"})
    filler = fill(disk)
    # Nothing of this fits into what the files have as their own.
    assert not subject.add([event(3), event(2)], {"pump-1": "3"})
    assert not subject.add([event(4)], {"pump-1": "4"})
    assert not subject.add([], {"pump-2": "later"})
    assert on_disk(folder) == ({"pump-1": "2"}, ["1", "2"])
    kind, text, _ = log.notes[-1]
    assert kind == "spool"
    assert f"cannot be saved to {folder}/spool.db: no space left on the disk; free some" in text
    assert "up to 50" in text
    # Deliveries go on, from disk and from memory, and nothing comes twice.
    assert ids(subject.pending("a", 10)) == ["1", "2", "3", "4"]
    subject.done("a", ["1", "3"])
    assert ids(subject.pending("a", 10)) == ["2", "4"]
    assert ids(subject.pending("b", 10)) == ["1", "2", "3", "4"]
    assert subject.n_waiting == {"a": 2, "b": 4}
    assert subject.n_unsaved == 2
    subject.done("b", ["3"])
    assert subject.n_unsaved == 1
    # Memory is bounded by the same rule.
    subject.add([event(f"mild {n}", -1) for n in range(30)], {})
    subject.add([event(f"bad {n}", 2) for n in range(60)], {"pump-1": "after all"})
    assert subject.n_unsaved == 50
    assert subject.dropped == {"none": 30, "s0": 1, "s2": 10}
    assert ids(subject.pending("a", 100)) == ["2", *(f"bad {n}" for n in range(10, 60))]
    assert not log.said
    filler.unlink()
    subject.retry()
    assert log.said == [f"events are saved to {folder}/spool.db again"]
    assert subject.n_unsaved == 0
    wanted = ["2", *(f"bad {n}" for n in range(10, 60))]
    assert on_disk(folder) == ({"pump-1": "after all", "pump-2": "later"}, wanted)
    assert subject.n_waiting == {"a": 51, "b": 52}
    assert subject.dropped == {"none": 30, "s0": 1, "s2": 10}
    subject.close()
    again = Undelivered(folder / "spool.db", ("a", "b"), note=log.note, say=log.say)
    assert again.dropped == {"none": 30, "s0": 1, "s2": 10}
    again.close()


def full_at_the_start(disk):
    log = Log()
    folder = disk / "spool"
    before = Undelivered(folder / "spool.db", ("a", "b"), note=log.note, say=log.say)
    before.add([event(1, 1)], {"pump-1": "1", "pump-2": "2"})
    before.close()
    (folder / "spool.db.lock").unlink()
    kept = (folder / "spool.db").rename(disk / "kept")
    filler = fill(disk)
    subject = Undelivered(folder / "spool.db", ("a", "b"), note=log.note, say=log.say)
    assert log.kinds() == ["spool"]
    assert not subject.add([event(2)], {"pump-1": "2 by a process without a disk"})
    assert ids(subject.pending("a", 10)) == ["2"]
    # As if the file could not be read before: an older one is there after all.
    for name in ("spool.db", "spool.db-wal"):
        (folder / name).unlink(missing_ok=True)
    kept.rename(folder / "spool.db")
    filler.unlink()
    subject.retry()
    assert subject.n_unsaved == 0
    assert ids(subject.pending("a", 10)) == ["1", "2"]
    assert dict(subject.checkpoints) == {"pump-1": "2 by a process without a disk", "pump-2": "2"}
    subject.close()
    assert on_disk(folder) == (dict(subject.checkpoints), ["1", "2"])


def read_only(disk):
    log = Log()
    folder = disk / "spool"
    subject = Undelivered(folder / "spool.db", ("a", "b"), note=log.note, say=log.say)
    subject.add([event(1)], {"pump-1": "1"})
    subject.close()
    remount(disk, "ro")
    subject = Undelivered(folder / "spool.db", ("a", "b"), note=log.note, say=log.say)
    assert "the file system is read-only; dmesg may tell why" in log.text()
    assert not subject.add([event(2)], {"pump-1": "2"})
    assert ids(subject.pending("a", 10)) == ["2"]
    subject.done("b", ["2"])
    remount(disk, "rw")
    subject.retry()
    assert subject.n_waiting == {"a": 2, "b": 1}
    subject.close()
    assert on_disk(folder) == ({"pump-1": "2"}, ["1", "2"])


def many(disk):
    """All that is on disk is delivered while the marks cannot be written; then it is too much to remember."""
    log = Log()
    folder = disk / "spool"
    subject = Undelivered(folder / "spool.db", ("a",), note=log.note, say=log.say, most_bytes=1 << 20)
    n = 0
    while not subject.dropped:
        assert subject.add([event(n * 50 + i) for i in range(50)], {})
        n += 1
    n_kept = subject.n_waiting["a"]
    filler = fill(disk)
    got = []
    while some := subject.pending("a", 40):
        got += ids(some)
        subject.done("a", ids(some))
    assert len(got) == len(set(got)) == n_kept
    assert subject.n_waiting == {"a": 0}
    assert subject.add([], {}) is False or not subject.pending("a", 1)
    filler.unlink()
    subject.retry()
    subject.close()
    again = Undelivered(folder / "spool.db", ("a",), note=log.note, say=log.say)
    assert again.n_waiting == {"a": 0}
    again.close()


def too_many(disk):
    """More is delivered than can be remembered: the rest waits for the disk, and nothing comes twice."""
    undelivered._MOST_UNMARKED = 100
    log = Log()
    folder = disk / "spool"
    subject = Undelivered(folder / "spool.db", ("a",), note=log.note, say=log.say)
    assert subject.add([event(n) for n in range(300)], {})
    filler = fill(disk)
    got = []
    while some := subject.pending("a", 30):
        got += ids(some)
        subject.done("a", ids(some))
    assert 100 <= len(got) < 130
    while subject.add([event("new")], {}):
        pass  # until what the files have as their own is used up
    assert ids(subject.pending("a", 10)) == ["new"]
    subject.done("a", ["new"])
    filler.unlink()
    subject.retry()
    while some := subject.pending("a", 30):
        got += ids(some)
        subject.done("a", ids(some))
    assert got == [str(n) for n in range(300)]
    subject.close()


def remount(disk, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


if __name__ == "__main__":
    disk = Path(sys.argv[1])
    {case.__name__: case for case in (full, full_at_the_start, read_only, many, too_many)}[disk.name](disk)
    print("done")
