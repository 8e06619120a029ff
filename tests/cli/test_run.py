"""What `edge-ad run` can be told beside a bundle and an input."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import COMMAND, edge_ad


@pytest.fixture
def rows(toy_csv):
    """Header and rows of the toy recording from its gap to its empty cell."""
    header, *rows = toy_csv.read_text().splitlines()
    return header, rows[30:69]


def write(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def decided(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_overtaken_samples_are_put_in_order(toy_bundle_path, rows, tmp_path):
    header, ordered = rows
    overtaken = [*ordered[:20], ordered[21], ordered[20], *ordered[22:]]
    path = write(tmp_path / "overtaken.csv", header, overtaken)
    expected = decided(edge_ad("run", toy_bundle_path, write(tmp_path / "ordered.csv", header, ordered)))
    assert decided(edge_ad("run", toy_bundle_path, path, "--hold", 5)) == expected
    late = [line for line in decided(edge_ad("run", toy_bundle_path, path)) if line["state"] == "unknown"]
    assert [line["reason"].partition(":")[0] for line in late] == ["late"]


def test_samples_at_another_rate_are_resampled(toy_bundle_path, rows, tmp_path):
    header, ordered = rows
    slow = [f"2026-01-05 08:{m:02d}:{s:02d};{row.partition(';')[2]}" for m, s, row in slowed(ordered)]
    lines = decided(edge_ad("run", toy_bundle_path, write(tmp_path / "slow.csv", header, slow), "--resample"))
    assert {line["resampled"] for line in lines if line["score"] is not None} == {True}
    plain = decided(edge_ad("run", toy_bundle_path, tmp_path / "slow.csv"))
    assert sum(line["score"] is not None for line in lines) > sum(line["score"] is not None for line in plain)


def slowed(rows):
    """A sample every two seconds."""
    for i, row in enumerate(rows):
        yield (*divmod(2 * i, 60), row)


def test_normal_samples_and_episodes_are_kept(toy_bundle_path, toy_csv, tmp_path):
    normal, episodes = tmp_path / "normal.csv", tmp_path / "episodes.ndjson"
    options = ["--record-normal", normal, "--record-minutes", 0.1, "--episodes", episodes]
    result = edge_ad("run", toy_bundle_path, toy_csv, *options, "--summary", "json")
    summary = json.loads(result.stderr.splitlines()[-1])
    changes = [json.loads(line) for line in episodes.read_text().splitlines()]
    assert [change["change"] for change in changes].count("began") == summary["episodes"] == 1
    header, *rows = normal.read_text().splitlines()
    assert header.startswith("datetime;Accelerometer1RMS")
    assert len(rows) == 6
    assert {row.split(";")[0] for row in rows} <= {
        row.split(";")[0] for row in toy_csv.read_text().splitlines()
    }
    assert (summary["variant"], summary["samples"]) == ("tiny-int8", 185)


def test_what_is_recorded_so_far_is_said(toy_bundle_path, toy_csv, tmp_path):
    result = edge_ad("run", toy_bundle_path, toy_csv, "--record-normal", tmp_path / "normal.csv")
    assert "of 3600 rows of normal operation so far" in result.stderr
    assert not (tmp_path / "normal.csv").exists()
    assert (tmp_path / "normal.csv.part").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--record-normal", "in.csv"], "in.csv would be written over: it is the input, or stands twice"),
        (["--episodes", "./in.csv"], "in.csv would be written over"),
        (["--episodes", "x", "--summary-file", "x"], "x would be written over"),
        (["--record-normal", "/"], "'/' is not the name of a file"),
        (["--record-normal", ""], "is not the name of a file"),
        (["--summary-file", "/dev/null"], "'/dev/null' is not the name of a file that could be replaced"),
        (["--record-normal", "n.csv", "--record-minutes", "nan"], "nan is not a number"),
        (["--record-normal", "n.csv", "--record-minutes", "inf"], "inf is not in the range"),
        (["--hold", "nan"], "nan is not a number"),
        (["--trial", "nan"], "nan is not a number"),
    ],
)
def test_options_that_would_destroy_or_mean_nothing(toy_bundle_path, toy_csv, tmp_path, options, words):
    (tmp_path / "in.csv").write_bytes(toy_csv.read_bytes())
    result = edge_ad("run", toy_bundle_path.resolve(), "in.csv", *options, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "in.csv").read_bytes() == toy_csv.read_bytes()


def test_episodes_on_a_full_disk_end_no_monitoring(toy_bundle_path, toy_csv):
    result = edge_ad("run", toy_bundle_path, toy_csv, "--episodes", "/dev/full")
    assert len(decided(result)) == 185
    assert "episodes cannot be written to /dev/full for now: No space left on device" in result.stderr


def test_a_signal_just_before_waiting_is_heeded(toy_bundle_path, toy_csv, tmp_path):
    """The shim sends it where a plain read would not see it until the next sample."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler for the shim that interrupts: apt-get install gcc")
    shim = tmp_path / "shim.so"
    source = Path(__file__).parent / "silent_stream.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    silent, samples = os.pipe()
    lines = toy_csv.read_text().splitlines(keepends=True)[:31]
    os.write(samples, "".join(lines).encode())  # all there before the first read
    try:
        result = edge_ad(
            "run",
            toy_bundle_path,
            "-",
            "--summary",
            "json",
            env=os.environ | {"LD_PRELOAD": str(shim)},
            stdin=silent,
            timeout=60,
        )
    finally:
        os.close(samples)
        os.close(silent)
    assert result.returncode == 130
    assert len(result.stdout.splitlines()) == 30
    assert json.loads(result.stderr.splitlines()[-1])["interrupted"]


def test_a_standard_input_that_breaks_off_is_summed_up(toy_bundle_path, toy_csv, tmp_path):
    """The peer resets the connection, as a crashing logger does. What it had sent is decided, held or not."""
    lines = toy_csv.read_text().splitlines(keepends=True)[:31]
    summary = tmp_path / "summary.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    with reader, peer:
        process = subprocess.Popen(
            [*COMMAND, "run", toy_bundle_path, "-", "--hold", "5", "--summary-file", summary],
            stdin=reader,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            peer.sendall("".join(lines).encode())
            decided_lines = [process.stdout.readline() for _ in range(25)]  # five are held
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not end
            peer.close()
            rest, errors = process.communicate(timeout=60)
    assert process.returncode == 5, errors
    assert errors.splitlines()[-1] == "edge-ad: cannot read standard input: Connection reset by peer"
    assert "30 samples" in errors
    assert len(decided_lines) + len(rest.splitlines()) == json.loads(summary.read_text())["samples"] == 30


def test_a_standard_input_that_is_open_for_writing_only(toy_bundle_path):
    with open(os.devnull, "w") as file:
        result = edge_ad("run", toy_bundle_path, "-", stdin=file)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.splitlines()[-1] == "edge-ad: cannot read standard input: Bad file descriptor"


@pytest.mark.parametrize("input_", ["-", "in.csv"])
def test_a_closed_standard_output_is_told(toy_bundle_path, toy_csv, tmp_path, input_):
    (tmp_path / "in.csv").write_bytes(toy_csv.read_bytes())
    command = [*COMMAND, "run", str(toy_bundle_path.resolve()), input_]
    result = subprocess.run(
        ["sh", "-c", 'exec "$@" < in.csv >&-', "sh", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("edge-ad: standard output is closed, so decisions can be written nowhere")
    assert len(result.stderr.splitlines()) == 1


SWALLOWS = """
import os, signal, sys
import edge_ad.runtime.engine as engine
from edge_ad.cli.main import main
from edge_ad.errors import Terminated

plain = engine.engine_notice

def swallows():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    except Terminated:
        pass
    return plain()

engine.engine_notice = swallows
sys.argv = ["edge-ad", "run", sys.argv[1], "-"]
main()
"""


def test_a_signal_that_a_library_swallowed_while_it_was_loaded_is_heeded(toy_bundle_path):
    with subprocess.Popen(
        [sys.executable, "-c", SWALLOWS, toy_bundle_path], stdin=subprocess.PIPE
    ) as process:
        assert process.wait(60) == 0
