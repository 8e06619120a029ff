"""Who may work in a folder, and what is left of one in which nothing was done."""

import fcntl

import pytest

from edge_ad.errors import OutputError
from edge_ad.toolchain.workspace import Workspace


def test_one_at_a_time(tmp_path):
    with Workspace(tmp_path).locked():
        with pytest.raises(OutputError, match="another edge-ad is at work"), Workspace(tmp_path).locked():
            raise AssertionError("two at a time")
        (tmp_path / "work").mkdir()
    with Workspace(tmp_path).locked():
        assert (tmp_path / "work").exists()


def test_of_folders_that_were_made_for_nothing_nothing_is_left(tmp_path):
    root = tmp_path / "a" / "b"
    with pytest.raises(ValueError), Workspace(root).locked():
        raise ValueError(root.is_dir())
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_and_what_was_there_stays(tmp_path):
    (tmp_path / "a").mkdir()
    with Workspace(tmp_path / "a").locked():
        pass
    with Workspace(tmp_path / "b" / "c").locked():
        (tmp_path / "b" / "c" / "build.json").touch()
    assert (tmp_path / "a").is_dir()
    assert (tmp_path / "b" / "c" / "build.json").exists()
    with Workspace(tmp_path / "b" / "c").locked():
        pass


def test_a_lock_that_was_taken_away_meanwhile_is_none(tmp_path, monkeypatch):
    """Whoever was here before takes its folder away after we have opened the file."""
    root = tmp_path / "a"
    first = Workspace(root).locked()
    first.__enter__()
    flock = fcntl.flock

    def ends_first(file, operation):
        first.__exit__(None, None, None)
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", ends_first)
    with pytest.raises(OutputError, match="another edge-ad is at work"), Workspace(root).locked():
        raise AssertionError("the lock is of no file")
