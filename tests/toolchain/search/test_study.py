"""The file of the trials: whatever became of it, no trial that is told of gets lost."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from edge_ad.cli.progress import PlainProgress
from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.search.search import Wanted, run_search
from edge_ad.toolchain.settings import BuildSettings
from tests.helpers import COMMAND, snapshot

TELLS = ("search.json", "trials.csv", "best.toml")


@pytest.fixture(scope="module")
def go_on(pumps, space_file):
    """Searches in a folder, in this process."""

    def run(folder, *, trials=3, resume=True, seed=0):
        wanted = Wanted(trials, BuildSettings(), space_file, resume=resume, seed=seed)
        return run_search(pumps, folder, wanted, 1, PlainProgress())

    return run


@pytest.fixture(scope="module")
def three_trials(go_on, tmp_path_factory):
    """A folder with three trials, one of them the best."""
    folder = tmp_path_factory.mktemp("study") / "found"
    go_on(folder, resume=False)
    return folder


@pytest.fixture
def found(three_trials, tmp_path):
    """The same, to be spoiled."""
    return shutil.copytree(three_trials, tmp_path / "found")


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def empty(path):
    path.write_bytes(b"")


def another_database(path):
    path.unlink()
    execute(path, "create table readings (value real)", "insert into readings values (1.5)")


def garbage(path):
    path.write_bytes(b"no database\n" * 1000)


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def folder_in_its_place(path):
    path.unlink()
    path.mkdir()


def without_figures(path):
    execute(path, "delete from trial_user_attributes where key = 'figures'")


def figures_are_words(path):
    execute(path, "update trial_user_attributes set value_json = '\"none\"' where key = 'figures'")


def without_values(path):
    execute(path, "delete from trial_values")


def fewer_trials(path):
    execute(path, "delete from trials where number = 2")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "study.db is gone, and 3 trials ended before"),
        (empty, "study.db is damaged: no such table"),
        (another_database, "study.db is damaged: no such table"),
        (garbage, "study.db is damaged: file is not a database"),
        (cut_off, "study.db is damaged: database disk image is malformed"),
        (folder_in_its_place, "study.db is no file"),
        (without_figures, "study.db is damaged: trial 0 has lost its figures"),
        (figures_are_words, "study.db is damaged: trial 0 has lost its figures"),
        (without_values, "study.db is damaged"),
        (fewer_trials, "study.db has 2 trials, and 3 trials ended before"),
    ],
)
def test_a_study_that_is_not_what_it_was(found, go_on, spoil, words):
    spoil(found / "study.db")
    before = snapshot(found)
    assert set(TELLS) <= set(before)
    with pytest.raises(ConfigurationError) as refused:
        go_on(found, trials=4)
    assert words in str(refused.value)
    assert "put back the one that was there, or search again into another folder" in str(refused.value)
    assert snapshot(found) == before


def test_the_study_of_another_search(found, go_on, tmp_path):
    go_on(tmp_path / "other", trials=4, resume=False, seed=1)
    shutil.copy(tmp_path / "other" / "study.db", found / "study.db")
    before = snapshot(found)
    with pytest.raises(ConfigurationError, match="study.db is of another search"):
        go_on(found, trials=4)
    assert snapshot(found) == before


def test_the_best_alone_tells_of_trials(found, go_on):
    (found / "trials.csv").unlink()
    (found / "study.db").unlink()
    with pytest.raises(ConfigurationError, match=r"study\.db is gone"):
        go_on(found)


@pytest.mark.parametrize("resume", [False, True])
def test_trials_that_nobody_knows_the_search_of(found, go_on, resume):
    (found / "search.json").unlink()
    before = snapshot(found)
    with pytest.raises(ConfigurationError, match=r"has study\.db, trials\.csv, best\.toml, but no search"):
        go_on(found, resume=resume)
    assert snapshot(found) == before


def test_the_table_is_made_anew(found, go_on):
    before = snapshot(found)
    (found / "trials.csv").unlink()
    go_on(found)
    assert (found / "trials.csv").read_bytes() == before["trials.csv"]


def test_an_interruption_before_there_was_a_study(found, go_on, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(found / "search.json", new)
    go_on(new)
    assert (new / "trials.csv").read_bytes() == (found / "trials.csv").read_bytes()
    assert {path.name for path in new.iterdir()} == {".lock", "study.db", *TELLS}


def test_a_folder_of_any_name(go_on, tmp_path):
    folder = tmp_path / os.fsdecode(b"100%?{x}#\xff")
    assert go_on(folder, trials=1, resume=False).n_trials == 1
    assert go_on(folder, trials=2).n_trials == 2
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


class TestFullDisk:
    """A private mount serves as the disk."""

    @pytest.fixture
    def on_disk(self, tmp_path, pumps, space_file):
        disk = tmp_path / "disk"
        disk.mkdir()
        if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", disk], check=False).returncode:
            if os.environ.get("CI"):
                pytest.fail("CI must be able to mount")
            pytest.skip("this machine allows no private mounts")

        def run(size, before, *arguments):
            """Search in `disk/found`, and keep what is in there afterwards as `kept`."""
            script = f'mount -t tmpfs -o size={size} tmpfs {disk} && ({before}); "$@"; code=$?; '
            script += f"cp -r {disk}/found {tmp_path}/kept; exit $code"
            search = [*COMMAND, "search", pumps, "--space", space_file, "-j", "1", "-o", disk / "found"]
            command = ["unshare", "-rm", "sh", "-c", script, "sh", *search, *arguments]
            return subprocess.run(
                [*map(str, command)], capture_output=True, text=True, check=False, timeout=300
            )

        return run

    def test_from_the_start(self, on_disk, go_on, tmp_path):
        full = on_disk("64k", "true", "--trials", "3")
        assert full.returncode == 1, full.stderr
        assert "study.db: no space left on the disk; once that is mended, --resume goes on" in full.stderr
        assert "Traceback" not in full.stderr
        assert set(snapshot(tmp_path / "kept")) == {".lock", "search.json"}
        assert go_on(tmp_path / "kept").n_trials == 3

    def test_later(self, on_disk, found, go_on, tmp_path):
        fill = f"cp -r {found} {tmp_path}/disk/found; cat /dev/zero > {tmp_path}/disk/rest 2> /dev/null"
        full = on_disk("1m", fill, "--trials", "5", "--resume")
        assert full.returncode == 1, full.stderr
        assert "study.db: no space left on the disk; once that is mended, --resume goes on" in full.stderr
        assert "Traceback" not in full.stderr
        kept, before = snapshot(tmp_path / "kept"), snapshot(found)
        assert {name: kept[name] for name in TELLS} == {name: before[name] for name in TELLS}
        assert go_on(tmp_path / "kept", trials=5).n_trials == 5
        go_on(found, trials=5)
        assert (tmp_path / "kept" / "trials.csv").read_bytes() == (found / "trials.csv").read_bytes()
