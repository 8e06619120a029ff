"""Some hours of a spool; runs under the shim and says what it found as JSON.

Usage: spool_scenario.py WORK_FOLDER
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import sys
from pathlib import Path

from edge_ad.runtime.agent import database, spool_file
from edge_ad.runtime.agent.undelivered import Undelivered
from tests.crash.disk import Disk, read_log
from tests.crash.scenario import FULL, KILL, TEAR, in_child, write_out
from tests.runtime.agent.support import Log, event, ids

N_EVENTS = 18
RANDOM_CUTS = 2
MILD = -1
SINKS = ("fast", "slow")

shim = ctypes.CDLL(None)
shim.shim_count.restype = ctypes.c_long

# So that a short life has all that a long one has: checkpoints of the log, and pages given back.
database._SETTINGS = tuple(
    {"wal_autocheckpoint": "wal_autocheckpoint = 12", "journal_size_limit": "journal_size_limit = 30000"}.get(
        setting.partition(" ")[0], setting
    )
    for setting in database._SETTINGS
)
spool_file._KEPT_FREE = 3


def opened(folder: Path, log: Log) -> Undelivered:
    """The spool; with room for a few events only, so that some are dropped."""
    return Undelivered(folder / "spool.db", SINKS, note=log.note, say=log.say, most_events=10)


def rank(number: int) -> int:
    """Of event `number`."""
    return MILD if number % 2 else 1


def live(folder: Path) -> None:
    """Add events with the state of their stream, deliver some, and say before and after each what is done."""
    subject = opened(folder, Log())
    for number in range(N_EVENTS):
        size = 9000 if number == 5 else 100
        if subject.add([event(number, rank(number), size=size)], {"pump-1": str(number)}):
            mark(f"added {number}")
        if number % 3 == 2:
            deliver(subject, "fast", 4)
        if number % 8 == 7:
            deliver(subject, "slow", 5)
            subject.retry()
    subject.close()


def deliver(subject: Undelivered, sink: str, n: int) -> None:
    some = ids(subject.pending(sink, n))
    for id_ in some:
        mark(f"delivering {sink} {id_}")
    subject.done(sink, some[:-1])
    subject.done(sink, some[-1:], refused=True)
    for id_ in some:
        mark(f"delivered {sink} {id_}")


def mark(text: str) -> None:
    shim.shim_mark(text.encode())


def check(folder: Path, marks: list[str], what: str, *, is_full: bool = False) -> None:
    """What is on disk agrees with all that was said to be, and is whole.

    A full disk did not take what was delivered, which will be delivered once more.
    """
    log = Log()
    subject = opened(folder, log)
    assert not log.notes, f"{what}: {log.text()}"
    said = [mark.split() for mark in marks]
    newest = int(subject.checkpoints.get("pump-1", "-1"))
    added = {int(number) for word, *_, number in said if word == "added"}
    assert newest >= max(added, default=-1), f"{what}: the state is {newest}, though {added} were added"
    n_dropped = sum(subject.dropped.values())
    assert set(subject.dropped) <= {"none"}, f"{what}: {subject.dropped} were dropped"
    for sink in SINKS:
        pending = [int(id_) for id_ in ids(subject.pending(sink, 100))]
        began = {int(id_) for word, *rest, id_ in said if [word, *rest] == ["delivering", sink]}
        done = {int(id_) for word, *rest, id_ in said if [word, *rest] == ["delivered", sink]}
        assert pending == sorted(set(pending)), f"{what}: {sink} would get {pending}"
        assert is_full or not done & set(pending), f"{what}: {sink} would get {done & set(pending)} again"
        # In one transaction with the state: all that came before it, and nothing that came after.
        missing = set(range(newest + 1)) - set(pending) - began
        assert set(pending) <= set(range(newest + 1)), f"{what}: state {newest}, but {pending} for {sink}"
        assert all(rank(number) == MILD for number in missing), f"{what}: {missing} are missing for {sink}"
        assert len(missing) <= n_dropped, f"{what}: {missing} are missing for {sink}, {n_dropped} dropped"
    # It also goes on from there.
    assert subject.add([event("next", 2)], {}), what
    assert "next" in ids(subject.pending("slow", 100)), what
    subject.close()
    assert set(log.kinds()) <= {"events-dropped"}, f"{what}: {log.text()}"


def attempt(
    folder: Path, mode: int, at: int, log_file: Path
) -> tuple[int, list[tuple[str, str, str, bytes]]]:
    """One life under the shim: how it ended, and the calls it made."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    log = os.open(log_file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)

    def work() -> None:
        shim.shim_arm(str(folder).encode(), mode, ctypes.c_long(at), log)
        try:
            live(folder)
        finally:
            (folder.parent / "count").write_text(str(shim.shim_count()))

    code = in_child(work)
    os.close(log)
    return code, read_log(log_file.read_bytes())


def marks_of(calls: list[tuple[str, str, str, bytes]]) -> list[str]:
    return [text for operation, text, *_ in calls if operation == "mark"]


def main(work: Path) -> None:
    """Every way in which a life can be interrupted."""
    trial, log_file = work / "trial", work / "log"
    totals = {"killed": 0, "torn": 0, "full": 0, "power cuts": 0}
    code, calls = attempt(trial, FULL, 10**6, log_file)
    assert code == 0
    check(trial, marks_of(calls), "uninterrupted")
    count = int((work / "count").read_text())
    n_writes = sum(operation in ("write", "pwrite") for operation, *_ in calls)
    assert sum(operation == "fsync" for operation, *_ in calls) > 3 * N_EVENTS
    for mode, kind, n in ((KILL, "killed", count), (TEAR, "torn", n_writes), (FULL, "full", count)):
        for at in range(1, n + 1):
            what = f"{kind} at call {at} of {n}"
            code, its_calls = attempt(trial, mode, at, log_file)
            assert code == (0 if mode == FULL else -9), f"{what}: code {code}"
            check(trial, marks_of(its_calls), what, is_full=mode == FULL)
            totals[kind] += 1
    shutil.rmtree(trial)
    trial.mkdir()
    rng = random.Random(0)
    disk = Disk.of(trial)
    disk.names[str(trial)] = disk.safe_names[str(trial)] = None
    for length, call in enumerate(calls, 1):
        disk.apply(*call)
        if call[0] == "mark":
            continue
        for choose in ("nothing", "names", "all", *[rng] * RANDOM_CUTS):
            write_out(disk.after_power_cut(choose), trial)
            check(trial, marks_of(calls[:length]), f"power cut after call {length}, {choose}")
            totals["power cuts"] += 1
    print(json.dumps(totals))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
