"""`edge-ad doctor` as a command."""

import json
import os
import pty
import re
import subprocess

import jsonschema
import pytest

from tests.helpers import COMMAND, edge_ad, snapshot
from tests.runtime.doctor.trees import pi
from tests.runtime.stores import bundle_id

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["failed", "warnings", "elapsed_s", "findings"],
    "properties": {
        "failed": {"type": "integer", "minimum": 0},
        "warnings": {"type": "integer", "minimum": 0},
        "elapsed_s": {"type": "number", "minimum": 0},
        "findings": {
            "type": "array",
            "minItems": 10,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["check", "level", "text", "fix"],
                "properties": {
                    "check": {"type": "string", "pattern": "^[a-z0-9-]+$"},
                    "level": {"enum": ["ok", "warn", "fail", "skip"]},
                    "text": {"type": "string", "minLength": 1},
                    "fix": {"type": "array", "items": {"type": "string", "minLength": 1}},
                },
            },
        },
    },
}
LINE = re.compile(r"(ok|warn|fail|skip) +[a-z0-9-]+: .+")


@pytest.fixture
def doctor(tmp_path):
    """The command on a Pi of files, or on this machine for `tree=None`."""

    def run(*arguments, tree=None, **environment):
        words = ["--root", tree.root] if tree else []
        env = {name: value for name, value in os.environ.items() if name != "EDGE_AD_ENGINE"} | environment
        if tree:
            # Only the tree's programs: what this machine's say is of another machine.
            env["PATH"] = str(tree.programs)
        result = edge_ad("doctor", *words, *arguments, env=env, cwd=tmp_path)
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def store(tmp_path, toy_bundle_path):
    """A store with an active bundle."""
    folder = tmp_path / "store"
    assert edge_ad("store", "install", toy_bundle_path, "--store", folder).returncode == 0
    return folder


def levels(result):
    return {finding["check"]: finding["level"] for finding in json.loads(result.stdout)["findings"]}


def test_this_machine_with_a_store(doctor, store):
    before = snapshot(store)
    result = doctor("--store", store)
    lines = result.stdout.splitlines()
    previous = ""
    for line in lines:
        if line.startswith("      fix: "):
            assert previous.startswith(("warn", "fail", "      fix: "))
        else:
            assert LINE.fullmatch(line), line
        previous = line
    assert any(line.startswith("ok    bundle: toy, build 1: whole, and scores here") for line in lines)
    assert any(line.startswith("ok    write: store folder") for line in lines)
    assert result.returncode == (1 if any(line.startswith("fail") for line in lines) else 0)
    assert re.fullmatch(r"\d+ failed, \d+ warnings, \d+ checks in \d+\.\d s\n", result.stderr)
    assert snapshot(store) == before


def test_json(doctor, store):
    result = doctor("--store", store, "--json")
    report = json.loads(result.stdout)
    jsonschema.validate(report, SCHEMA)
    found = [finding["level"] for finding in report["findings"]]
    assert (report["failed"], report["warnings"]) == (found.count("fail"), found.count("warn"))
    assert result.returncode == (1 if report["failed"] else 0)
    assert result.stderr == ""
    assert all(finding["fix"] for finding in report["findings"] if finding["level"] in ("warn", "fail"))


def test_a_healthy_pi_of_files(doctor, tmp_path, store):
    tree = pi(tmp_path / "pi")
    found = levels(doctor("--store", store, "--json", tree=tree))
    expected = (
        "governor",
        "power",
        "temperature",
        "memory",
        "swap",
        "memory-limits",
        "clock",
        "service",
        "bundle",
    )
    assert {name: found[name] for name in expected} == dict.fromkeys(expected, "ok")


@pytest.mark.parametrize(
    ("change", "check", "level", "code"),
    [
        (lambda tree: tree.answers("vcgencmd", "throttled=0x50005"), "power", "fail", 1),
        (lambda tree: tree.answers("vcgencmd", "throttled=0x50000"), "power", "warn", 0),
        (lambda tree: tree.answers("timedatectl", "NTPSynchronized=no"), "clock", "warn", 0),
        (lambda tree: tree.write("/proc/self/mounts", "/dev/sda1 / ext4 ro 0 0\n"), "mount", "fail", 1),
        (lambda tree: tree.unit(ActiveState="failed"), "service", "fail", 1),
    ],
)
def test_exit_codes(doctor, tmp_path, store, change, check, level, code):
    tree = pi(tmp_path / "pi")
    change(tree)
    result = doctor("--store", store, "--json", tree=tree)
    report = json.loads(result.stdout)
    assert levels(result)[check] == level
    assert report["failed"] == code
    assert result.returncode == code


def test_a_broken_bundle_fails(doctor, store, toy_bundle_path):
    path = store / "assets" / "toy" / "bundles" / f"{bundle_id(toy_bundle_path)}.edgead"
    path.write_bytes(path.read_bytes()[:-10])
    result = doctor("--store", store)
    assert result.returncode == 1
    assert re.search(
        r"^fail  bundle: toy, build 1: .*\n      fix: edge-ad store install ", result.stdout, re.M
    )


def test_a_configuration(doctor, tmp_path):
    tree = pi(tmp_path / "pi")
    secret = tmp_path / "token"
    secret.write_text("x")
    secret.chmod(0o644)
    config = tmp_path / "agent.toml"
    spool = tmp_path / "spool folder"
    spool.mkdir()
    config.write_text(
        f'[agent]\nspool = "{spool}/spool.db"\n[http]\ntoken_file = "{secret}"\n'
        '[[asset]]\nsource = { kind = "serial", device = "/dev/ttyUSB7" }\n'
    )
    result = doctor("--config", config, "--store", tmp_path / "no-store", "--json", tree=tree)
    found = levels(result)
    assert found["configuration"] == "ok"
    assert found["secret"] == found["serial-port"] == "fail"
    assert result.returncode == 1
    texts = [finding["text"] for finding in json.loads(result.stdout)["findings"]]
    assert any(text.startswith(f"spool folder {spool}: a small file is safe") for text in texts)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("content", [None, "[", "\udcff"])
def test_a_configuration_that_cannot_be_read(doctor, tmp_path, content):
    config = tmp_path / "agent.toml"
    if content is not None:
        config.write_text(content, errors="surrogateescape")
    result = doctor("--config", config, "--json")
    assert levels(result)["configuration"] == "fail"
    assert result.returncode == 1


def test_an_engine_that_nobody_knows(doctor):
    result = doctor(EDGE_AD_ENGINE="abacus")
    assert result.returncode == 1
    assert re.search(r"^fail  engine: EDGE_AD_ENGINE is 'abacus'.*\n      fix: unset", result.stdout, re.M)


def test_nothing_that_a_terminal_takes_for_a_command(doctor, tmp_path):
    tree = pi(tmp_path / "pi")
    tree.answers("timedatectl", "Timezone=\x1b[2JX")
    result = doctor(tree=tree)
    assert "\x1b" not in result.stdout
    assert "\\x1b[2JX" in result.stdout


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_colors_on_a_terminal_only_where_they_are_wanted(tmp_path, no_color, colored):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "doctor"],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"NO_COLOR": no_color, "TERM": "xterm"},
        cwd=tmp_path,
    )
    os.close(theirs)
    output = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while chunk := terminal.read(1 << 16):
                output += chunk
        except OSError:  # Linux's way to say that the other side has closed
            pass
    process.wait()
    assert b"python: 3." in output
    assert (b"\x1b[" in output) == colored


def test_help_does_not_speak_of_what_is_for_tests(doctor):
    text = edge_ad("doctor", "--help").stdout
    assert "--config" in text
    assert "--root" not in text


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "it died of SIGILL"),
        ("raise ImportError('libopenblas.so.0: cannot open shared object file')", "libopenblas.so.0"),
    ],
)
def test_a_numpy_that_does_not_load(doctor, tmp_path, code, words):
    place = tmp_path / "packages" / "numpy"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(code)
    result = doctor("--json", PYTHONPATH=str(tmp_path / "packages"))
    found = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert words in found["numpy"]["text"]
    assert found["numpy"]["fix"]
    assert result.returncode == 1
    assert "clock" in found
