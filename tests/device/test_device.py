"""What must work where only the device's packages are installed. Runs on a workstation as well."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "edge_ad"]
INTERPRETERS = [name for name in ("ai_edge_litert", "tflite_runtime") if find_spec(name)]
"""Packages that run models here; without any, numpy does."""
FIRST_FULL_WINDOW = 10
EMULATED = "EDGE_AD_EMULATED" in os.environ
"""Whether this processor is translated for another: everything takes ten times as long, and a process also
has the translator and what it has translated in its memory, some 40 MB."""
PATIENCE = 10 if EMULATED else 1
MEMORY = 2 if EMULATED else 1


def run(*arguments, **options):
    """Run `edge-ad` to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120 * PATIENCE,
        **options,
    )


def test_importing_the_runtime_loads_only_what_a_device_has():
    code = """
import sys
before = set(sys.modules)
import edge_ad.runtime, edge_ad.runtime.stream, edge_ad.runtime.sinks.ndjson, edge_ad.runtime.selftest
import edge_ad.runtime.store.service, edge_ad.runtime.recalibrate
import edge_ad.runtime.agent.agent, edge_ad.runtime.http.options
import edge_ad.runtime.benchmark.session, edge_ad.runtime.sources.csv_lines, edge_ad.bench.comparison
import edge_ad.runtime.interpreter as interpreter
interpreter.interpreter_version()
new = {name.split(".")[0] for name in set(sys.modules) - before}
print("\\n".join(sorted(new - sys.stdlib_module_names)))
print("\\n".join(n for n in sys.modules if n.startswith("edge_ad.")))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(result.stdout.split())
    ours = {name.split(".")[1] for name in names if name.startswith("edge_ad.")}
    assert ours <= {"bench", "bundle", "detect", "errors", "files", "runtime", "text"}
    others = {name for name in names if "." not in name and "cython" not in name}
    others -= {"edge_ad", "numpy", "__mp_main__", *INTERPRETERS}
    # What the interpreter packages bring along themselves.
    assert others <= {"flatbuffers", "ml_dtypes", "google", "backports", "tqdm", "typing_extensions"}
    assert bool(names & set(INTERPRETERS)) == bool(INTERPRETERS)
    assert not any(name.startswith("edge_ad.runtime.numpy_engine") for name in names)  # before it is used


def test_a_recording_gets_the_workstations_decisions(toy_bundle_path, toy_csv, toy_decisions):
    result = run("run", toy_bundle_path, toy_csv, "--summary", "json")
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == len(toy_csv.read_text().splitlines()) - 1
    for line, expected in zip(lines, map(json.loads, toy_decisions), strict=True):
        assert list(line)[:6] == ["time", "state", "score", "ucl", "alarm", "contributions"]
        assert (line["time"], line["state"]) == (expected["time"], expected["state"])
        assert line.get("reason") == expected.get("reason")
        if expected["score"] is not None:
            assert line["score"] == pytest.approx(expected["score"], rel=0.02)
    summary = json.loads(result.stderr.splitlines()[-1])
    assert summary["samples"] == len(lines)
    assert summary["scored"] == sum(line["score"] is not None for line in lines)
    assert summary["alarms"] == sum(line["alarm"] for line in lines) > 0
    assert set(summary["latency_us"]) == {"admit", "scale", "infer", "score", "decide", "total"}
    assert summary["peak_rss_bytes"] <= 80e6 * MEMORY


def test_the_summary_can_be_kept(toy_bundle_path, toy_csv, tmp_path):
    path = tmp_path / "summary.json"
    result = run("run", toy_bundle_path, toy_csv, "--summary-file", path)
    assert json.loads(path.read_text())["samples"] == len(toy_csv.read_text().splitlines()) - 1
    assert "p50" in result.stderr
    assert "samples/s" in result.stderr


def start(bundle):
    """A run that waits for samples."""
    return subprocess.Popen(
        [*COMMAND, "run", str(bundle), "-", "--summary", "json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def test_a_live_stream_is_answered_line_by_line(toy_bundle_path, toy_csv):
    header, *rows = toy_csv.read_text().splitlines(keepends=True)
    with start(toy_bundle_path) as process:
        process.stdin.write(header)
        for row in rows[:40]:
            process.stdin.write(row)
            # readline blocks until the decision on this very sample is out
            assert json.loads(process.stdout.readline())["time"] == row.split(";")[0]
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(30 * PATIENCE) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_end_a_stream_with_its_summary(toy_bundle_path, toy_csv, number, code):
    header, *rows = toy_csv.read_text().splitlines(keepends=True)
    with start(toy_bundle_path) as process:
        process.stdin.write(header + "".join(rows[:FIRST_FULL_WINDOW]))
        for _ in range(FIRST_FULL_WINDOW):
            process.stdout.readline()
        process.send_signal(number)
        assert process.wait(30 * PATIENCE) == code
        summary = json.loads(process.stderr.read().splitlines()[-1])
    assert summary["samples"] == FIRST_FULL_WINDOW
    assert summary["interrupted"] == (code == 130)


def test_a_reader_that_has_seen_enough_is_a_normal_end(toy_bundle_path, tmp_path):
    samples = tmp_path / "samples.csv"
    with samples.open("w") as file:
        subprocess.run([sys.executable, "-c", SAMPLES, "20000"], stdout=file, check=True)
    command = (
        f"{sys.executable} -m edge_ad run {toy_bundle_path} {samples} | head -n 1; echo ${{PIPESTATUS[0]}}"
    )
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120 * PATIENCE
    )
    line, status = result.stdout.splitlines()
    assert json.loads(line)["state"] == "warming"
    assert status == "0"
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_told(toy_bundle_path, toy_csv):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*COMMAND, "run", str(toy_bundle_path), str(toy_csv)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert "cannot write the output: No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


SAMPLES = """
import sys
names = ["Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple",
         "Voltage", "Volume Flow RateRMS"]
print(";".join(["datetime", *names]))
for i in range(int(sys.argv[1])):
    d, s = divmod(i, 86400)
    print(f"2026-{1 + d // 28:02d}-{1 + d % 28:02d} {s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d};"
          f"0.03;0.04{i % 7};0.9{i % 10};0.05;64.{i % 9};26.9;23{i % 5};36")
"""


def resident_kb(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.skipif(EMULATED, reason="minutes, and what grows would be the translator's memory")
def test_memory_stays_flat(toy_bundle_path, tmp_path):
    with (
        subprocess.Popen([sys.executable, "-c", SAMPLES, "120000"], stdout=subprocess.PIPE) as source,
        subprocess.Popen(
            [*COMMAND, "run", str(toy_bundle_path), "-"],
            stdin=source.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        early = late = 0
        for number in count(1):
            if not process.stdout.readline():
                break
            if number == 20_000:
                early = resident_kb(process.pid)
            elif number == 119_000:
                late = resident_kb(process.pid)
        assert process.wait(30 * PATIENCE) == 0
    assert number - 1 == 120_000
    assert early > 0
    assert late - early <= 1024


@pytest.mark.parametrize("name", ["toy.edgead", "toy-fast.edgead"])
def test_every_form_scores_as_on_the_workstation(toy_bundle_path, name):
    """Golden windows of float32, int8 and int8-full, in every interpreter installed here and in numpy."""
    result = run("verify", toy_bundle_path.with_name(name))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": ok, 16 windows") == 3 * (len(INTERPRETERS) + 1)
    assert ("(no TFLite interpreter installed)" in result.stdout) == (not INTERPRETERS)


def test_inspect(toy_bundle_path):
    result = run("inspect", toy_bundle_path)
    assert result.returncode == 0
    assert "tiny-int8 (default)" in result.stdout
    manifest = json.loads(run("inspect", toy_bundle_path, "--json").stdout)
    assert manifest["asset"] == "toy"


def bench(*arguments):
    """A short benchmark; some engines of a Pi of the first generations take 100 ms per window."""
    return run("bench", *arguments, "--no-keras", "--windows", 120, "--warmup", 20, "--processes", 2)


@pytest.mark.skipif(EMULATED, reason="most of a minute of measuring; a shorter benchmark follows")
def test_bench_keeps_raw_values_and_the_machine(toy_bundle_path, tmp_path):
    path = tmp_path / "bench.json"
    result = bench(toy_bundle_path, "-o", path)
    assert result.returncode == 0, result.stderr
    record = json.loads(path.read_text())
    measured = [(found["variant"], found["engine"]) for found in record["results"]]
    engines = [name.replace("_", "-") for name in INTERPRETERS] + ["numpy"]
    variants = ("tiny-float32", "tiny-int8", "tiny-int8-full")
    assert sorted(measured) == sorted((variant, engine) for variant in variants for engine in engines)
    for found in record["results"]:
        assert len(found["runs"]) == 2
        for process in found["runs"]:
            names = {measurement["name"] for measurement in process["measurements"]}
            assert {"invoke", "admit", "scale", "infer", "score", "decide", "sample-to-decision"} == names
            assert all(len(measurement["raw_ns"]) == 60 for measurement in process["measurements"])
            assert all(value >= 0 for found in process["measurements"] for value in found["raw_ns"])
            start = list(process["cold_start"].values())
            assert 0 < start[0] <= start[1] <= start[2] <= start[3]
            assert 1e6 < process["rss_bytes"] <= process["peak_rss_bytes"]
    assert record["machine_before"]["n_cpus"] >= 1
    assert record["versions"]["numpy"]
    assert f"verdict: {record['trust']}" in result.stdout


@pytest.mark.skipif(EMULATED, reason="most of a minute of measuring; a shorter benchmark follows")
def test_bench_counts_each_thread_and_each_engine_once(toy_bundle_path):
    result = bench(toy_bundle_path, "--json", "--variant", "tiny-int8", "--threads", "1,2")
    assert result.returncode == 0, result.stderr
    found = [(found["engine"], found["threads"]) for found in json.loads(result.stdout)["results"]]
    expected = [(name.replace("_", "-"), threads) for name in INTERPRETERS for threads in (1, 2)]
    assert found == [*expected, ("numpy", 1)]


def test_a_benchmark_can_be_compared(toy_bundle_path, tmp_path):
    path = tmp_path / "a.json"
    result = bench(toy_bundle_path, "--variant", "tiny-int8", "--engine", "numpy", "-o", path)
    assert result.returncode == 0, result.stderr
    result = run("bench", "compare", path, path, "--untrusted", "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert {row["name"] for row in rows} == {"invoke", "sample-to-decision", "cold-start"}
    assert all(row["p50"]["value"] == 1 for row in rows)


def test_a_cut_bundle_is_refused(toy_bundle_path, tmp_path):
    path = tmp_path / "cut.edgead"
    path.write_bytes(toy_bundle_path.read_bytes()[:-100])
    result = run("run", path, "-", input="")
    assert result.returncode == 3
    assert "cut.edgead: not a complete bundle" in result.stderr


def test_a_run_loads_no_framework(toy_bundle_path):
    result = run("run", toy_bundle_path, "-", input="", env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 5
    modules = [line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if "|" in line]
    assert "numpy" in modules
    for heavy in ("tensorflow", "keras", "pandas", "sklearn", "rich", "requests", "pebble"):
        assert heavy not in modules


@pytest.mark.parametrize("damage", ["empty", "text", "random"])
def test_a_model_that_the_interpreter_refuses(toy_bundle_path, tmp_path, damage):
    """Packed with right hashes all the same: a bad bundle, not a traceback."""
    from tests.forge import manifest_of, with_member

    data = toy_bundle_path.read_bytes()
    name = manifest_of(data)["variants"][0]["file"]
    content = {"empty": b"", "text": b"no model at all, " * 99, "random": bytes(range(256)) * 8}[damage]
    path = tmp_path / "bad.edgead"
    path.write_bytes(with_member(data, name, content))
    for command in (["run", path, "-"], ["verify", path], ["bench", path, "--no-keras", "--processes", 1]):
        result = run(*command, input="")
        assert result.returncode == 3, result.stderr
        assert "Traceback" not in result.stderr


def test_streams_that_the_caller_closed(toy_bundle_path, toy_csv):
    command = f"{sys.executable} -m edge_ad run {toy_bundle_path}"
    for redirection, code in ((f"{toy_csv} >&-", 1), (f"{toy_csv} 2>&-", 0), ("- <&-", 5)):
        result = subprocess.run(
            ["bash", "-c", f"{command} {redirection}"], capture_output=True, text=True, check=False
        )
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr


def test_a_service_that_is_stopped_before_its_first_line(toy_bundle_path):
    with start(toy_bundle_path) as process:
        # The last library to be loaded: the interpreter's, or numpy's where that runs the model.
        library = "_interpreter_wrapper" if INTERPRETERS else "_multiarray_umath"
        while library not in Path(f"/proc/{process.pid}/maps").read_text():
            assert process.poll() is None
        time.sleep(0.5)  # now it waits for a line; were it not, the code would be 143
        process.send_signal(signal.SIGTERM)
        assert process.wait(30 * PATIENCE) in (0, 143), process.stderr.read()


def test_json_on_stderr_is_all_there_is(toy_bundle_path, toy_csv):
    result = run("run", toy_bundle_path, toy_csv, "--summary", "json")
    *notices, summary = result.stderr.splitlines()
    assert json.loads(summary)["terminated"] is False
    if INTERPRETERS:  # elsewhere it is said that numpy runs the model
        assert not notices


def test_a_line_that_never_ends_does_not_fill_the_memory(toy_bundle_path, toy_csv):
    header = toy_csv.read_text().splitlines()[0]
    with start(toy_bundle_path) as process:
        process.stdin.write(header + "\n")
        process.stdin.flush()
        for _ in range(200):
            process.stdin.write("1" * 1_000_000)
        process.stdin.flush()
        grown = resident_kb(process.pid)
        process.stdin.close()
        assert process.wait(30 * PATIENCE) == 5
    assert grown < 100_000 * MEMORY


def test_what_only_a_workstation_can_do_is_said_in_a_line(tmp_path, toy_csv):
    code = "import sys; sys.modules['pebble'] = None; from edge_ad.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "build", toy_csv, "-o", tmp_path / "out", "--preset", "pump"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "needs pebble: install 'edge-ad[host]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def in_store(tmp_path):
    """`edge-ad` with a store of its own."""
    env = os.environ | {"EDGE_AD_STORE": str(tmp_path / "store")}

    def command(*arguments, code=0):
        result = run(*arguments, env=env)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        return result

    return command


def test_install_update_roll_back(in_store, toy_bundle_path, toy_csv, tmp_path):
    from tests.forge import edited

    data = toy_bundle_path.read_bytes()
    for number in (1, 2):
        path = tmp_path / f"{number}.edgead"
        path.write_bytes(edited(data, lambda manifest, n=number: manifest.update(build_number=n)))
        in_store("store", "install", path)
        in_store("run", "@toy", toy_csv, "--trial", "0")
    assert "build 1" in in_store("store", "rollback", "toy").stdout
    assert in_store("run", "@toy", toy_csv).stdout == in_store("run", toy_bundle_path, toy_csv).stdout


def test_signed_bundles(in_store, toy_bundle_path, tmp_path):
    """Where the library for it is installed; elsewhere, that it is missing is what one is told."""
    from tests.forge import with_signature

    data = toy_bundle_path.with_name("toy.minisig").read_bytes()
    signed = tmp_path / "signed.edgead"
    signed.write_bytes(with_signature(toy_bundle_path.read_bytes(), data))
    in_store("verify", signed)  # nobody's key is trusted here: the signature is not checked
    in_store("keys", "trust", toy_bundle_path.with_name("toy.pub"))
    assert "not signed" in in_store("verify", toy_bundle_path, code=3).stderr
    if find_spec("cryptography") is None:
        assert "edge-ad[signing]" in in_store("store", "install", signed, code=1).stderr
    else:
        in_store("store", "install", signed)
        assert "signed by the trusted key" in in_store("verify", "@toy").stdout


def test_recalibration(in_store, toy_bundle_path, normal_csv):
    in_store("store", "install", toy_bundle_path)
    in_store("recalibrate", "@toy", normal_csv, "--force")
    assert "recalibrate" in in_store("store", "log", "toy").stdout
    in_store("store", "revert", "toy")


def test_the_agent_decides_as_run_does(toy_bundle_path, toy_csv, tmp_path):
    """With nothing of what is optional."""
    (tmp_path / "agent.toml").write_text(
        f"""
[agent]
spool = "{tmp_path}/spool.db"
[[asset]]
name = "toy"
bundle = "{toy_bundle_path}"
source = {{ kind = "file", path = "{toy_csv}" }}
[[sink]]
kind = "decisions"
path = "{tmp_path}/decisions.ndjson"
[[sink]]
kind = "events"
path = "{tmp_path}/events.ndjson"
"""
    )
    result = run("agent", tmp_path / "agent.toml")
    assert result.returncode == 0, result.stderr
    made = [json.loads(line) for line in (tmp_path / "decisions.ndjson").read_text().splitlines()]
    own = [{k: v for k, v in decision.items() if k not in ("asset", "bundle")} for decision in made]
    expected = run("run", toy_bundle_path, toy_csv).stdout.splitlines()
    assert own == [json.loads(line) for line in expected]
    changes = [json.loads(line)["change"] for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert (changes[0], changes[-1]) == ("began", "ended")


@pytest.mark.parametrize(
    ("table", "package"),
    [
        ('[broker.b]\nhost = "127.0.0.1"\n[[sink]]\nkind = "mqtt"\nbroker = "b"\n', "paho"),
        ('[[sink]]\nkind = "gpio"\npin = 17\n', "gpiozero"),
        ("[http]\n", "waitress"),
    ],
)
def test_what_is_optional_says_how_to_install_itself(table, package, toy_bundle_path, toy_csv, tmp_path):
    if find_spec(package):
        pytest.skip(f"{package} is installed here")
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[agent]\nspool = "{tmp_path}/spool.db"\n[[asset]]\nname = "toy"\nbundle = "{toy_bundle_path}"\n'
        f'source = {{ kind = "file", path = "{toy_csv}" }}\n{table}'
    )
    result = run("agent", config)
    assert result.returncode == 1
    assert "pip install 'edge-ad[" in result.stderr


def test_doctor_examines_this_machine():
    result = run("doctor", "--json")
    assert result.returncode in (0, 1), result.stderr
    findings = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert findings["engine-numpy"]["level"] == "ok"
    assert all(finding["fix"] for finding in findings.values() if finding["level"] in ("warn", "fail"))
