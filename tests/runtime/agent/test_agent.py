"""The agent as a process of its own, as its users run it."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from agent_rig import ROOT, TOY, AgentProcess, ToyStream, free_port, records, wait_for

from edge_ad.runtime.store.store import Store
from tests.conftest import DATA
from tests.forge import edited
from tests.helpers import edge_ad

UNIT = ROOT / "firmware_configs" / "edge-ad-agent.service"


@pytest.fixture
def agent(tmp_path):
    """Makes agents whose configuration begins with a spool and two sinks in files."""
    made = []

    def make(config, **options):
        head = (
            f'[agent]\nspool = "{tmp_path}/spool.db"\nsave_every_s = 0.2\n'
            f'[[sink]]\nkind = "decisions"\npath = "{tmp_path}/decisions.ndjson"\n'
            f'[[sink]]\nkind = "events"\npath = "{tmp_path}/events.ndjson"\n'
        )
        made.append(AgentProcess(tmp_path, head + config, **options))
        return made[-1]

    yield make
    for process in made:
        if process.process is not None:
            process.stop()


def asset(name, source, rest="", bundle=TOY):
    return f'[[asset]]\nname = "{name}"\nbundle = "{bundle}"\nsource = {{ {source} }}\n{rest}\n'


def follow(path):
    return f'kind = "follow", path = "{path}"'


def decisions(tmp_path):
    return list(records(tmp_path / "decisions.ndjson"))


def events(tmp_path):
    return list(records(tmp_path / "events.ndjson"))


def write(path, stream, numbers, *, mode="a"):
    with path.open(mode) as file:
        if mode == "w":
            file.write(stream.header)
        file.writelines(map(stream.line, numbers))


def test_a_file_is_decided_on_as_by_run(agent, tmp_path, toy_csv, toy_bundle_path):
    process = agent(asset("toy", f'kind = "file", path = "{toy_csv}"')).start(wait=False)
    assert process.process.wait(60) == 0
    expected = edge_ad("run", toy_bundle_path, toy_csv, "--episodes", tmp_path / "run.ndjson")
    made = decisions(tmp_path)
    assert {decision.pop("asset") for decision in made} == {"toy"}
    assert len({decision.pop("bundle") for decision in made}) == 1
    assert made == [json.loads(line) for line in expected.stdout.splitlines()]
    told = events(tmp_path)
    assert len({event.pop("id") for event in told}) == len(told) >= 3
    same = [{k: v for k, v in event.items() if k not in ("asset", "bundle")} for event in told]
    assert same == list(records(tmp_path / "run.ndjson"))


def test_ndjson_on_standard_input(tmp_path, toy_csv):
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[agent]\nspool = "{tmp_path}/spool.db"\n[[sink]]\nkind = "decisions"\n'
        f'path = "{tmp_path}/decisions.ndjson"\n'
        + asset("toy", 'kind = "stdin"', 'format = { kind = "ndjson" }')
    )
    header, *lines = toy_csv.read_text().splitlines()
    names = header.split(";")[:9]
    numbers = []
    for line in lines:
        stamp, *cells = line.split(";")[:9]
        values = [float(cell) if cell else None for cell in cells]
        numbers.append(dict(zip(names, [stamp, *values], strict=True)))
    text = "".join(json.dumps(row) + "\n" for row in numbers) + "garbage\n\n"
    assert edge_ad("agent", config, input=text).returncode == 0
    made = decisions(tmp_path)
    assert len(made) == len(lines) + 1  # what is no sample is decided on as well
    assert made[-1]["state"] == "unknown"
    assert sum(decision["alarm"] for decision in made) == 111


def test_a_restart_goes_on_where_it_was(agent, tmp_path):
    stream, path = ToyStream(), tmp_path / "samples.csv"
    write(path, stream, range(91), mode="w")  # the anomaly begins at 85
    process = agent(asset("toy", follow(path))).start()
    wait_for(lambda: len(decisions(tmp_path)) == 91, "all is decided on")
    wait_for(lambda: events(tmp_path), "its event is delivered")
    assert [event["change"] for event in events(tmp_path)][:1] == ["began"]
    assert process.stop() == 0
    write(path, stream, range(91, 200))
    process.start()
    wait_for(lambda: len(decisions(tmp_path)) == 200, "the rest is decided on")
    process.stop()
    states = [decision["state"] for decision in decisions(tmp_path)]
    assert states.count("warming") == 9  # once, at the very beginning
    assert "unknown" not in states
    changes = [(event["change"], event["number"]) for event in events(tmp_path)]
    # the episode that was open when it stopped is the one that ended afterwards
    assert changes[0] == ("began", 1)
    assert ("ended", 1) in changes
    assert changes.count(("began", 1)) == 1


def test_a_state_that_makes_no_sense_begins_anew(agent, tmp_path):
    import sqlite3

    stream, path = ToyStream(), tmp_path / "samples.csv"
    write(path, stream, range(30), mode="w")
    process = agent(asset("toy", follow(path))).start()
    wait_for(lambda: len(decisions(tmp_path)) == 30, "all is decided on")
    process.stop()
    with sqlite3.connect(tmp_path / "spool.db") as spool:
        (table,) = [
            name
            for (name,) in spool.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if "checkpoint" in name
        ]
        columns = [row[1] for row in spool.execute(f"PRAGMA table_info({table})")]
        text = next(c for c in columns if c != "asset")
        spool.execute(f'UPDATE {table} SET {text} = \'{{"format": 1, "run": {{}}}}\'')
    spool.close()
    process.start()
    wait_for(lambda: len(decisions(tmp_path)) == 60, "it is decided on once more")
    process.stop()
    assert "makes no sense" in process.log()


def test_an_asset_that_has_no_bundle_does_not_hold_up_the_others(agent, tmp_path):
    stream, path, late = ToyStream(), tmp_path / "samples.csv", tmp_path / "late.edgead"
    write(path, stream, range(20), mode="w")
    config = asset("late", follow(path), bundle=late) + asset("toy", follow(path))
    process = agent(config).start()
    wait_for(lambda: len(decisions(tmp_path)) == 20, "the other is decided on")
    assert {decision["asset"] for decision in decisions(tmp_path)} == {"toy"}
    assert "late: " in process.log()
    shutil.copy(TOY, late)
    process.signal(signal.SIGHUP)
    wait_for(lambda: len(decisions(tmp_path)) == 40, "both are decided on")


def test_assets_choose_their_sinks(agent, tmp_path, toy_csv):
    source = f'kind = "file", path = "{toy_csv}"'
    config = (
        f'[[sink]]\nname = "other"\nkind = "events"\npath = "{tmp_path}/other.ndjson"\n'
        + asset("one", source, 'sinks = ["other"]')
        + asset("two", source, 'sinks = ["decisions"]')
    )
    assert agent(config).start(wait=False).process.wait(60) == 0
    assert {d["asset"] for d in decisions(tmp_path)} == {"two"}
    assert {e["asset"] for e in records(tmp_path / "other.ndjson")} == {"one"}
    assert events(tmp_path) == []


def install(store, path, **entries):
    """A toy bundle with another manifest, active in a store."""
    path.write_bytes(edited((DATA / "toy.edgead").read_bytes(), lambda manifest: manifest.update(entries)))
    state = store.install(path)
    newest = state.generations[-1].bundle_id
    store.activate(state.asset, newest)
    return newest


def test_a_bundle_that_cannot_decide_never_takes_over(agent, tmp_path):
    """It has a channel that the stream does not have: it is rolled back, and nobody was without decisions."""
    stream, path, store = ToyStream(), tmp_path / "samples.csv", Store(tmp_path / "store")
    good = install(store, tmp_path / "1.edgead", build_number=1)
    store.confirm("toy", good)
    write(path, stream, range(50), mode="w")
    process = agent(asset("toy", follow(path), bundle="@toy")).start()
    wait_for(lambda: len(decisions(tmp_path)) == 50, "all is decided on")
    content = (DATA / "toy.edgead").read_bytes()
    channels = json.loads(json.dumps(manifest_channels(content)))
    channels[0]["name"] = "Nowhere"
    install(store, tmp_path / "2.edgead", build_number=2, channels=channels)
    process.signal(signal.SIGHUP)
    wait_for(lambda: "takes over as soon as it decides" in process.log(), "it is tried")
    write(path, stream, range(50, 400))
    wait_for(lambda: "does not take over" in process.log(), "it is refused")
    wait_for(lambda: len(decisions(tmp_path)) == 400, "all is decided on")
    made = decisions(tmp_path)
    assert {decision["bundle"] for decision in made} == {good[:12]}
    assert all(decision["score"] is not None for decision in made[9:])
    assert store.state("toy").active == good


def manifest_channels(content):
    from tests.forge import manifest_of

    return manifest_of(content)["channels"]


def test_a_reload_without_another_bundle_changes_nothing(agent, tmp_path):
    stream, path, store = ToyStream(), tmp_path / "samples.csv", Store(tmp_path / "store")
    install(store, tmp_path / "1.edgead", build_number=1)
    write(path, stream, range(50), mode="w")
    process = agent(asset("toy", follow(path), bundle="@toy")).start()
    process.signal(signal.SIGHUP)
    wait_for(lambda: process.listener.heard("RELOADING=1"), "it reloads")
    n_ready = sum("READY=1" in message for message in process.listener.messages)
    wait_for(
        lambda: (
            process.listener.heard("") or sum("READY=1" in m for m in process.listener.messages) > n_ready - 1
        ),
        "it is ready again",
    )
    write(path, stream, range(50, 100))
    wait_for(lambda: len(decisions(tmp_path)) == 100, "all is decided on")
    assert "takes over" not in process.log()


def test_a_drill_of_hot_swaps():
    """A few of the swaps that `make drills` does by the hundred."""
    command = [sys.executable, ROOT / "tools" / "drill_swap.py", "--swaps", "6"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_drill_of_kills():
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt")
    if shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None:
        pytest.skip("needs mosquitto")
    command = [sys.executable, ROOT / "tools" / "drill_kill.py", "--kills", "10", "--broker-kills", "4"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads(result.stdout)["events"] > 10


# --- what the service manager sees --------------------------------------------------------------------


def test_the_manager_is_told(agent, tmp_path):
    path = tmp_path / "samples.csv"
    write(path, ToyStream(), range(20), mode="w")
    process = agent(asset("toy", follow(path)), watchdog_s=0.4).start()
    listener = process.listener
    wait_for(lambda: listener.heard("READY=1"), "it is ready")

    def n_beats():
        listener.heard("")
        return sum("WATCHDOG=1" in message for message in listener.messages)

    wait_for(lambda: n_beats() > 3, "it says that it is alive")
    assert any("STATUS=1 " in message for message in listener.messages)
    process.signal(signal.SIGTERM)
    assert process.process.wait(30) == 0
    assert listener.heard("STOPPING=1")


def test_a_manager_that_does_not_listen_holds_nothing_up(agent, tmp_path):
    """Its socket is full after some messages."""
    path = tmp_path / "samples.csv"
    stream = ToyStream()
    write(path, stream, range(20), mode="w")
    process = agent(asset("toy", follow(path)), watchdog_s=0.04).start()
    for turn in range(1, 8):
        process.signal(signal.SIGHUP)
        write(path, stream, range(20 * turn, 20 * turn + 20))
        wait_for(lambda n=20 * turn + 20: len(decisions(tmp_path)) == n, "all is decided on")


HANGING = """
import time
from dataclasses import dataclass
from pathlib import Path
from edge_ad.runtime.sinks.sink import DecisionSink

@dataclass(frozen=True)
class Options:
    folder: str

class Hanging(DecisionSink):
    def __init__(self, folder):
        self.folder, self.n = Path(folder), 0

    def begin(self, service):
        return self.take

    def take(self, decision, stamp):
        self.n += 1
        if self.n == 15:
            (self.folder / "hangs").touch()
            time.sleep(2)
            (self.folder / "goes-on").touch()
        if self.n == 17:
            raise RuntimeError("a mistake of a third party")

def open_sink(options, context):
    return Hanging(options.folder)
"""


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """A package that provides a kind of sink, installed."""
    site = tmp_path / "site"
    info = site / "hanging-1.dist-info"
    info.mkdir(parents=True)
    (site / "hanging_sink.py").write_text(HANGING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[edge_ad.sinks]\nhanging = hanging_sink\n")
    monkeypatch.setenv("PYTHONPATH", str(site))


@pytest.mark.usefixtures("third_party")
def test_the_watchdog_is_fed_by_a_completed_loop_only(agent, tmp_path):
    path = tmp_path / "samples.csv"
    write(path, ToyStream(), range(30), mode="w")
    sink = f'[[sink]]\nkind = "hanging"\nfolder = "{tmp_path}"\n'
    process = agent(sink + asset("toy", follow(path)), watchdog_s=0.4).start(wait=False)
    wait_for((tmp_path / "hangs").exists, "the sink hangs")
    process.listener.heard("")
    process.listener.messages.clear()
    while not (tmp_path / "goes-on").exists():
        assert not process.listener.heard("WATCHDOG=1") or (tmp_path / "goes-on").exists()
    wait_for(lambda: process.listener.heard("WATCHDOG=1"), "it is alive again")
    # a line is lost to the sink's mistake, and no more
    wait_for(lambda: len(decisions(tmp_path)) >= 29, "the rest is decided on")
    assert "a mistake of a third party" in process.log()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit(tmp_path):
    """It is right, and as closed as docs/agent.md says."""
    text = UNIT.read_text()
    (tmp_path / UNIT.name).write_text(text.replace("/opt/edge-ad/bin/edge-ad", shutil.which("true") or ""))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / UNIT.name)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    (line,) = [line for line in result.stdout.splitlines() if "Overall exposure level" in line]
    score = line.rpartition(": ")[2].split()[0]
    stated = (ROOT / "docs" / "agent.md").read_text().partition("exposure level of ")[2].split()[0]
    assert float(score) == float(stated)


# --- what is wrong in a configuration -----------------------------------------------------------------

ASSET = f'[[asset]]\nname = "a"\nbundle = "{TOY}"\nsource = {{ kind = "follow", path = "x" }}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no [[asset]]"),
        ("[agent", "agent.toml"),
        ("[agnt]\n" + ASSET, "unknown table [agnt]"),
        ("[asset]\nname = 'a'", "write [[asset]]"),
        (ASSET + ASSET, "two assets are called 'a'"),
        (ASSET.replace("name", "nane"), "unknown key nane"),
        (ASSET + "hold_s = -1", "hold_s must lie between 0 and 3600"),
        (ASSET + 'sinks = ["b"]', "there is no sink 'b'"),
        (ASSET.replace('"a"', '"a/b"'), "'a/b' must be"),
        (ASSET.replace("follow", "folow"), "'folow'"),
        (ASSET.replace("path", "pth"), "asset a: source: unknown key pth"),
        (ASSET.replace('"x"', "7"), "path must be of type str"),
        (ASSET.replace('{ kind = "follow", path = "x" }', '"x"'), "source must be an object"),
        (ASSET + '[[sink]]\nkind = "ndjson"', "'ndjson'"),
        (ASSET + "[[sink]]\npath = 'x'", "must be a table with a kind"),
        (ASSET + '[[sink]]\nkind = "events"', "missing key path"),
        (ASSET + '[[sink]]\nkind = "events"\npath = "x"\n' * 2, "two sinks are called 'events'"),
        (ASSET + '[[sink]]\nkind = "mqtt"\nbroker = "b"', "there is no [broker.b]"),
        (
            ASSET.replace('kind = "follow", path = "x"', 'kind = "mqtt", broker = "b", topic = "t"'),
            "[broker.b]",
        ),
        (ASSET + "[http]\nlisten = '0.0.0.0:80'", "token_file"),
        (ASSET + "[http]\nlisten = 'here'", "listen"),
        (
            (ASSET + ASSET.replace('"a"', '"b"')).replace(str(TOY), "@toy"),
            "a and b both run @toy, but a bundle of the store serves one asset",
        ),
        (
            ASSET + '[[sink]]\nkind = "events"\npath = "x"',
            "sink events would write over x, which asset a reads",
        ),
        (
            ASSET + '[[sink]]\nkind = "events"\npath = "y"\n[[sink]]\nkind = "decisions"\npath = "y"',
            "sink decisions and sink events would both write y",
        ),
        (ASSET + "[agent]\nsave_every_s = 0", "save_every_s must lie between"),
        (ASSET + '[agent]\nname = "a b"', "'a b' must be"),
        (
            (ASSET + ASSET.replace('"a"', '"b"')).replace('kind = "follow", path = "x"', 'kind = "stdin"'),
            "standard input can serve one asset, not a and b",
        ),
        (ASSET + 'format = { kind = "xml" }', "format.kind is 'xml'"),
    ],
)
def test_a_configuration_that_is_refused(text, words, tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text(text)
    result = edge_ad("agent", config, "--store", tmp_path / "store", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent.toml"]


def test_a_configuration_that_is_not_there(tmp_path):
    result = edge_ad("agent", tmp_path / "none.toml")
    assert result.returncode == 2
    assert "No such file" in result.stderr


def test_check_reads_the_bundles_and_starts_nothing(tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text(ASSET)
    result = edge_ad("agent", "--check", config, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "a: build 1 (db3920eb908e)\n")
    config.write_text(ASSET.replace(str(TOY), "gone.edgead"))
    result = edge_ad("agent", "--check", config, cwd=tmp_path)
    assert result.returncode == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent.toml"]


def test_the_example_of_a_configuration(tmp_path):
    """Also with everything in it that is commented out."""
    store = Store(tmp_path / "store")
    for number in (1, 2, 3):
        install(store, tmp_path / "x.edgead", asset=f"pump-{number}")
    example = (ROOT / "firmware_configs" / "agent.toml").read_text()
    secret = tmp_path / "plant"
    secret.write_text("secret\n")
    lines = []
    for line in example.splitlines():
        entry = line.removeprefix("# ")
        is_entry = entry.startswith("[") or " = " in entry.partition("#")[0].replace(" = {", " = {")
        lines.append(entry if line.startswith("# ") and is_entry and "`" not in line else line)
    full = "\n".join(lines).replace("/etc/edge-ad/plant.password", str(secret))
    full = "\n".join(line for line in full.splitlines() if not line.startswith("ca_file"))
    names = [channel["name"] for channel in manifest_channels((DATA / "toy.edgead").read_bytes())]
    full = full.replace('["Pressure", "Flow", "Temperature"]', json.dumps(names))
    for text, n_assets in ((example, 1), (full, 3)):
        config = tmp_path / "agent.toml"
        config.write_text(text)
        result = edge_ad("agent", "--check", config, "--store", tmp_path / "store", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert len(result.stdout.splitlines()) == n_assets


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ('[broker.b]\nhost = "h"\nusername = "u"\npassword_file = "/none/pw"', "/none/pw"),
        ('[[sink]]\nkind = "webhook"\nurl = "http://h/"\ntoken_file = "/none/token"', "/none/token"),
        ('[http]\ntoken_file = "/none/token"', "/none/token"),
        ('[[sink]]\nkind = "exec"\ncommand = ["/none/command"]', "/none/command"),
        (ASSET.replace('"a"', '"b"') + 'format = { columns = ["datetime", "Flow"] }', "is missing from"),
        (ASSET.replace('"a"', '"b"') + 'variant = "huge"', "huge"),
        (ASSET.replace('"a"', '"b"').replace(str(TOY), "gone.edgead"), "gone.edgead"),
    ],
)
def test_check_tells_all_that_can_be_known(rest, words, tmp_path):
    """And of the asset that is right, that it is, whatever is wrong elsewhere."""
    config = tmp_path / "agent.toml"
    config.write_text(ASSET + rest)
    result = edge_ad("agent", "--check", config, "--store", tmp_path / "store", cwd=tmp_path)
    assert words in result.stderr
    assert "a: build 1 (db3920eb908e)" in result.stdout
    assert (result.returncode == 0) == ("exec" in rest)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent.toml"]


def test_the_drop_in_that_the_unit_shows(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = UNIT.read_text()
    (tmp_path / UNIT.name).write_text(text.replace("/opt/edge-ad/bin/edge-ad", shutil.which("true") or ""))
    folder = tmp_path / f"{UNIT.name}.d"
    folder.mkdir()
    shown = text.partition("#   [Service]")[2].partition("\n\n")[0].splitlines()[1:]
    lines = [line.removeprefix("#").strip() for line in shown]
    assert len(lines) == 4
    (folder / "override.conf").write_text("\n".join(["[Service]", *lines, ""]))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_two_agents_do_not_share_a_spool(agent, tmp_path):
    path = tmp_path / "samples.csv"
    write(path, ToyStream(), range(20), mode="w")
    process = agent(asset("toy", follow(path))).start()
    second = edge_ad("agent", tmp_path / "agent.toml", cwd=tmp_path)
    assert second.returncode == 1
    assert "spool.db" in second.stderr
    assert process.process.poll() is None


def test_a_port_that_is_taken_is_waited_for(agent, tmp_path):
    import http.client
    import socket

    path, port = tmp_path / "samples.csv", free_port()
    write(path, ToyStream(), range(20), mode="w")
    with socket.create_server(("127.0.0.1", port)):
        process = agent(asset("toy", follow(path)) + f'[http]\nlisten = "127.0.0.1:{port}"\n').start()
        wait_for(lambda: len(decisions(tmp_path)) == 20, "all is decided on")
        wait_for(lambda: f"{port}" in process.log(), "the port is told of")

    def status():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/status")
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    wait_for(status, "the page is served")
    (only,) = status()["assets"]
    assert (only["name"], only["lines"], only["state"]) == ("toy", 21, "normal")
    assert Path(f"/proc/{process.pid}").exists()
