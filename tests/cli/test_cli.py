import json
import os
import subprocess
import sys

import pytest

from edge_ad import __version__
from edge_ad.cli.main import cli
from tests.helpers import edge_ad, pump_recording

GROUPS = {"data": ["describe", "pump", "fetch"]}
COMMANDS = ["build", "train", "convert", "evaluate", "gate", "pack", "report", "data", "run", "bench"]


def test_version():
    assert edge_ad("--version").stdout.strip() == f"edge-ad, version {__version__}"


def test_every_command_has_its_help():
    text = edge_ad("--help").stdout
    for command in cli.list_commands(None):
        assert f"  {command} " in text
    assert set(COMMANDS) <= set(cli.list_commands(None))


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, "inspect", "verify", "data describe", "data fetch skab", "fleet build", "fleet list"],
)
def test_help_shows_defaults_and_loads_no_framework(command):
    result = edge_ad(*command.split(), "-h", env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 0
    assert result.stdout.startswith(f"Usage: edge-ad {command} ")
    modules = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "click" in modules
    assert not modules & {"numpy", "tensorflow", "pebble", "rich", "requests"}


def test_the_protocols_defaults_are_in_the_help():
    text = " ".join(edge_ad("build", "-h").stdout.split())
    for default in ("full,tiny", "10", "100", "0", "3", "size", "one per processor"):
        assert f"[default: {default}]" in text


@pytest.mark.parametrize(
    ("flag", "variable", "expected"), [(None, None, 4), (None, "6", 6), (8, "6", 8), (8, None, 8)]
)
def test_flag_over_variable_over_file(tmp_path, flag, variable, expected):
    recording = pump_recording(tmp_path / "pump.csv", 1)
    text = "window_length = 4\nmodels = ['tiny']\n[training]\nepochs = 1\n[gate.reduction]\nf1_drop = 0.5\n"
    (tmp_path / "my.toml").write_text(text)
    flags = [] if flag is None else ["--window", flag]
    environment = os.environ | ({} if variable is None else {"EDGE_AD_TRAIN_WINDOW": variable})
    result = edge_ad(
        "train", recording, "-o", "out", "--config", "my.toml", *flags, cwd=tmp_path, env=environment
    )
    assert result.returncode == 0, result.stderr
    plan = json.loads((tmp_path / "out" / "build.json").read_text())
    assert plan["settings"]["window_length"] == expected
    assert plan["settings"]["training"]["epochs"] == 1
    assert plan["settings"]["training"]["batch_size"] == 32
    assert plan["settings"]["gate"]["reduction"]["f1_drop"] == 0.5
    assert plan["settings"]["gate"]["reduction"]["far_rise"] == 0.15


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("windowlength = 4", "windowlength"),
        ("[training]\nepochs = 'many'", "training.epochs"),
        ("[training]\nepochs = 0", "at least 1"),
        ("models = ['huge']", "models can be full, tiny"),
        ("precisions = ['int8']", "must include float32"),
        ("[gate.reduction]\nf1drop = 0.5", "gate.reduction.f1drop"),
        ("[limit]\npercentile = 150", "percentile must lie"),
        ("build_number = -5", "build_number must lie between 1"),
        ("precisions = ['float32', 'float32']", "stands twice"),
        ("precisions = ['float32', 'int4']", "precisions[1] is 'int4'"),
        ("= 5", "my.toml"),
    ],
)
def test_a_configuration_that_makes_no_sense(tmp_path, text, words):
    (tmp_path / "my.toml").write_text(text)
    result = edge_ad("build", "--preset", "pump", "-o", "out", "--config", "my.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_saved_format_trains(tmp_path):
    recording = pump_recording(tmp_path / "own.csv", 1)
    recording.write_text(recording.read_text().replace("datetime", "when").replace(";", ","))
    refused = edge_ad("build", "own.csv", "-o", "out", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--save-format" in refused.stderr
    described = edge_ad("data", "describe", "own.csv", "--save-format", "my.toml", cwd=tmp_path)
    assert described.returncode == 0
    assert "guessed: check it" in described.stderr
    again = edge_ad("data", "describe", "own.csv", "--save-format", "my.toml", cwd=tmp_path)
    assert again.returncode == 2
    assert "my.toml exists; it is not overwritten" in again.stderr
    built = edge_ad(
        *("build", "own.csv", "-o", "out", "--format", "my.toml", "--models", "tiny", "--epochs", 3),
        cwd=tmp_path,
    )
    assert built.returncode == 0, built.stderr
    ran = edge_ad("run", "out/bundles/own.edgead", "own.csv", cwd=tmp_path)
    assert ran.returncode == 0
    assert len(ran.stdout.splitlines()) == len(recording.read_text().splitlines()) - 1


def test_a_bar_is_drawn_on_a_terminal(tmp_path):
    """In a real pseudo-terminal, with `script` from util-linux."""
    recording = pump_recording(tmp_path / "pump.csv", 1)
    command = f"{sys.executable} -m edge_ad train {recording} -o {tmp_path}/out --models tiny --epochs 1"
    result = subprocess.run(
        ["script", "-qec", command, "/dev/null"], capture_output=True, text=True, check=True
    )
    assert "1/1" in result.stdout
    assert "\x1b[" in result.stdout


def test_json_on_stdout_progress_on_stderr(tmp_path):
    recording = pump_recording(tmp_path / "pump.csv", 1)
    result = edge_ad("build", recording, "-o", tmp_path / "out", "--models", "tiny", "--epochs", 2, "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "train 1/1" in result.stderr
