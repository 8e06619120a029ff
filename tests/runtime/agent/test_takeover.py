"""Bundles that take over from others, and streams that go on differently after a restart."""

import signal
import subprocess
import sys
from collections import Counter
from time import sleep

import pytest
from agent_rig import ToyStream, wait_for

from edge_ad.runtime.store.store import Store
from tests.conftest import DATA
from tests.forge import manifest_of
from tests.runtime.agent.test_agent import agent, asset, decisions, follow, install, write  # noqa: F401  a fixture


@pytest.fixture
def store(tmp_path):
    """With build 1 proven."""
    store = Store(tmp_path / "store")
    store.confirm("toy", install(store, tmp_path / "1.edgead", build_number=1))
    return store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "samples.csv"


def renamed(old, new):
    """The toy's channels, one of them with another name."""
    channels = manifest_of((DATA / "toy.edgead").read_bytes())["channels"]
    return [channel | {"name": new if channel["name"] == old else channel["name"]} for channel in channels]


def actions(store):
    return Counter(entry.action for entry in store.journal("toy"))


def test_many_signals_in_a_row_are_one_reload(agent, tmp_path, store, path):  # noqa: F811
    """While the agent catches up, all of them come before the first can be heeded."""
    write(path, ToyStream(), range(20_000), mode="w")
    process = agent(asset("toy", follow(path), bundle="@toy")).start()
    new = install(store, tmp_path / "2.edgead", build_number=2)
    for _ in range(12):
        process.signal(signal.SIGHUP)
        sleep(0.002)
    wait_for(lambda: "has taken over" in process.log(), "it takes over")
    wait_for(lambda: len(decisions(tmp_path)) == 20_000, "all is decided on")
    assert process.stop() == 0
    assert process.log().count("has taken over") == 1
    assert store.state("toy").active == new
    assert actions(store)["start"] == 1
    assert actions(store)["rollback"] == 0


def test_a_recording_has_one_set_of_columns(agent, tmp_path, store, path):  # noqa: F811
    """The next bundle has another name for a channel; the file is begun anew when it takes over."""
    stream, part = ToyStream(every=10**9), tmp_path / "normal.csv.part"
    copy = stream.header.rstrip("\n") + ";P1\n"
    at = stream.columns.index("Pressure")

    def rows(numbers):
        lines = [stream.line(number).rstrip("\n") for number in numbers]
        return "".join(f"{line};{float(line.split(';')[at]) + 1:.6f}\n" for line in lines)

    path.write_text(copy + rows(range(1000)))
    rest = f'record_normal = "{tmp_path}/normal.csv"'
    process = agent(asset("toy", follow(path), rest, bundle="@toy")).start()
    wait_for(lambda: part.exists() and part.read_text().count("\n") > 900, "rows are recorded")
    n_rows = part.read_text().count("\n")
    install(store, tmp_path / "2.edgead", build_number=2, channels=renamed("Pressure", "P1"))
    process.signal(signal.SIGHUP)
    wait_for(lambda: "takes over as soon as" in process.log(), "it is tried")
    assert part.read_text().count("\n") >= n_rows
    with path.open("a") as file:
        file.write(rows(range(1000, 1500)))
    wait_for(lambda: "has taken over" in process.log(), "it takes over")
    wait_for(lambda: len(decisions(tmp_path)) == 1500, "all is decided on")
    process.stop()
    header, *recorded = part.read_text().splitlines()
    column = header.split(";").index("P1")
    assert "Pressure" not in header
    assert recorded
    assert {len(row.split(";")) for row in recorded} == {9}
    expected = {line.split(";")[0]: line.rstrip().split(";")[-1] for line in rows(range(1500)).splitlines()}
    assert all(float(row.split(";")[column]) == float(expected[row.split(";")[0]]) for row in recorded)


def test_a_bundle_for_a_header_that_the_present_one_cannot_read(agent, tmp_path, store, path):  # noqa: F811
    stream = ToyStream()
    write(path, stream, range(50), mode="w")
    process = agent(asset("toy", follow(path), bundle="@toy")).start()
    wait_for(lambda: len(decisions(tmp_path)) == 50, "all is decided on")
    path.rename(path.with_name("samples.csv.1"))
    stream.header = stream.header.replace("Pressure", "P1")
    write(path, stream, range(50, 80), mode="w")
    wait_for(lambda: "column 'Pressure' is missing" in process.log(), "the header is told of")
    install(store, tmp_path / "2.edgead", build_number=2, channels=renamed("Pressure", "P1"))
    process.signal(signal.SIGHUP)
    wait_for(lambda: "takes over as soon as" in process.log(), "it is tried")
    write(path, stream, range(80, 120))
    wait_for(lambda: "has taken over" in process.log(), "it takes over")


def test_samples_that_are_held_are_not_lost_where_none_are_held_any_more(agent, tmp_path, path):  # noqa: F811
    stream = ToyStream()
    write(path, stream, range(50), mode="w")
    process = agent(asset("toy", follow(path), "hold_s = 5.0")).start()
    wait_for(lambda: len(decisions(tmp_path)) == 45, "what need not wait is decided on")
    process.stop()
    text = (tmp_path / "agent.toml").read_text()
    process.write_config(text.replace("hold_s = 5.0", ""))
    process.start()
    write(path, stream, range(50, 60))
    wait_for(lambda: len(decisions(tmp_path)) == 60, "all is decided on")
    process.stop()
    stamps = [decision["time"] for decision in decisions(tmp_path)]
    assert stamps == [stream.line(number).split(";")[0] for number in range(60)]
    assert all(decision["score"] is not None for decision in decisions(tmp_path)[9:])


def test_another_source_has_its_own_column_names(agent, tmp_path, path):  # noqa: F811
    stream, other = ToyStream(), tmp_path / "other.csv"
    write(path, stream, range(50), mode="w")
    process = agent(asset("toy", follow(path))).start()
    wait_for(lambda: len(decisions(tmp_path)) == 50, "all is decided on")
    process.stop()
    other.write_text("".join(map(stream.line, range(50, 80))))  # without a header
    process.write_config((tmp_path / "agent.toml").read_text().replace(str(path), str(other)))
    process.start()
    wait_for(lambda: len(decisions(tmp_path)) == 80, "all is decided on")
    assert {decision["state"] for decision in decisions(tmp_path)[50:]} == {"unknown"}


def test_a_reload_does_not_end_an_agent_that_starts(agent, tmp_path, path):  # noqa: F811
    write(path, ToyStream(), range(20), mode="w")
    process = agent(asset("toy", follow(path))).start(wait=False)
    # from when it has begun to run Python of ours
    wait_for(lambda: process.process.poll() is not None or process.is_heeding_hangups(), "it starts")
    for _ in range(100):
        process.signal(signal.SIGHUP)
        sleep(0.005)
    wait_for(lambda: len(decisions(tmp_path)) == 20, "all is decided on")
    for _ in range(20):
        process.signal(signal.SIGHUP)
    process.signal(signal.SIGTERM)
    for _ in range(20):
        try:
            process.signal(signal.SIGHUP)
        except ProcessLookupError:
            break
    assert process.process.wait(30) == 0


def test_the_store_that_is_locked_holds_nobody_up(agent, tmp_path, store, path):  # noqa: F811
    """A trial ends while another program keeps the store's lock."""
    stream = ToyStream()
    install(store, tmp_path / "2.edgead", build_number=2)
    write(path, stream, range(20), mode="w")
    process = agent(asset("toy", follow(path), "trial_s = 0.1", bundle="@toy")).start()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
            "print('held', flush=True); sys.stdin.read()",
            str(store.root / "lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        for number in range(20, 40):
            write(path, stream, [number])
            wait_for(lambda n=number: len(decisions(tmp_path)) == n + 1, "it is decided on", 5)
    finally:
        holder.communicate()
    process.stop()
