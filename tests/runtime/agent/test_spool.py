import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.errors import ConfigurationError, StoreBusyError
from edge_ad.runtime.agent.spool import Spool
from edge_ad.runtime.agent.undelivered import Undelivered
from tests.runtime.agent.support import ROOT, Log, event, ids, on_own_disk, until

MB = 1_000_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent" / "spool.db"


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def opened(path, log):
    """Opens spools, and closes them at the end."""
    open_ones = []

    def make(sinks=("a", "b"), **options):
        subject = Undelivered(path, sinks, note=log.note, say=log.say, **options)
        open_ones.append(subject)
        return subject

    yield make
    for subject in open_ones:
        subject.close()


class TestDelivery:
    def test_each_sink_gets_each_event_in_order(self, opened):
        subject = opened()
        assert subject.add([event(1), event(2)], {})
        assert subject.add([event(3)], {})
        assert ids(subject.pending("a", 10)) == ["1", "2", "3"] == ids(subject.pending("b", 10))
        assert subject.pending("a", 10) == [event(1), event(2), event(3)]
        assert ids(subject.pending("a", 2)) == ["1", "2"]
        subject.done("a", ["2"])
        assert ids(subject.pending("a", 10)) == ["1", "3"]
        assert subject.n_waiting == {"a": 2, "b": 3}

    def test_it_is_all_there_after_a_restart(self, opened):
        first = opened()
        first.add([event(1), event(2, -1), event(3)], {"pump-1": "at 3", "pump-2": "at 0"})
        first.add([], {"pump-1": "at 4"})
        first.done("a", ["1"])
        first.close()
        second = opened()
        assert second.checkpoints == {"pump-1": "at 4", "pump-2": "at 0"}
        assert second.pending("a", 10) == [event(2, -1), event(3)]
        assert ids(second.pending("b", 10)) == ["1", "2", "3"]
        assert second.n_waiting == {"a": 2, "b": 3}

    def test_an_event_that_is_waited_for_is_not_doubled(self, opened):
        subject = opened()
        subject.add([event(1), event(1)], {})
        subject.done("a", ["1"])
        assert subject.add([event(1), event(2)], {})
        assert ids(subject.pending("a", 10)) == ["2"]
        assert ids(subject.pending("b", 10)) == ["1", "2"]

    def test_marking_what_is_not_there_does_no_harm(self, opened):
        subject = opened()
        subject.add([event(1)], {})
        subject.done("a", ["1", "never", "1"])
        subject.done("a", ["1"])
        assert subject.n_waiting == {"a": 0, "b": 1}

    def test_an_asset_may_be_told_to_some_sinks_alone(self, opened):
        subject = opened(sinks_of={"pump-1": ["b"], "pump-2": []})
        assert subject.add([event(1), event(2, asset="pump-2"), event(3, asset="pump-3")], {})
        assert ids(subject.pending("a", 10)) == ["3"]
        assert ids(subject.pending("b", 10)) == ["1", "3"]

    def test_without_sinks_there_are_still_checkpoints(self, opened):
        subject = opened(())
        assert subject.add([event(1)], {"pump-1": "there"})
        subject.close()
        assert opened(()).checkpoints == {"pump-1": "there"}

    def test_what_a_sink_refuses_is_kept_apart(self, opened, path):
        subject = opened()
        subject.add([event(n) for n in range(1005)], {})
        subject.done("a", [str(n) for n in range(1002)], refused=True)
        subject.done("b", ["0"])
        assert ids(subject.pending("a", 10)) == ["1002", "1003", "1004"]
        assert ids(subject.pending("b", 2)) == ["1", "2"]
        subject.close()
        with sqlite3.connect(path) as database:
            kept = database.execute("SELECT sink, id, body FROM refused ORDER BY number").fetchall()
        database.close()
        assert kept == [("a", str(n), event(n).body) for n in range(2, 1002)]

    def test_text_of_any_kind_survives(self, opened):
        subject = opened()
        strange = [event("é\u2028\0\U0001f600'\"", asset="Größe; DROP TABLE event"), event(2, 10**12)]
        subject.add(strange, {"ünï": '{"x": "\\u0000\u2028"}'})
        subject.close()
        again = opened()
        assert again.pending("a", 10) == strange
        assert again.checkpoints == {"ünï": '{"x": "\\u0000\u2028"}'}


class TestSinksOfTheConfiguration:
    def test_a_new_one_gets_nothing_old(self, opened):
        first = opened(("a",))
        first.add([event(1)], {})
        first.close()
        second = opened(("b", "a"))
        second.add([event(2)], {})
        assert ids(second.pending("a", 10)) == ["1", "2"]
        assert ids(second.pending("b", 10)) == ["2"]

    def test_one_that_is_gone_is_forgotten_with_its_events(self, opened, log):
        first = opened(("a", "b"))
        first.add([event(n) for n in range(1200)], {})
        first.done("b", [str(n) for n in range(100)])
        first.close()
        second = opened(("a",))
        assert "sink b is configured no longer: the 1100 events that it lacked are dropped" in log.said
        second.close()
        third = opened(("a", "b"))
        assert third.n_waiting == {"a": 1200, "b": 0}
        third.done("a", [str(n) for n in range(1200)])
        assert third.add([event(n) for n in range(1200)], {})
        assert third.n_waiting == {"a": 1200, "b": 1200}


class Naive:
    """What is kept, slowly: rows of (rank, number, id, severity, sinks that wait)."""

    def __init__(self, most):
        self.most = most
        self.rows = []
        self.number = 0
        self.dropped = {}

    def add(self, new):
        for e in new:
            if any(row[2] == e.id for row in self.rows):
                continue
            self.number += 1
            self.rows.append((e.rank, self.number, e.id, e.severity or "none", {"a", "b"}))
            while len(self.rows) > self.most:
                least = min(self.rows, key=lambda row: row[:2])
                self.rows.remove(least)
                self.dropped[least[3]] = self.dropped.get(least[3], 0) + 1

    def done(self, sink, some):
        for row in list(self.rows):
            if row[2] in some:
                row[4].discard(sink)
                if not row[4]:
                    self.rows.remove(row)

    def pending(self, sink):
        return [row[2] for row in sorted(self.rows, key=lambda row: row[1]) if sink in row[4]]


NAMES = st.integers(0, 30)
CHANGES = st.one_of(
    st.tuples(
        st.just("add"),
        st.lists(st.tuples(NAMES, st.integers(-1, 3)), max_size=12, unique_by=lambda pair: pair[0]),
    ),
    st.tuples(st.sampled_from(["done", "refuse"]), st.sampled_from("ab"), st.sets(NAMES, max_size=8)),
    st.tuples(st.just("open again")),
)


class TestBounds:
    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 8), st.lists(CHANGES, max_size=25))
    def test_the_oldest_of_the_lowest_rank_goes_first(self, tmp_path_factory, most, changes):
        path = tmp_path_factory.mktemp("spool") / "spool.db"
        log, naive = Log(), Naive(most)

        def make():
            return Undelivered(path, ("a", "b"), note=log.note, say=log.say, most_events=most)

        subject = make()
        for change, *rest in changes:
            if change == "add":
                new = [event(name, rank) for name, rank in rest[0]]
                assert subject.add(new, {})
                naive.add(new)
            elif change == "open again":
                subject.close()
                subject = make()
            else:
                some = sorted(map(str, rest[1]))
                subject.done(rest[0], some, refused=change == "refuse")
                naive.done(rest[0], some)
            for sink in ("a", "b"):
                assert ids(subject.pending(sink, 100)) == naive.pending(sink)
                assert subject.n_waiting[sink] == len(naive.pending(sink))
            assert subject.dropped == naive.dropped
        subject.close()
        noted = sum(n for kind, _, n in log.notes if kind == "events-dropped")
        assert noted == sum(naive.dropped.values())

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), max_size=10), st.integers(1, 6))
    def test_the_end_of_an_episode_is_dropped_after_the_rest_of_it(self, tmp_path_factory, episodes, most):
        path = tmp_path_factory.mktemp("spool") / "spool.db"
        log = Log()
        subject = Undelivered(path, ("a",), note=log.note, say=log.say, most_events=most)
        for number, ranks in enumerate(episodes):
            rising = sorted(set(ranks))
            kinds = ["began", *["worsened"] * (len(rising) - 1)]
            changes = [*zip(kinds, rising, strict=True), ("ended", rising[-1])]
            for kind, rank in changes:
                subject.add([event(f"{number} {kind} {rank}", rank, change=kind)], {})
            left = [e for e in subject.pending("a", 1000) if e.id.startswith(f"{number} ")]
            assert not left or left[-1].change == "ended"
        subject.close()

    def test_the_file_is_bounded_as_well(self, opened, path, log):
        subject = opened(most_bytes=MB)
        for n in range(100):
            assert subject.add(
                [event(f"{n}.{i}", i % 3, size=n * 20) for i in range(20)], {"pump-1": "x" * n}
            )
            assert path.stat().st_size <= MB
        kept = subject.pending("a", 10_000)
        assert len(kept) > 100
        assert {e.rank for e in kept} == {2}
        n_newest = len(kept)
        assert ids(kept) == [f"{n}.{i}" for n in range(100) for i in range(20) if i % 3 == 2][-n_newest:]
        assert sum(subject.dropped.values()) == 2000 - n_newest == sum(n for _, _, n in log.notes)
        assert "the spool is full" in log.text()

    def test_events_longer_than_a_page(self, opened, path):
        subject = opened(most_bytes=MB)
        for n in range(200):
            assert subject.add([event(n, size=12_000)], {})
            assert path.stat().st_size <= MB
        assert 30 < len(subject.pending("a", 1000)) < 80

    def test_one_that_is_out_of_proportion_is_dropped_at_once(self, opened, log):
        subject = opened(most_bytes=MB)
        subject.add([event(1)], {})
        assert subject.add([event(2, 3, size=20_000), event(3)], {"pump-1": "after"})
        assert ids(subject.pending("a", 10)) == ["1", "3"]
        assert subject.dropped == {"s3": 1}
        assert "event 2 is out of proportion with 20" in log.text()
        subject.close()
        assert opened().dropped == {"s3": 1}

    def test_narrower_bounds_hold_from_the_next_start(self, opened, log):
        first = opened()
        first.add([event(n, n % 2) for n in range(3000)], {})
        first.close()
        second = opened(most_events=100)
        assert ids(second.pending("a", 1000)) == [str(n) for n in range(3000) if n % 2][-100:]
        assert second.dropped == {"s0": 1500, "s1": 1400}
        assert [(kind, n) for kind, _, n in log.notes] == [("events-dropped", 2900)]

    def test_years_of_events_do_not_make_the_files_grow(self, opened, path):
        subject = opened()
        sizes = []
        for year in range(6):
            for n in range(300):
                name = f"{year}.{n}"
                subject.add([event(name, n % 3, size=n)], {"pump-1": f"{name} " + "y" * (n % 90)})
                for sink in ("a", "b"):
                    subject.done(sink, [name])
            sizes.append(sum(p.stat().st_size for p in path.parent.iterdir()))
        assert max(sizes) < 2 * MB
        assert sizes[-1] <= 1.02 * sizes[1]

    def test_room_that_a_backlog_took_is_given_back(self, opened, path):
        subject = opened(("a",))
        for n in range(16):
            subject.add([event(f"{n}.{i}", size=500) for i in range(500)], {})
        full = path.stat().st_size
        assert full > 4 * MB
        while some := subject.pending("a", 500):
            subject.done("a", ids(some))
        for _ in range(30):
            subject.retry()
        assert path.stat().st_size < 1.5 * MB
        assert path.with_name("spool.db-wal").stat().st_size < 2 * MB
        assert subject.add([event(1)], {})


class TestDamage:
    def damaged_files(self, path):
        return sorted(p.name for p in path.parent.glob("*.damaged-*"))

    @pytest.mark.parametrize("wal", [None, b"and its log"])
    @pytest.mark.parametrize(
        "content",
        [b"not a database, but long enough to be read as one" * 100, bytes(8192), b"SQLite format 3\0"],
    )
    def test_garbage_is_set_aside(self, opened, path, log, content, wal):
        path.parent.mkdir()
        path.write_bytes(content)
        if wal:
            path.with_name("spool.db-wal").write_bytes(wal)
        subject = opened()
        assert subject.add([event(1)], {"pump-1": "x"})
        assert ids(subject.pending("a", 10)) == ["1"]
        kept = self.damaged_files(path)
        assert (path.parent / kept[0]).read_bytes() == content
        if wal:
            assert kept[1] == f"{kept[0]}-wal"
            assert (path.parent / kept[1]).read_bytes() == wal
        assert log.kinds() == ["spool-damaged"]
        assert f"it is kept as {kept[0]}" in log.text()

    def whole(self, opened, n=300):
        subject = opened()
        subject.add([event(i, size=300) for i in range(n)], {"pump-1": "at 300"})
        return subject

    @pytest.mark.parametrize("cut", [100, 4096, 50_000, -4096])
    def test_one_that_was_cut_off_is_set_aside(self, opened, path, log, cut):
        self.whole(opened).close()
        os.truncate(path, cut if cut > 0 else path.stat().st_size + cut)
        subject = opened()
        assert subject.add([event("new")], {})
        assert ids(subject.pending("a", 10)) == ["new"]
        assert log.kinds() == ["spool-damaged"]
        assert self.damaged_files(path)

    def test_an_empty_file_is_a_new_spool(self, opened, path, log):
        path.parent.mkdir()
        path.touch()
        assert opened().add([event(1)], {})
        assert log.notes == []

    def test_a_bad_page_that_is_found_later(self, opened, path, log):
        """Beyond what is checked at the start: the page is spoilt while the file is in use."""
        self.whole(opened, 3000).close()
        subject = opened()
        with path.open("r+b") as file:
            for page in range(60, path.stat().st_size // 4096):
                file.seek(page * 4096)
                file.write(b"\xff" * 4096)
        subject.add([], {"pump-2": "kept in memory"})
        n = 0
        while not log.notes and (some := subject.pending("a", 100)):
            subject.done("a", ids(some))
            n += 1
        assert n < 30
        assert log.kinds() == ["spool-damaged"]
        assert self.damaged_files(path)
        # Where the streams are is known still, and written into the new file.
        assert subject.add([event("new")], {})
        assert ids(subject.pending("b", 10)) == ["new"]
        subject.close()
        assert opened().checkpoints == {"pump-1": "at 300", "pump-2": "kept in memory"}

    def test_no_more_than_three_are_kept(self, opened, path):
        path.parent.mkdir()
        for n in range(5):
            path.write_bytes(b"%d" % n * 5000)
            opened().close()
        kept = [name for name in self.damaged_files(path) if name.endswith("Z")]
        assert [(path.parent / name).read_bytes()[:1] for name in kept] == [b"2", b"3", b"4"]

    def test_one_that_was_removed_while_in_use(self, opened, path, log):
        subject = self.whole(opened)
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        assert subject.add([event("new")], {})
        assert ids(subject.pending("a", 10)) == ["new"]
        assert log.kinds() == ["spool-lost"]
        subject.close()
        assert opened().checkpoints == {"pump-1": "at 300"}

    def test_one_whose_folder_was_removed(self, opened, path, log):
        subject = opened()
        shutil.rmtree(path.parent)
        assert not subject.add([event(1)], {"pump-1": "x"})
        assert ids(subject.pending("a", 10)) == ["1"]
        path.parent.mkdir()
        subject.retry()
        assert subject.n_unsaved == 0
        assert log.said == [f"events are saved to {path} again"]
        subject.close()
        assert ids(opened().pending("a", 10)) == ["1"]

    def set_header(self, path, **values):
        database = sqlite3.connect(path)
        for name, value in values.items():
            database.execute(f"PRAGMA {name} = {value}")
        database.commit()
        database.close()

    def test_a_newer_format_is_left_alone(self, opened, path):
        self.whole(opened).close()
        self.set_header(path, user_version=2)
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match=r"newer edge-ad \(format 2, this one knows 1\): update"):
            opened()
        assert path.read_bytes() == before
        assert self.damaged_files(path) == []

    def test_another_programs_database_is_left_alone(self, opened, path):
        path.parent.mkdir()
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE theirs (x)")
        database.commit()
        database.close()
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match="another program's database; name another file"):
            opened()
        assert path.read_bytes() == before
        assert self.damaged_files(path) == []

    def test_a_header_that_is_not_ours_any_more(self, opened, path, log):
        self.whole(opened).close()
        self.set_header(path, application_id=7)
        opened()
        assert log.kinds() == ["spool-damaged"]


class TestOpening:
    def test_two_agents_cannot_share_a_spool(self, opened, path):
        first = opened()
        with pytest.raises(StoreBusyError, match="another process has .* open"):
            opened()
        first.close()
        opened()

    def test_a_process_that_was_killed_holds_nothing(self, opened, path):
        code = (
            "import sys, time; from pathlib import Path;"
            "from edge_ad.runtime.agent.undelivered import Undelivered;"
            "s = Undelivered(Path(sys.argv[1]), ('a',), note=print, say=print); print('open', flush=True);"
            "time.sleep(600)"
        )
        command = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "open\n"
            with pytest.raises(StoreBusyError, match="is an agent running already"):
                opened()
            process.kill()
            process.wait()
            opened()

    def test_another_program_that_reads_it(self, opened, path):
        opened().close()
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sink").fetchall()
        with pytest.raises(StoreBusyError, match="another program has"):
            opened()
        reader.close()
        opened()

    def test_a_folder_is_no_spool(self, opened, path):
        path.mkdir(parents=True)
        with pytest.raises(ConfigurationError, match="name a file"):
            opened()

    def test_a_folder_that_may_not_be_written(self, tmp_path):
        # Whoever is root becomes nobody, who can only look at where it is.
        code = (
            "import os, sys; from pathlib import Path;"
            "from edge_ad.runtime.agent.undelivered import Undelivered;"
            "os.chdir(sys.argv[1]);"
            "os.getuid() or (os.setgid(65534), os.setuid(65534));"
            "Undelivered(Path('spool.db'), ('a',), note=print, say=print)"
        )
        tmp_path.chmod(0o555)
        command = [sys.executable, "-c", code, str(tmp_path)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        tmp_path.chmod(0o755)
        assert "OutputError: cannot use spool.db: Permission denied" in result.stderr
        assert "the agent's account must be able to write: chown -R ACCOUNT ." in result.stderr

    def test_bounds_that_leave_no_room(self, opened):
        for options in ({"most_events": 0}, {"most_bytes": 999_999}):
            with pytest.raises(ValueError, match="a spool needs room"):
                opened(**options)

    def test_there_is_no_file_to_share_memory(self, opened, path):
        opened().add([event(1)], {})
        assert sorted(p.name for p in path.parent.iterdir()) == ["spool.db", "spool.db-wal", "spool.db.lock"]


@pytest.mark.parametrize("case", ["full", "full_at_the_start", "read_only", "many", "too_many"])
def test_a_bad_disk(tmp_path, case):
    assert on_own_disk("tests.runtime.agent.bad_disk", tmp_path / case, "size=3m") == "done\n"


class TestInTheEventLoop:
    def test_calls_are_carried_out_in_their_order(self, path, log):
        async def main():
            spool = Spool(path, ("a",), note=log.note, say=log.say)
            adding = [asyncio.create_task(spool.add([event(n)], {"pump-1": str(n)})) for n in range(50)]
            assert all(await asyncio.gather(*adding))
            found = await spool.pending("a", 100)
            await spool.close()
            again = Spool(path, ("a",), note=log.note, say=log.say)
            assert again.checkpoints() == {"pump-1": "49"}
            assert again.n_waiting("a") == 50
            await again.close()
            return ids(found)

        assert asyncio.run(main()) == [str(n) for n in range(50)]

    def test_whoever_waits_hears_of_an_event(self, path, log):
        async def main():
            spool = Spool(path, ("a", "b"), note=log.note, say=log.say, sinks_of={"pump-1": ["a"]})
            for name in range(3):
                waiting = asyncio.create_task(spool.wait("a"))
                other = asyncio.create_task(spool.wait("b"))
                await spool.add([], {"pump-1": "x"})
                await asyncio.sleep(0)
                assert not waiting.done()
                await spool.add([event(name)], {})
                await waiting
                await spool.wait("a")
                assert not other.done()
                other.cancel()
                await spool.delivered("a", [str(name)])
            await spool.close()

        asyncio.run(main())

    def test_a_call_that_nobody_waits_for_any_more_is_carried_out(self, path, log):
        async def main():
            spool = Spool(path, ("a",), note=log.note, say=log.say)
            waiting = asyncio.create_task(spool.wait("a"))
            adding = [asyncio.create_task(spool.add([event(n)], {})) for n in range(20)]
            await asyncio.sleep(0)
            for task in adding:
                task.cancel()
            await waiting
            await until(lambda: spool.n_waiting("a") == 20)
            assert all(task.cancelled() for task in adding)
            await spool.refuse("a", ["3"])
            assert spool.n_waiting("a") == 19
            await spool.retry()
            assert (spool.dropped, spool.n_unsaved) == ({}, 0)
            await spool.close()

        asyncio.run(main())
