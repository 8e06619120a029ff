"""Bad input, as a person meets it: the message, the exit code, and nothing lost.

Every row says what `build` makes of a damaged recording and what `run` makes of it as a stream. A build
refuses what it cannot understand. A monitor must go on: it refuses only what it can never understand
(its columns) and says `unknown` for the rest.
"""

import json
import os
import subprocess

import pytest

from tests.helpers import COMMAND, edge_ad, pump_recording, snapshot

ROWS = 460  # of the recording, after the train span of 400 and enough for a test


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    text = pump_recording(tmp_path_factory.mktemp("good") / "good.csv", 3).read_text()
    return text.splitlines()[: ROWS + 1]


def cells(lines, change, rows=range(1, ROWS + 1)):
    """Change the list of cells of some lines (the header is line 0)."""
    return [";".join(change(line.split(";"))) if i in rows else line for i, line in enumerate(lines)]


def replace(column, value, rows):
    return lambda lines: cells(lines, lambda row: [*row[:column], value, *row[column + 1 :]], rows)


def drop(column):
    return lambda lines: cells(lines, lambda row: row[:column] + row[column + 1 :], range(ROWS + 1))


def swap_lines(lines):
    return [*lines[:450], lines[451], lines[450], *lines[452:]]


def jump(lines):
    return lines[:440] + lines[450:]


def duplicate(lines):
    return [*lines[:450], lines[449], *lines[450:]]


OK, UNKNOWN, REFUSED = "ok", "unknown", "refused"

# what happens: (what build says or None, exit code), (what run says: OK, UNKNOWN with reason, REFUSED)
TABLE = {
    "missing column": (drop(4), "column 'Pressure' is missing from line 1", REFUSED),
    "extra column": (lambda lines: [line + ";7" for line in lines], None, OK),
    "renamed column": (
        lambda lines: [lines[0].replace("Pressure", "pressure"), *lines[1:]],
        "column 'Pressure' is missing from line 1 (is it 'pressure'?)",
        REFUSED,
    ),
    "reordered columns": (
        lambda lines: cells(lines, lambda row: [row[0], *row[:0:-1]], range(ROWS + 1)),
        None,
        OK,
    ),
    "wrong separator": (
        lambda lines: [line.replace(";", ",") for line in lines],
        "is the separator ','?",
        REFUSED,
    ),
    "text in a number column": (
        replace(4, "ok", [440]),
        "line 441: 'ok' in column 'Pressure' is not a number",
        "unreadable: 'ok' in column 'Pressure' is not a number",
    ),
    "NaN": (replace(4, "nan", [440]), None, "missing: Pressure"),
    "empty cell": (replace(4, "", [440]), None, "missing: Pressure"),
    "+inf": (replace(4, "inf", [440]), None, "not-finite: Pressure"),
    "-inf": (replace(4, "-inf", [440]), None, "not-finite: Pressure"),
    "absurd value": (replace(4, "1e300", [440]), None, "not-finite: Pressure"),
    "time repeats": (duplicate, "repeats", "duplicate: left out"),
    "time runs backwards": (
        swap_lines,
        "is not later than",
        "late: left out, it is 1 s older than the newest",
    ),
    "time jumps": (jump, None, "refilling: 2 of 10 samples since gap: 1"),
    "time stamp that is none": (
        replace(0, "yesterday", [440]),
        "line 441: 'yesterday' is not a time stamp",
        "unreadable: 'yesterday' is not a time stamp",
    ),
    "fewer rows than the train span": (
        lambda lines: lines[:300],
        "has 299 rows, fewer than the train span of 400",
        OK,
    ),
    "no window after the train span": (lambda lines: lines[:405], "nothing to test on", OK),
    "empty file": (lambda lines: [], "is empty: it must start with a line of column names", REFUSED),
    "header only": (
        lambda lines: lines[:1],
        "has column names but no rows",
        "refused: has 0 samples, fewer than the window of 10",
    ),
    "fewer rows than a window": (
        lambda lines: lines[:10],
        "has 9 rows, fewer than the train span of 400",
        "refused: has 9 samples, fewer than the window of 10",
    ),
    "cut mid-line": (
        lambda lines: [*lines[:-1], lines[-1][:30]],
        "the file seems cut off here",
        "unreadable: ",
    ),
    "constant channel": (replace(4, "0.5", range(1, ROWS + 1)), None, "stuck: Pressure 0.5 for 110 samples"),
    "nothing changes": (
        lambda lines: cells(lines, lambda row: [row[0], *lines[1].split(";")[1:]]),
        "no channel changes in the train span",
        "stuck: Accelerometer1RMS",
    ),
    "quotes that make no sense": (
        replace(4, '"0.5', [440]),
        "1 cells where the header has 11",
        "unreadable: 1 cells where the header has 11",
    ),
    "underscores in a number": (
        replace(4, "1_003", [440]),
        "line 441: '1_003' in column 'Pressure' is not a number",
        "unreadable: '1_003' in column 'Pressure' is not a number",
    ),
    "nothing but NaN in a channel": (
        replace(4, "", range(1, ROWS + 1)),
        "0 whole windows of 10 rows, at least 20 are needed; 400 rows miss a value, most in 'Pressure'",
        "missing: Pressure",
    ),
    "not UTF-8": (
        lambda lines: [*lines[:440], lines[440].replace(".", "\xe9", 1), *lines[441:]],
        "not UTF-8 text (byte 0xe9); save the file as UTF-8",
        "unreadable: ",
    ),
}


@pytest.fixture
def damaged(request, good, tmp_path):
    path = tmp_path / "pump.csv"
    lines = TABLE[request.param][0](good)
    text = "\n".join(lines) + ("\n" if lines and request.param != "cut mid-line" else "")
    path.write_bytes(text.encode("latin-1"))
    return path, TABLE[request.param]


@pytest.mark.parametrize("damaged", TABLE, indirect=True)
def test_build(damaged, tmp_path):
    path, (_, words, _) = damaged
    there = tmp_path / "out"
    (there / "bundles").mkdir(parents=True)
    (there / "bundles" / "pump.edgead").write_bytes(b"an older bundle")
    before = path.read_bytes()
    # one epoch: what is looked at is the reading
    arguments = ["build", path, "--preset", "pump", "-o", there, "--models", "tiny", "--epochs", 1]
    result = edge_ad(*arguments)
    assert path.read_bytes() == before
    assert "Traceback" not in result.stderr
    if words is None:
        assert result.returncode == 0, result.stderr
        assert edge_ad("verify", there / "bundles" / "pump.edgead").returncode == 0
    else:
        assert result.returncode == 5, result.stderr
        assert words in result.stderr
        assert result.stdout == ""
        assert snapshot(there) == {"bundles/pump.edgead": b"an older bundle"}


@pytest.mark.parametrize("damaged", TABLE, indirect=True)
def test_describe(damaged):
    path, (_, words, _) = damaged
    result = edge_ad("data", "describe", path, "--preset", "pump")
    assert "Traceback" not in result.stderr
    if words is None or any(w in words for w in ("rows miss", "nothing to test on", "no channel changes")):
        assert result.returncode == 0, result.stderr
        assert " rows, " in result.stdout
    else:
        assert result.returncode == 5
        assert words in result.stderr


@pytest.mark.parametrize("damaged", TABLE, indirect=True)
def test_run(damaged, toy_bundle_path):
    path, (_, build_words, outcome) = damaged
    result = edge_ad("run", toy_bundle_path, path, "--summary", "json")
    assert "Traceback" not in result.stderr
    if outcome.startswith(REFUSED):
        assert result.returncode == 5
        assert (outcome.partition(": ")[2] or build_words) in result.stderr
        assert all(json.loads(line)["state"] == "warming" for line in result.stdout.splitlines())
        return
    assert result.returncode == 0, result.stderr
    decisions = [json.loads(line) for line in result.stdout.splitlines()]
    n_rows = sum(1 for line in path.read_bytes().splitlines()[1:] if line)
    assert len(decisions) == n_rows
    for decision in decisions:
        without = decision["state"] in ("unknown", "warming")
        assert without == (decision["score"] is None) == ("reason" in decision)
    reasons = [decision["reason"] for decision in decisions if decision["state"] == "unknown"]
    if outcome == OK:
        assert reasons == []
    else:
        assert any(reason.startswith(outcome) for reason in reasons)
        lasting = (
            outcome.startswith("stuck") or "cut off" in str(build_words) or "0 whole" in str(build_words)
        )
        assert lasting == (decisions[-1]["state"] == "unknown")


class TestOutputFolder:
    """A folder that cannot be written to, or is full. A private mount serves as the bad disk."""

    @pytest.fixture
    def on_disk(self, tmp_path):
        """Run a command while `tmp_path/disk` is a file system mounted with the options given."""
        disk = tmp_path / "disk"
        disk.mkdir()
        probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(disk)]
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            if os.environ.get("CI"):
                pytest.fail("CI must be able to mount")
            pytest.skip("this machine allows no private mounts")

        def run(options, *arguments, before="true", after="true"):
            script = (
                f'mount -t tmpfs -o "$0" tmpfs {disk} && ({before}); "$@"; code=$?; ({after}); exit $code'
            )
            command = ["unshare", "-rm", "sh", "-c", script, options, *COMMAND, *map(str, arguments)]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

        return disk, run

    def test_unwritable(self, on_disk, toy_csv, toy_bundle_path, tmp_path):
        disk, run = on_disk
        long_csv = pump_recording(tmp_path / "long.csv", 3)
        for arguments in (
            ["build", "--preset", "pump", "-o", disk / "out"],
            ["data", "pump", "-o", disk / "out"],
            ["run", toy_bundle_path, toy_csv, "--summary-file", disk / "summary.json"],
            ["data", "describe", long_csv, "--save-format", disk / "my.toml"],
            ["data", "fetch", "skab", "-o", disk / "skab", "--base-url", "http://127.0.0.1:9/"],
        ):
            result = run("ro", *arguments)
            assert result.returncode == 1, result.stderr
            assert "Read-only file system" in result.stderr
            assert str(disk) in result.stderr
            assert "Traceback" not in result.stderr

    def test_full_while_simulating(self, on_disk):
        disk, run = on_disk
        listing = f"ls -A {disk}/out"
        result = run("size=256k", "data", "pump", "-o", disk / "out", after=listing)
        assert result.returncode == 1
        assert "No space left on device" in result.stderr
        # whole files or none, and no temporary ones
        assert result.stdout.split() == ["pump-0.csv", "pump-1.csv"]

    def test_full_while_training(self, on_disk, tmp_path):
        disk, run = on_disk
        recording = pump_recording(tmp_path / "pump.csv", 3)
        build = ["build", recording, "-o", disk / "out", "--models", "full", "--epochs", 1]
        result = run("size=300k", *build, after=f"find {disk} -type f -name '.*.*'")
        assert result.returncode == 1
        assert "No space left on device" in result.stderr
        assert "the others are done and kept" in result.stderr
        assert result.stdout == ""

    def test_full_while_packing_keeps_the_older_bundle(self, on_disk, tmp_path):
        disk, run = on_disk
        recording = pump_recording(tmp_path / "pump.csv", 3)
        build = ["build", recording, "-o", tmp_path / "out", "--models", "tiny", "--epochs", 1]
        assert edge_ad(*build).returncode == 0
        bundles = tmp_path / "out" / "bundles"
        older = (bundles / "pump.edgead").read_bytes()
        script = f"mount --bind {disk} {bundles} && echo older > {bundles}/pump.edgead"
        result = run(
            "size=16k", "pack", tmp_path / "out", before=script, after=f"cat {bundles}/* && ls -A {bundles}"
        )
        assert result.returncode == 1
        assert "No space left on device" in result.stderr
        assert result.stdout.split() == ["older", "pump.edgead"]
        assert (bundles / "pump.edgead").read_bytes() == older


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["build", "none", "-o", "out"],
            5,
            "give a recording (.csv or .parquet), or a folder",
        ),
        (["build", "nothing", "-o", "out"], 5, "holds no .csv or .parquet file"),
        (["build", "pump.csv", "-o", "pump.csv"], 1, "cannot create folder pump.csv: File exists"),
        (["build", "-o", "out"], 2, "DATA"),
        (["build", "pump.csv"], 2, "Missing option '-o'"),
        (["build", "pump.csv", "-o", "out", "--models", "huge"], 2, "models can be full, tiny"),
        (["build", "pump.csv", "-o", "out", "--variants", "tiny-int3"], 2, "no variant 'tiny-int3'"),
        (["build", "pump.csv", "-o", "out", "--config", "none.toml"], 2, "cannot read none.toml"),
        (["build", "pump.csv", "-o", "out", "--format", "none.toml"], 2, "cannot read none.toml"),
        (["build", "pump.csv", "-o", "out", "--seed", "-1"], 2, "seed must not be negative"),
        (["run", "none.edgead", "pump.csv"], 3, "none.edgead"),
        (["run", "pump.csv", "pump.csv"], 3, "pump.csv: not a"),
        (["verify", "pump.csv"], 3, "pump.csv: not a"),
        (["inspect", "none.edgead"], 3, "none.edgead"),
        (["bench", "pump.csv"], 3, "pump.csv: not a"),
        (["data", "describe", "none"], 5, "none does not exist"),
        (["fly"], 2, "No such command 'fly'"),
    ],
)
def test_usage(arguments, code, words, tmp_path, good):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "pump.csv").write_text("\n".join(good) + "\n")
    before = snapshot(tmp_path)
    result = edge_ad(*arguments, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert snapshot(tmp_path) == before


def test_run_on_a_missing_input(toy_bundle_path, tmp_path):
    result = edge_ad("run", toy_bundle_path, tmp_path / "none.csv")
    assert result.returncode == 5
    assert "cannot read" in result.stderr
    result = edge_ad("run", toy_bundle_path, tmp_path)
    assert result.returncode == 5
    assert "is a folder, and the bundle was not made of snapshot files: give a CSV file" in result.stderr
    result = edge_ad("run", toy_bundle_path, "-", "--variant", "huge", input="")
    assert result.returncode == 2
    assert "no variant 'huge'; it has: tiny-float32, tiny-int8, tiny-int8-full" in result.stderr
