"""`edge-ad profiles` as a command."""

import json
import shutil

import pytest

from edge_ad.bundle.codec import encode
from edge_ad.profiles import all_profiles, all_targets, load_profile, pick
from edge_ad.profiles.files import FOLDER
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
from edge_ad.runtime.doctor.machine import Machine
from tests.helpers import edge_ad

HERE = pick(Machine().board(), PythonFacts.here().wheel_machine).name


@pytest.fixture
def own(tmp_path):
    """A profile of one's own."""
    path = tmp_path / "mine.toml"
    shutil.copy(FOLDER / "rpi-5.toml", path)
    return path


def test_list_marks_this_machine():
    result = edge_ad("profiles", "list")
    assert (result.returncode, result.stderr) == (0, "")
    rows = result.stdout.splitlines()[2:]
    assert [row[3:].split()[0] for row in rows] == [profile.name for profile in all_profiles()]
    assert [row[3:].split()[0] for row in rows if row.startswith("*")] == [HERE]


def test_list_for_programs():
    rows = json.loads(edge_ad("profiles", "list", "--json").stdout)["profiles"]
    assert [row["name"] for row in rows] == [profile.name for profile in all_profiles()]
    assert [row["name"] for row in rows if row["this_machine"]] == [HERE]
    assert [name for row in rows for name in row["targets"]] == [target.name for target in all_targets()]


def test_show_names_every_value_and_its_source(own):
    for name in ("rpi4", own):
        result = edge_ad("profiles", "show", name)
        profile = load_profile(str(name))
        assert (result.returncode, result.stderr) == (0, "")
        for fact in profile.facts:
            assert f"{', '.join(fact.keys)}: {fact.source} ({fact.looked_up})" in result.stdout
        for words in (profile.title, profile.hardware.processor, "latency: not measured", *profile.boards):
            assert words in result.stdout
        for system in profile.systems:
            assert f"{system.os}, {system.architecture}: Python {system.python}" in result.stdout
            assert system.route in result.stdout


@pytest.mark.parametrize("name", ["rpi0", "generic-x86_64"])
def test_show_for_programs(name):
    shown = json.loads(edge_ad("profiles", "show", name, "--json").stdout)
    assert shown == encode(load_profile(name))


def test_check_says_that_all_is_well(own):
    result = edge_ad("profiles", "check", own)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{own}: rpi-5 is in order\n", "")


def test_check_names_what_has_no_source(own):
    text = own.read_text()
    own.write_text(
        text.replace('keys = ["hardware.processor", "hardware.cores"]', 'keys = ["hardware.cores"]')
    )
    result = edge_ad("profiles", "check", own)
    assert result.returncode == 0
    assert result.stderr == "hardware.processor has no source: name one in [[facts]]\n"
    report = json.loads(edge_ad("profiles", "check", own, "--json").stdout)
    assert report == {"name": "rpi-5", "without_source": ["hardware.processor"]}
    assert "  hardware.processor: no source\n" in edge_ad("profiles", "show", own).stdout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("threads = 1", "threads = 0", "runtime: threads must be at least 1"),
        ('"follow"', '"folow"', "agent.template: asset pump-1: source: no kind of source"),
        ('"events"', '"events"\ncolour = 1', "agent.template: sink events: unknown key colour"),
    ],
)
def test_check_says_what_is_wrong(own, old, new, words):
    own.write_text(own.read_text().replace(old, new, 1))
    result = edge_ad("profiles", "check", own)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"edge-ad: {own}: {words}")


@pytest.mark.parametrize("command", ["show", "check"])
def test_what_is_not_there(command, tmp_path):
    result = edge_ad("profiles", command, tmp_path / "gone.toml")
    assert result.returncode == 2
    assert "cannot read" in result.stderr


def test_a_title_cannot_command_the_terminal(own):
    own.write_text(own.read_text().replace('title = "', r'title = "\u001b[2J'))
    assert r"\x1b[2J" in edge_ad("profiles", "show", own).stdout
