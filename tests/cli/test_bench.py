"""`edge-ad bench BUNDLE` and `edge-ad bench compare A B` on one command line."""

import json
import os
from dataclasses import replace

import pytest

from edge_ad.bench.finding import Finding
from edge_ad.runtime.benchmark.file import read_benchmark, write_benchmark
from tests.bench.files import PI_4, benchmark, result
from tests.helpers import edge_ad

SHORT = ("--no-keras", "--windows", 60, "--warmup", 0, "--processes", 1, "--engine", "numpy")
ONE = (*SHORT, "--variant", "tiny-int8")


@pytest.fixture
def files(tmp_path):
    """Benchmarks by name, in the working folder."""
    void = Finding("emulated", "void", "qemu translates", ("run it on the board",))
    for name, made in {
        "a": benchmark(result()),
        "b": benchmark(result(us=80, seed=1)),
        "other": benchmark(result(), machine=replace(PI_4, board="Raspberry Pi 5 Model B Rev 1.0")),
        "void": benchmark(result(), findings=(void,)),
        "numpy": benchmark(result(engine="numpy")),
    }.items():
        write_benchmark(tmp_path / f"{name}.json", made)
    (tmp_path / "old.json").write_text('{"schema": "1.0", "measurements": []}')
    (tmp_path / "cut.json").write_bytes((tmp_path / "a.json").read_bytes()[:-9])
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a.json", "none.json"], 5, "cannot read none.json: No such file"),
        (["a.json", "old.json"], 5, "old.json: schema 1.0"),
        (["cut.json", "a.json"], 5, "cut.json: no benchmark, or not all of one"),
        (["a.json", "other.json"], 2, "board: Raspberry Pi 4 Model B Rev 1.4, and Raspberry Pi 5"),
        (["a.json", "void.json"], 2, "the durations in B mean nothing: qemu translates"),
        (["a.json", "numpy.json"], 2, "nothing in common"),
        (["a.json"], 2, "Missing argument 'B'"),
    ],
)
def test_comparisons_that_are_refused(files, arguments, code, words):
    run = edge_ad("bench", "compare", *arguments, cwd=files)
    assert run.returncode == code
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.stdout


def test_a_comparison(files):
    run = edge_ad("bench", "compare", "a.json", "b.json", cwd=files)
    assert run.returncode == 0, run.stderr
    line = next(line for line in run.stdout.splitlines() if "sample-to-decision" in line)
    assert "0.80" in line or "0.79" in line
    assert "no difference" in run.stdout
    for option, name in (("--across-machines", "other.json"), ("--untrusted", "void.json")):
        run = edge_ad("bench", "compare", "a.json", name, option, "--json", cwd=files)
        assert run.returncode == 0, run.stderr
        assert {row["name"] for row in json.loads(run.stdout)["rows"]} >= {"invoke", "sample-to-decision"}
    stages = edge_ad("bench", "compare", "a.json", "b.json", "--stages", cwd=files).stdout
    assert "infer" in stages


def test_a_bundle_that_is_called_compare(toy_bundle_path, tmp_path):
    (tmp_path / "compare").write_bytes(toy_bundle_path.read_bytes())
    run = edge_ad("bench", "./compare", *ONE, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "toy, build 1" in run.stdout
    assert edge_ad("bench", "compare", cwd=tmp_path).returncode == 2


def test_options_may_come_first(toy_bundle_path, tmp_path):
    run = edge_ad("bench", *ONE, "-o", tmp_path / "bench.json", toy_bundle_path)
    assert run.returncode == 0, run.stderr
    made = read_benchmark(tmp_path / "bench.json")
    assert [(found.variant, found.engine) for found in made.results] == [("tiny-int8", "numpy")]
    assert f"verdict: {made.trust}" in run.stdout
    assert made.profile
    assert made.sample_period_s == 1.0


def test_variables_are_named_after_the_command(toy_bundle_path):
    env = os.environ | {"EDGE_AD_BENCH_WINDOWS": "70", "EDGE_AD_BENCH_PERIOD": "0.05"}
    arguments = [argument for argument in ONE if argument not in ("--windows", 60)]
    run = edge_ad("bench", toy_bundle_path, *arguments, "--json", env=env)
    assert run.returncode == 0, run.stderr
    record = json.loads(run.stdout)
    assert record["settings"]["windows"] == 70
    assert (record["sample_period_s"], record["deadline_s"]) == (0.05, 0.05)


def test_both_uses_have_their_help():
    text = edge_ad("bench", "--help").stdout
    assert text.startswith("Usage: edge-ad bench [OPTIONS] BUNDLE\n")
    assert "edge-ad bench compare --help" in text
    assert "--instructions" in text
    text = edge_ad("bench", "compare", "-h").stdout
    assert text.startswith("Usage: edge-ad bench compare [OPTIONS] A B\n")
    assert "--across-machines" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing argument 'BUNDLE'"),
        (["toy", "--threads", "1,0"], 2, "must be numbers from 1 to 1024"),
        (["toy", "--threads", "two"], 2, "must be numbers from 1 to 1024"),
        (["toy", "--engine", "tensorrt"], 2, "'tensorrt' is not installed here; there are:"),
        (["toy", "--variant", "huge"], 2, "no variant 'huge'; it has: tiny-float32"),
        (["toy", "--period", "nan"], 2, "not a number"),
        (["toy", "--rootfs", "/"], 2, "--rootfs goes with --instructions"),
        (["toy", "--instructions", "--rootfs", "/none"], 2, "there is no /opt/edge-ad/bin/python in /none"),
        (["toy", "--instructions", "--rootfs", "/", "--on", "pi@nowhere"], 2, "not with --on"),
        (["toy", "--on", "pi@nowhere", "--ssh-config", "/dev/null", "--keras"], 2, "not with --on"),
        (["toy", "-o", "none/bench.json"], 1, "there is no folder none"),
        (["none.edgead"], 3, "none.edgead"),
    ],
)
def test_usage(toy_bundle_path, tmp_path, arguments, code, words):
    words_ = [str(toy_bundle_path) if argument == "toy" else argument for argument in arguments]
    run = edge_ad("bench", *words_, cwd=tmp_path)
    assert run.returncode == code, run.stderr
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())
