"""Reading files and running programs, whatever they are."""

import os
import shutil
import time

import pytest

from edge_ad.bench import host as module
from edge_ad.bench.command import Command
from edge_ad.runtime.doctor.account import READ, SEARCH, WRITE, Account, group_name
from edge_ad.runtime.doctor.interpreter_facts import PACKAGES, PythonFacts
from edge_ad.runtime.doctor.machine import Machine
from tests.runtime.doctor.trees import Tree


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def processes_of(folder):
    """Processes that were started from a file in a folder."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                    if str(folder).encode() in file.read():
                        found.append(entry.name)
            except OSError:
                continue
    return found


def gone(folder):
    """Whether all of them end, within a generous time."""
    deadline = time.monotonic() + 20
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not processes_of(folder)


def test_texts_and_numbers(tree):
    tree.write("/a", b"\0 12 \n\0")
    tree.write("/b", b"\xff\xfe\x80 12")
    tree.write("/c", "²")
    tree.write("/d", "9" * 40)
    tree.write("/e", "-7")
    tree.write("/long", b"x" * (3 << 20))
    machine = tree.machine()
    assert (machine.text("/a"), machine.integer("/a")) == ("12", 12)
    assert "�" in machine.text("/b")
    assert [machine.integer(f"/{name}") for name in "bcde"] == [None, None, None, -7]
    assert len(machine.text("/long")) == 1 << 20


def test_what_cannot_be_read(tree):
    machine = tree.machine()
    (tree.root / "folder").mkdir()
    os.mkfifo(tree.root / "pipe")  # would be waited for
    (tree.root / "loop").symlink_to("loop")
    for path in ("/none", "/folder", "/pipe", "/loop", "/none/deeper", "/with\0zero"):
        assert machine.text(path) is None
        assert machine.integer(path) is None
        assert machine.lines(path) == []
    for path in ("/none", "/loop", "/with\0zero"):
        assert not machine.exists(path)
    assert machine.link("/loop") == "loop"
    assert machine.link("/folder") is None


def test_patterns_stay_below_the_root(tree):
    for number in (0, 1, 10):
        tree.write(f"/sys/cpu/cpu{number}/value")
    tree.write("/sys/cpu/cpufreq/value")
    machine = tree.machine()
    assert machine.matches("/sys/cpu/cpu[0-9]*/value") == [f"/sys/cpu/cpu{n}/value" for n in (0, 1, 10)]
    assert machine.matches("/none/*") == []
    assert all(not machine.text(path) for path in machine.matches("/sys/cpu/*/value"))


def test_programs(tree):
    machine = tree.machine()
    assert machine.run("none") is None
    tree.program("says", 'echo "$1=$2"; echo "lang=$LC_ALL"; echo bad >&2; exit 3')
    answer = machine.run("says", "key", "a=b")
    assert (answer.code, answer.values()) == (3, {"key": "a=b", "lang": "C"})
    assert "bad" in answer.text
    tree.program("bytes", "printf '\\377\\000\\200=x\\n'")
    assert machine.run("bytes").code == 0
    tree.program("dies", "kill -SEGV $$")
    assert machine.run("dies").code == -11
    tree.program("asks", "read line; echo got-$line")
    assert machine.run("asks").text == "got-\n"


def test_a_file_that_is_no_program(tree):
    machine = tree.machine()
    (tree.programs / "broken").write_bytes(b"\x7fELF not really")
    (tree.programs / "broken").chmod(0o755)
    assert machine.run("broken") is None


def test_a_program_that_hangs_is_ended_with_its_children(tree, monkeypatch):
    monkeypatch.setattr(module, "COMMAND_TIME_LIMIT_S", 0.3)
    machine = tree.machine()
    # As hung programs are: deaf to SIGTERM, and with a child that holds its output open.
    marker = tree.folder / "marker"
    shutil.copy(shutil.which("sleep"), marker)
    tree.program("hangs", f"trap '' TERM; echo begun; {marker} 1000 & {marker} 1000")
    answer = machine.run("hangs")
    assert answer.code is None
    assert answer.text == "begun\n"
    assert gone(marker)


def test_a_program_whose_child_keeps_the_output_open(tree, monkeypatch):
    monkeypatch.setattr(module, "COMMAND_TIME_LIMIT_S", 0.3)
    marker = tree.folder / "marker"
    shutil.copy(shutil.which("sleep"), marker)
    tree.program("leaves", f"{marker} 1000 & echo done")
    assert tree.machine().run("leaves").text == "done\n"
    assert gone(marker)


def test_a_program_that_prints_without_end(tree):
    tree.program("prints", "exec yes")
    answer = tree.machine().run("prints")
    assert answer.code is None
    assert 1 << 20 < len(answer.text) < 10 << 20


def test_closing_a_program_that_was_never_asked(tree):
    marker = tree.folder / "marker"
    shutil.copy(shutil.which("sleep"), marker)
    command = Command([str(marker), "1000"], 1000)
    command.close()
    command.close()
    assert gone(marker)


def test_the_command_for_pip_can_be_pasted():
    machine = Machine()
    assert machine.pip_install("numpy<2", "x").endswith(" -m pip install 'numpy<2' x")
    assert machine.is_this_one


def test_this_python():
    facts = PythonFacts.here()
    assert facts.bits in (32, 64)
    assert set(facts.packages) <= set(PACKAGES)
    import numpy

    assert facts.packages["numpy"] == numpy.__version__


@pytest.mark.parametrize(
    ("uid", "gids", "mode", "may"),
    [
        (0, [], 0o000, READ | WRITE),
        (10, [], 0o600, READ | WRITE),
        (10, [], 0o066, 0),  # the owner has the owner's rights, even where others have more
        (11, [20], 0o640, READ),
        (11, [20], 0o604, 0),
        (11, [21], 0o604, READ),
        (11, [21], 0o660, 0),
    ],
)
def test_rights_by_mode(uid, gids, mode, may):
    account = Account(uid, "x", frozenset(gids))
    status = os.stat_result((mode, 0, 0, 1, 10, 20, 0, 0, 0, 0))
    granted = sum(bit for bit in (READ, WRITE) if account.may(bit, status))
    assert granted == may
    assert account.may(READ | WRITE, status) == (may == READ | WRITE)


def test_rights_are_those_that_the_kernel_grants(tmp_path):
    account, path = Account.here(), tmp_path / "file"
    path.write_text("x")
    path.chmod(0o400)
    assert account.may(READ, path.stat()) == os.access(path, os.R_OK)
    assert account.may(WRITE, path.stat()) == os.access(path, os.W_OK)
    assert account.may(READ | SEARCH, tmp_path.stat())


def test_accounts_of_this_machine():
    root = Account.named("root", ["no-such-group", "daemon"])
    assert root.is_root
    assert len(root.gids) >= 2
    assert Account.named("no-such-account") is None
    assert Account.named("nul\0nul") is None
    assert group_name(0) == "root"
    assert group_name(4_000_000_001) == "4000000001"
    assert group_name(1 << 80) == str(1 << 80)
