import asyncio
import json
import os
import sys

import pytest

from edge_ad.bundle.codec import DecodeError
from edge_ad.runtime.sinks.kinds import load_sink
from edge_ad.runtime.sinks.sink import DeliveryError
from tests.runtime.agent.support import Log, event, until
from tests.runtime.sinks.support import context


@pytest.fixture
def log():
    return Log()


def open_sink(log, *command, **table):
    options, opener = load_sink("exec", {"command": list(map(str, command)), **table})
    return opener(options, context(log))


def deliver(log, *command, one=None, **table):
    async def main():
        sink = open_sink(log, *command, **table)
        try:
            await sink.deliver(one or event(1))
        finally:
            await sink.close()

    asyncio.run(main())


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_command_gets_the_event(log, tmp_path):
    script = (
        "import json, os, sys; "
        "seen = {k: v for k, v in os.environ.items() if k.startswith('EDGE_AD_EVENT_')}; "
        "json.dump([sys.stdin.read(), seen, sys.argv[2]], open(sys.argv[1], 'w'))"
    )
    one = event("e1", 1, asset="Pümpe $HOME", size=200_000)
    deliver(log, sys.executable, "-c", script, tmp_path / "out", "$HOME; `x`", one=one)
    body, seen, argument = json.loads((tmp_path / "out").read_text())
    assert body == one.body + "\n"
    assert argument == "$HOME; `x`"
    assert seen == {
        "EDGE_AD_EVENT_ID": "e1",
        "EDGE_AD_EVENT_ASSET": "Pümpe $HOME",
        "EDGE_AD_EVENT_CHANGE": "began",
        "EDGE_AD_EVENT_SEVERITY": "s1",
    }
    script = "import os, sys; sys.exit(os.environ['EDGE_AD_EVENT_SEVERITY'] != '')"
    deliver(log, sys.executable, "-c", script, one=event("e2", -1))
    assert log.notes == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no paper >&2; echo; exit 3", "/bin/sh ended with exit status 3: no paper$"),
        ("printf 'first\\nsecond \\n \\n' >&2; exit 1", "exit status 1: second$"),
        ("printf 'a\\033[2Jb' >&2; exit 1", r"exit status 1: a\\x1b\[2Jb$"),
        ("exit 1", "exit status 1$"),
        ("kill -TERM $$", "was ended by SIGTERM$"),
        ("exec >&-; head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1", "exit status 1: x{300}$"),
    ],
)
def test_one_that_fails(log, script, words):
    with pytest.raises(DeliveryError, match=words) as caught:
        deliver(log, "/bin/sh", "-c", script)
    assert not caught.value.hopeless


@pytest.mark.parametrize(
    "script",
    [
        "cat >/dev/null; echo fine; echo hm >&2",
        "exec <&-",
        "head -c 100000000 /dev/zero",
        "sleep 0.01 & exit 0",
    ],
)
def test_one_that_works(log, script):
    deliver(log, "/bin/sh", "-c", script, one=event(1, size=500_000))


def test_what_it_leaves_in_the_background_holds_nothing_up(log, tmp_path):
    script = f"sleep 600 & echo $! > {tmp_path}/pid; exit 0"
    deliver(log, "/bin/sh", "-c", script, timeout_s=300)
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    os.kill(pid, 9)


def test_one_that_takes_too_long_is_killed_with_all_it_started(log, tmp_path):
    script = f"trap '' TERM; sleep 600 & echo $! $$ > {tmp_path}/pids; wait; wait"
    with pytest.raises(DeliveryError, match=r"/bin/sh had not ended after 0\.5 s: killed"):
        deliver(log, "/bin/sh", "-c", script, timeout_s=0.5)

    async def main():
        for pid in map(int, (tmp_path / "pids").read_text().split()):
            await until(lambda pid=pid: not is_running(pid))

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_the_end_of_the_agent_is_its_end(log, tmp_path, how):
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"

    async def main():
        sink = open_sink(log, "/bin/sh", "-c", script)
        delivery = asyncio.create_task(sink.deliver(event(1)))
        await until(pids.exists)
        if how == "cancelled":
            delivery.cancel()
            with pytest.raises(asyncio.CancelledError):
                await delivery
        await sink.close()
        for pid in map(int, pids.read_text().split()):
            await until(lambda pid=pid: not is_running(pid))
        if how == "closed":
            with pytest.raises(DeliveryError, match="was ended by SIGKILL"):
                await delivery

    asyncio.run(main())


def test_a_command_that_is_not_there_yet(log, tmp_path):
    program = tmp_path / "on-alarm"

    async def main():
        sink = open_sink(log, program)
        assert log.kinds() == ["command"]
        assert f"there is no command {program}" in log.text()
        with pytest.raises(DeliveryError, match=f"cannot run {program}: No such file or directory"):
            await sink.deliver(event(1))
        program.write_text("#!/bin/sh\nexit 0\n")
        with pytest.raises(DeliveryError, match=f"cannot run {program}: Permission denied"):
            await sink.deliver(event(1))
        program.chmod(0o755)
        await sink.deliver(event(1))
        program.write_bytes(b"\x7fELF, but not really")
        with pytest.raises(DeliveryError, match=f"cannot run {program}: Exec format error"):
            await sink.deliver(event(1))
        await sink.close()

    asyncio.run(main())


def test_no_descriptor_is_left_open(log):
    async def main():
        sink = open_sink(log, "/bin/sh", "-c", "exit 1")
        counts = []
        for _ in range(6):
            with pytest.raises(DeliveryError):
                await sink.deliver(event(1))
            counts.append(len(os.listdir("/proc/self/fd")))
        missing = open_sink(log, "/no/such/command")
        for _ in range(3):
            with pytest.raises(DeliveryError):
                await missing.deliver(event(1))
            counts.append(len(os.listdir("/proc/self/fd")))
        await sink.close()
        assert len(set(counts[1:])) == 1

    asyncio.run(main())


def test_the_agents_own_files_are_none_of_its_business(log, tmp_path):
    script = f"ls -l /proc/self/fd > {tmp_path}/fds"
    with (tmp_path / "secret").open("w"):
        deliver(log, "/bin/sh", "-c", script)
    assert "secret" not in (tmp_path / "fds").read_text()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "missing key command"),
        ({"command": "ls -l"}, "command must be a list"),
        ({"command": []}, "must be a list with a program"),
        ({"command": ["a\0b"]}, "no NUL"),
        ({"command": ["x"], "timeout_s": -1}, "timeout_s must lie between"),
        ({"command": ["x"], "shell": True}, "unknown key shell"),
    ],
)
def test_options_that_make_no_sense(table, words):
    with pytest.raises(DecodeError, match=words):
        load_sink("exec", table)
