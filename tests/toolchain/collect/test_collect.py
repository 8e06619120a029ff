"""What devices tell, from files and from a real broker, into a fleet's index, and what is made of it."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from agent_rig import AgentProcess, Mosquitto, ToyStream, free_port, wait_for
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.bundle import read
from edge_ad.errors import DataError, StoreError
from edge_ad.toolchain.collect.files import read_file
from edge_ad.toolchain.collect.observation import (
    AlarmEvent,
    ReportError,
    iso,
    of_report,
    of_state,
    parse_object,
)
from edge_ad.toolchain.collect.status import fleet_status
from edge_ad.toolchain.collect.table import DAYS_KEPT, EVENTS_KEPT, keep, newest
from edge_ad.toolchain.fleet.record import AssetRecord
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.rollout.hosts import Host, save_hosts
from edge_ad.toolchain.rollout.plan import Plan, PlannedBundle
from edge_ad.toolchain.rollout.results import HostResult, save_results
from edge_ad.toolchain.rollout.stages import Stage
from tests.helpers import edge_ad

NOW = datetime.now(timezone.utc)
DAY = {"decisions": 86400, "alarm": 0, "episodes": 0, "unknown_share": 0.0}
DRIFT = {"level": "stable", "psi": 0.05, "ks": 0.1, "beyond_share": 0.0}


def ago(seconds):
    return iso(NOW - timedelta(seconds=seconds))


def bundle_id(asset, number):
    return f"{number:02x}{abs(hash(asset)) % 10**10:010d}" + "0" * 52


def report(asset, *, number=1, seconds=60, state="normal", day=None, drift=None, **other):
    return {
        "schema": "1.0",
        "time": ago(seconds),
        "agent": f"pi of {asset}",
        "asset": asset,
        "state": state,
        "bundle_id": bundle_id(asset, number),
        "build_number": number,
        "score": 1.5,
        "ucl": 9.0,
        "health": {"day": {**DAY, **(day or {})}, "since_start": DAY, "drift": {**DRIFT, **(drift or {})}},
        **other,
    }


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def fleet(tmp_path):
    """Assets a to g, each with build 2 in the fleet and build 1 in its history."""
    root = tmp_path / "fleet"
    with FleetStore.open(root, create=True) as store:
        for number in (1, 2):
            store.record(
                *(
                    AssetRecord(
                        name,
                        f"{name}.csv",
                        "built",
                        build_number=number,
                        bundle_path=f"bundles/{name}.edgead",
                        bundle_id=bundle_id(name, number),
                        sha256=f"{number}{name}",
                    )
                    for name in "abcdefg"
                )
            )
    return root


def status(root, **options):
    with FleetStore.open(root) as store:
        return {each.asset: each for each in fleet_status(store, late_after_s=3600, now=NOW, **options)}


def collected(root, *paths, code=0):
    done = edge_ad("fleet", "collect", root, *paths, "--json")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_reports_of_a_file_once_and_again(fleet, tmp_path):
    path = lines(tmp_path / "health.ndjson", report("a"), report("b", seconds=7200), report("nobody"))
    counts, said = collected(fleet, path)
    assert counts == {
        "new_reports": 2,
        "new_events": 0,
        "known": 0,
        "left_out": 1,
        "left_out_why": {"an asset that the fleet does not know": 1},
        "unknown_assets": ["nobody"],
    }
    assert "does not know asset 'nobody'" in said
    assert collected(fleet, path)[0]["known"] == 2
    found = status(fleet)
    assert found["a"].flags == ("old-bundle",)
    assert found["b"].flags == ("late", "old-bundle")
    assert found["c"].flags == ("silent",)
    assert (found["a"].host, found["a"].psi, found["a"].running_build) == ("pi of a", 0.05, 1)


def test_a_truncated_line_costs_itself_alone(fleet, tmp_path):
    path = lines(tmp_path / "health.ndjson", report("a"), report("b"))
    path.write_text(path.read_text()[:-40])
    counts, said = collected(fleet, path)
    assert (counts["new_reports"], counts["left_out"]) == (1, 1)
    assert "health.ndjson, line 2: no whole JSON" in said


def test_some_use_is_a_success_and_none_is_not(fleet, tmp_path):
    good = lines(tmp_path / "good.ndjson", report("a"), report("b", schema="2.0"), report("c", state="happy"))
    strange, bad, empty = tmp_path / "strange.ndjson", tmp_path / "bad.csv", tmp_path / "empty.ndjson"
    lines(strange, report("nobody"), report("noone"), report("nobody", seconds=5))
    bad.write_text("datetime;Current\n1;2\n")
    empty.touch()
    counts, said = collected(fleet, bad, strange, tmp_path / "missing", good)
    assert (counts["new_reports"], counts["left_out"], counts["unknown_assets"]) == (
        1,
        7,
        ["nobody", "noone"],
    )
    assert counts["left_out_why"] == {
        "a file that cannot be used": 2,
        "an asset that the fleet does not know": 3,
        "another schema": 1,
        "a value that makes no sense": 1,
    }
    assert f"left out: cannot read {tmp_path / 'missing'}: No such file" in said
    told = edge_ad("fleet", "collect", fleet, good).stdout
    assert told.startswith(
        "0 new reports, 0 new alarm events, 1 known before; 2 left out: 1 × another schema"
    )
    for files in ([empty], ["/dev/null", empty]):
        counts, said = collected(fleet, *files, code=5)
        assert counts["left_out"] == 0
        assert f"nothing of what was given can be used; first of all: {files[0]} is empty" in said
    assert "empty" not in collected(fleet, empty, good)[1]  # nothing has happened there
    for files in ([bad], [strange], [bad, strange, empty]):
        counts, said = collected(fleet, *files, code=5)
        assert counts["new_reports"] == 0
        assert "nothing of what was given can be used; first of all: " in said


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": "2.0"}, "schema '2.0'"),
        ({"asset": None}, "asset is missing"),
        ({"time": "yesterday"}, "time 'yesterday' is none"),
        ({"time": iso(NOW + timedelta(days=400))}, "is the clock right"),
        ({"state": "happy"}, "state 'happy'"),
        ({"score": "high"}, "score must be a number"),
        ({"score": True}, "score must be a number"),
        ({"build_number": -1}, "build_number must be a whole number"),
        ({"health": []}, "counts of a day"),
        ({"health": {"day": DAY, "drift": {"level": "wild"}}}, "drift 'wild'"),
    ],
)
def test_what_no_report_may_say(tmp_path, change, complaint):
    with pytest.raises(ReportError, match=complaint):
        of_report({**report("a"), **change})
    with pytest.raises(DataError, match="neither health reports nor alarm events"):
        read_file(lines(tmp_path / "bad.ndjson", {**report("a"), **change}), asset=None, host="")


@given(
    st.binary(max_size=300) | st.builds(lambda at: json.dumps(report("a")).encode()[:at], st.integers(0, 900))
)
def test_any_bytes_are_a_report_or_a_complaint(content):
    try:
        seen = of_report(parse_object(content))
    except ReportError:
        return
    assert seen.asset


def test_events_and_a_summary_of_run(fleet, tmp_path, toy_bundle_path, toy_csv):
    summary, events = tmp_path / "a.json", tmp_path / "events.ndjson"
    ran = edge_ad("run", toy_bundle_path, toy_csv, "--summary-file", summary, "--episodes", events)
    assert ran.returncode == 0, ran.stderr
    counts, _ = collected(fleet, summary)
    assert counts["new_reports"] == 1
    seen = status(fleet)["a"]
    assert seen.state == "ended"
    assert seen.drift == json.loads(summary.read_text())["health"]["drift"]["level"]
    event = {
        "id": "754beb39",
        "asset": "a",
        "change": "began",
        "start": "2026-01-05T08:11:08.000Z",
        "severity": None,
    }
    path = lines(
        tmp_path / "agent-events.ndjson", event, {**event, "id": "2", "asset": "b", "change": "ended"}, event
    )
    counts, _ = collected(fleet, path)
    assert (counts["new_events"], counts["known"]) == (2, 1)


def observation(asset="a", seconds=60, number=2, **other):
    return replace(of_report(report(asset, number=number, seconds=seconds)), **other)


def test_a_state_tells_of_the_moment_and_a_report_of_the_day(fleet):
    with FleetStore.open(fleet) as store:
        keep(store, [observation(psi=0.3, drift="major")])
        state = {
            "state": "alarm",
            "score": 12.0,
            "ucl": 9.0,
            "bundle": f"{bundle_id('a', 2)[:12]}+0123456789ab",
        }
        keep(store, [of_state(state, "a", "pi", ago(30))])
        seen = newest(store)["a"]
        assert (seen.state, seen.score, seen.psi, seen.drift) == ("alarm", 12.0, 0.3, "major")
        assert seen.bundle_id == bundle_id("a", 2)
        # Of another bundle nothing is known yet.
        keep(store, [of_state({**state, "bundle": "0" * 12}, "a", "pi", ago(20))])
        assert (newest(store)["a"].psi, newest(store)["a"].bundle_id) == (None, "0" * 12)
        # A report counts although the stream's clock is ahead of the device's; an older report does not.
        keep(store, [observation(seconds=40, psi=0.01)])
        assert newest(store)["a"].psi == 0.01
        keep(store, [observation(seconds=50, psi=0.02)])
        assert newest(store)["a"].psi == 0.01


def test_of_every_day_the_last_report_is_kept(fleet):
    noon = NOW.replace(hour=12) - timedelta(days=3)
    times = [iso(noon + timedelta(hours=hours)) for hours in (0, 2, 1, 24)]
    seen = [observation(time=time, psi=float(number)) for number, time in enumerate(times)]
    with FleetStore.open(fleet) as store:
        for _ in range(2):
            keep(store, seen)
            kept = store.connection.execute("SELECT time, psi FROM health ORDER BY time").fetchall()
            assert kept == [(times[1], 1.0), (times[3], 3.0)]
            assert newest(store)["a"].psi == 3.0


def test_what_is_old_goes_and_does_not_come_back(fleet):
    noon = NOW.replace(hour=12) - timedelta(days=300)
    days = [iso(noon + timedelta(days=2 * number)) for number in range(DAYS_KEPT + 3)]
    reports = [observation(time=time, psi=float(number)) for number, time in enumerate(days)]
    minutes = [iso(noon + timedelta(minutes=number)) for number in range(EVENTS_KEPT + 3)]
    events = [AlarmEvent(f"{n}", "a", "pi", "began", time, None, None) for n, time in enumerate(minutes)]
    with FleetStore.open(fleet) as store:

        def kept():
            times = [
                t for (t,) in store.connection.execute("SELECT time FROM health WHERE asset = 'a' ORDER BY 1")
            ]
            ids = [n for (n,) in store.connection.execute("SELECT start FROM alarm_events ORDER BY 1")]
            return times, ids

        keep(store, [observation("b", time=days[0])])
        assert keep(store, reports[:-1], events[:-1]).observations == DAYS_KEPT + 2
        assert kept() == (days[2:-1], minutes[2:-1])
        again = keep(store, reports[:-1], events[:-1])
        assert (again.observations, again.events) == (0, 0)
        assert kept() == (days[2:-1], minutes[2:-1])
        keep(store, reports[-1:], events[-1:])
        assert kept() == (days[3:], minutes[3:])
        late = replace(reports[-3], time=days[-3].replace("T12", "T13"), psi=9.0)  # of a day that is kept
        assert keep(store, [late]).observations == 1
        assert len(kept()[0]) == DAYS_KEPT
        assert store.connection.execute("SELECT count(*) FROM health WHERE asset = 'b'").fetchone() == (1,)


def test_what_is_kept_is_gone_only_with_what_replaces_it(fleet):
    """All in one transaction: where the last of many cannot be written, nothing has gone."""
    noon = NOW.replace(hour=12) - timedelta(days=200)
    reports = [observation(time=iso(noon + timedelta(days=number))) for number in range(DAYS_KEPT + 1)]
    with FleetStore.open(fleet) as store:
        keep(store, reports[:-1])
        with pytest.raises(StoreError):
            keep(store, [reports[-1], observation(state=None)])
        rows = store.connection.execute("SELECT time FROM health ORDER BY time").fetchall()
    assert [time for (time,) in rows] == [report.time for report in reports[:-1]]


def test_who_needs_what(fleet):
    silent = HostResult("pi-f", "all", "rolled-back", "it died", ago(50), (("f", bundle_id("f", 1)),))
    with FleetStore.open(fleet) as store:
        save_hosts(store, [Host(f"pi-{name}", (name,)) for name in "abcdef"])
        keep(
            store,
            [
                observation("a"),
                observation("b", drift="moderate"),
                observation("c", drift="major", alarms=8000, episodes=9),
                observation("d", state="unknown", reason="stuck"),
                observation("e", unknown_share=0.4),
                observation("f", number=1, seconds=70),
            ],
            agents=[("pi-a", "online", ago(10)), ("pi-d", "offline", ago(10))],
        )
        plan = Plan("1", "x", 25, (Stage("all", ("pi-f",)),), {"pi-f": (PlannedBundle("f", "x", 2, "x"),)})
        save_results(store, plan, (silent,))
    found = status(fleet)
    assert {name: (each.flags, each.advice) for name, each in found.items()} == {
        "a": ((), None),
        "b": (("drift",), "recalibrate"),
        "c": (("drift",), "retrain"),
        "d": (("late", "unknown"), None),
        "e": (("unknown",), None),
        "f": (("old-bundle", "rollout-failed"), None),
        "g": (("silent",), None),
    }
    shown = edge_ad("fleet", "status", fleet, "--only", "retrain", "--only", "rollout-failed")
    assert shown.returncode == 0, shown.stderr
    assert "pi-f: it died" in shown.stdout
    assert "2 assets, 0 well, 1 drift, 1 old-bundle, 1 rollout-failed, 1 retrain" in shown.stdout
    assert edge_ad("fleet", "status", fleet, "--host", "pi-a", "--strict").returncode == 0
    assert edge_ad("fleet", "status", fleet, "--strict").returncode == 1
    assert edge_ad("fleet", "status", fleet, "--host", "nohost", "--strict").returncode == 2
    every = edge_ad("fleet", "status", fleet, "--json", "--asset", "[ab]").stdout.splitlines()
    assert [json.loads(each)["asset"] for each in every] == ["a", "b"]


def expected(wanted, seen, rolled, outcome, agent):
    """Flags and advice of an asset, slowly: what `fleet_status` asks of SQLite.

    `rolled`: id and time of the bundle that a rollout left there; `outcome`: state of its host then.
    """
    heard, time = (seen.bundle_id, seen.time) if seen else (None, None)
    running = rolled[0] if rolled and (not heard or rolled[1] > time) else heard
    is_current = bool(running and wanted and running[:12] == wanted[:12])
    shares = (seen.alarms / seen.decisions if seen.decisions else 0, seen.beyond_share) if seen else (0, 0)
    flags = {
        "unbuilt": not wanted,
        "silent": seen is None,
        "late": (agent is not None and agent[0] == "offline" and (seen is None or agent[1] >= time))
        or (seen is not None and (NOW - datetime.fromisoformat(time)).total_seconds() > 3600),
        "down": seen is not None and seen.state == "down",
        "alarm": seen is not None and seen.state == "alarm",
        "unknown": seen is not None and (seen.state == "unknown" or seen.unknown_share > 0.2),
        "drift": seen is not None and seen.drift in ("moderate", "major"),
        "old-bundle": bool(running and wanted) and not is_current,
        "rollout-failed": outcome not in (None, "updated", "unchanged") and not is_current,
    }
    advice = None
    if is_current and flags["drift"]:
        if not shares[0] and not seen.episodes:
            advice = "recalibrate"
        elif seen.drift == "major" and max(shares) >= 0.05:
            advice = "retrain"
    return tuple(flag for flag, is_set in flags.items() if is_set), advice, running


def test_every_asset_is_judged_as_a_slow_reader_would(tmp_path):
    chance = random.Random(7)
    names = [f"pump-{number}" for number in range(600)]
    wanted, heard, left, outcomes, agents = {}, {}, {}, {}, {}
    for name in names:
        wanted[name] = chance.choice(["", bundle_id(name, 2), bundle_id(name, 2)])
        if chance.random() < 0.85:
            heard[name] = replace(
                observation(name, chance.choice([10, 50, 3599, 3601, 9000]), chance.choice([1, 2, 2, 3])),
                state=chance.choice(["normal", "normal", "alarm", "down", "unknown"]),
                drift=chance.choice([None, "unclear", "stable", "moderate", "major"]),
                alarms=chance.choice([0, 0, 86400 // 20, 5]),
                episodes=chance.choice([0, 0, 1]),
                decisions=chance.choice([0, 86400]),
                unknown_share=chance.choice([0.0, 0.2, 0.3]),
                beyond_share=chance.choice([0.0, 0.04, 0.05]),
            )
        if chance.random() < 0.5:
            outcomes[name] = chance.choice(["updated", "unchanged", "refused", "unreachable", "waiting"])
            if chance.random() < 0.8:
                left[name] = (bundle_id(name, chance.choice([1, 2])), ago(chance.choice([5, 100, 5000])))
        if chance.random() < 0.5:
            agents[name] = (chance.choice(["online", "offline"]), ago(chance.choice([20, 4000])))
    with FleetStore.open(tmp_path, create=True) as store:
        for number in (1, 2):
            store.record(
                *(
                    AssetRecord(
                        n, "x", "built", build_number=number, bundle_id=bundle_id(n, number), sha256=n
                    )
                    for n in names
                    if number == 1 or wanted[n]
                ),
            )
            store.connection.execute("UPDATE assets SET sha256 = 'of before'")
        store.record(*(AssetRecord(n, "x", "failed", sha256="-") for n in names if not wanted[n]))
        save_hosts(store, [Host(f"pi-{name}", (name,)) for name in names])
        keep(store, heard.values(), agents=[(f"pi-{n}", *agent) for n, agent in agents.items()])
        results = tuple(
            HostResult(f"pi-{n}", "all", state, "", ago(9), ((n, left[n][0]),) if n in left else ())
            for n, state in outcomes.items()
        )
        plan = Plan("1", "x", 25, (), {})
        for result in results:
            when = left[result.host[3:]][1] if result.running else result.time
            save_results(store, plan, (replace(result, time=when),))
    found = status(tmp_path)
    assert list(found) == sorted(names)
    for name in names:
        outcome = outcomes.get(name)
        flags, advice, running = expected(
            wanted[name],
            heard.get(name),
            left.get(name),
            None if outcome == "waiting" else outcome,
            agents.get(name),
        )
        each = found[name]
        assert (each.flags, each.advice, each.running) == (flags, advice, running), name
        number = int(running[:2], 16) if running else None
        assert each.running_build == (number if number in ((1, 2) if wanted[name] else (1,)) else None)
        assert each.wanted_build == (2 if wanted[name] else 0)
        seen = heard.get(name)
        assert (each.state, each.drift, each.psi) == (
            (seen.state, seen.drift, seen.psi) if seen else (None, None, None)
        )
        assert each.rollout_state == (None if outcome == "waiting" else outcome)


@pytest.fixture
def broker(tmp_path):
    if Mosquitto.program() is None:
        pytest.skip("needs Debian's package mosquitto")
    folder = tmp_path / "broker"
    folder.mkdir()
    running = Mosquitto(folder).start()
    yield running
    running.kill()


def test_an_agent_reports_through_a_real_broker(tmp_path, broker, toy_bundle_path):
    root = tmp_path / "fleet"
    manifest = read(toy_bundle_path).manifest
    with FleetStore.open(root, create=True) as store:
        store.record(
            AssetRecord(
                "toy", "toy.csv", "built", build_number=1, bundle_id=manifest.bundle_id, bundle_path="x"
            )
        )
    assert edge_ad("store", "install", toy_bundle_path, "--store", tmp_path / "store").returncode == 0
    stream = ToyStream()
    samples = tmp_path / "toy.csv"
    samples.write_text(stream.header + "".join(stream.line(number) for number in range(300)))
    config = (
        f'[agent]\nname = "pi-7"\n[broker.plant]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        f'[[asset]]\nname = "toy"\nsource = {{ kind = "follow", path = "{samples}" }}\n'
        '[[sink]]\nkind = "mqtt"\nbroker = "plant"\nhealth_every_s = 1\n'
    )
    agent = AgentProcess(tmp_path, config, store=tmp_path / "store").start()
    try:
        words = (
            "fleet",
            "collect",
            root,
            "--mqtt",
            "127.0.0.1",
            "--port",
            broker.port,
            "--quiet",
            2,
            "--json",
        )

        def has_reported():
            done = edge_ad(*words)
            assert done.returncode == 0, done.stderr
            with FleetStore.open(root) as store:
                seen = newest(store).get("toy")
            return seen is not None and (seen.decisions or 0) >= 300

        wait_for(has_reported, "the agent has reported")
        (seen,) = status(root).values()
        assert "late" not in seen.flags
        assert agent.stop() == 0
        assert has_reported()
    finally:
        agent.stop()
    (seen,) = status(root).values()
    assert (seen.host, seen.running, seen.running_build) == ("pi-7", manifest.bundle_id, 1)
    assert seen.psi is not None
    assert seen.alarm_share > 0
    assert "late" in seen.flags  # the agent has said goodbye
    again = json.loads(edge_ad(*words).stdout)
    assert (again["new_reports"], again["new_events"], again["left_out"]) == (0, 0, 0)


def test_rubbish_on_a_broker_is_left_out_and_told(fleet, broker):
    for topic, text in (
        ("pi/a/health", json.dumps(report("a"))),
        ("pi/b/health", json.dumps(report("b"))[:-30]),
        ("pi/status", "drunk"),
        ("pi/a/other", "{"),
    ):
        publish = (
            "from paho.mqtt.publish import single; import sys; single(sys.argv[1], sys.argv[2], retain=True, "
        )
        publish += "hostname='127.0.0.1', port=int(sys.argv[3]))"
        command = [sys.executable, "-c", publish, f"edge-ad/{topic}", text, str(broker.port)]
        subprocess.run(command, check=True)
    done = edge_ad(
        "fleet", "collect", fleet, "--mqtt", "127.0.0.1", "--port", broker.port, "--quiet", 1, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["new_reports"] == 1
    assert json.loads(done.stdout)["left_out"] == 2
    assert "topic edge-ad/pi/b/health" in done.stderr


def test_a_broker_with_nothing_but_rubbish(fleet, broker):
    publish = (
        "from paho.mqtt.publish import single; import sys; single('edge-ad/pi/a/health', '{', retain=True, "
    )
    publish += "hostname='127.0.0.1', port=int(sys.argv[1]))"
    words = ("fleet", "collect", fleet, "--mqtt", "127.0.0.1", "--port", broker.port, "--quiet", 1)
    assert edge_ad(*words).returncode == 0  # it has nothing to tell
    subprocess.run([sys.executable, "-c", publish, str(broker.port)], check=True)
    done = edge_ad(*words)
    assert done.returncode == 5, done.stderr
    assert "first of all: topic edge-ad/pi/a/health: no whole JSON" in done.stderr


def test_a_broker_that_is_not_there_or_dies(fleet, broker):
    dead = edge_ad("fleet", "collect", fleet, "--mqtt", "127.0.0.1", "--port", free_port())
    assert dead.returncode == 1
    assert "cannot be reached" in dead.stderr
    assert "Traceback" not in dead.stderr
    words = ["-m", "edge_ad", "fleet", "collect", str(fleet), "--mqtt", "127.0.0.1", "--follow"]
    command = [sys.executable, *words, "--port", str(broker.port)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert "listening" in process.stderr.readline()
        log = broker.folder / "mosquitto.log"
        wait_for(lambda: "edge-ad-collect" in log.read_text(), "it is connected")
        broker.kill()
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "what was heard until then is kept" in stderr
    assert "0 new reports" in stdout


def test_what_cannot_be_asked(fleet, tmp_path):
    for words, code, complaint in (
        ([], 2, "--mqtt HOST"),
        ([tmp_path / "nothing.ndjson"], 5, "cannot read"),
        (["--mqtt", "localhost", "--prefix", "a/#"], 2, "prefix"),
        (["--mqtt", "localhost", "--password-file", "x"], 2, "needs a username"),
    ):
        done = edge_ad("fleet", "collect", fleet, *words)
        assert done.returncode == code, done.stderr
        assert complaint in done.stderr
    assert edge_ad("fleet", "status", tmp_path / "none").returncode == 2


def test_ten_thousand_assets_are_told_of_at_once(tmp_path):
    root = tmp_path / "large"
    names = [f"pump-{number:05}" for number in range(10_000)]
    with FleetStore.open(root, create=True) as store:
        store.record(
            *(AssetRecord(n, "x", "built", build_number=1, bundle_id=bundle_id(n, 1)) for n in names)
        )
        keep(store, (observation(n, number=1) for n in names))
        found = fleet_status(store, late_after_s=3600, now=NOW)
    assert len(found) == 10_000
    assert not any(each.flags for each in found)
