import subprocess
import sys
from importlib import import_module

import pytest

from edge_ad.bundle.codec import DecodeError
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sinks.kinds import SINK_KINDS, load_sink
from tests.runtime.agent.support import ROOT

THEIRS = """
from dataclasses import dataclass

from edge_ad.runtime.sinks.sink import EventSink


@dataclass(frozen=True)
class Options:
    number: int


class Pager(EventSink):
    def __init__(self, options, context):
        self.options = options

    async def deliver(self, event):
        print(event)


open_sink = Pager
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Another package, as pip would leave it."""
    (tmp_path / "plant_pager.py").write_text(THEIRS)
    (tmp_path / "plant_broken.py").write_text("import no_such_module_at_all")
    (tmp_path / "plant_empty.py").write_text("Options = int")
    info = tmp_path / "plant_pager-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plant-pager\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edge_ad.sinks]\npager = plant_pager\nbroken = plant_broken\nempty = plant_empty\n"
        "events = plant_broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("plant_pager", "plant_broken", "plant_empty"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("kind", SINK_KINDS)
def test_each_kind_has_what_a_kind_needs(kind):
    module = import_module(SINK_KINDS[kind])
    assert module.Options.__dataclass_params__.frozen
    assert callable(module.open_sink)


def test_options_are_checked_strictly():
    options, _ = load_sink("webhook", {"url": "http://x", "timeout_s": 3})
    assert options.timeout_s == 3.0
    with pytest.raises(DecodeError, match="unknown key kind"):
        load_sink("webhook", {"kind": "webhook", "url": "http://x"})


def test_a_kind_that_nobody_knows():
    words = "no kind of sink is called 'telepathy'; there are: decisions, events, exec, gpio, mqtt, webhook$"
    with pytest.raises(ConfigurationError, match=words):
        load_sink("telepathy", {})


def test_a_kind_of_another_package(installed):
    options, opener = load_sink("pager", {"number": 5})
    assert opener(options, None).options.number == 5
    with pytest.raises(DecodeError, match="number must be of type int"):
        load_sink("pager", {"number": "5"})
    with pytest.raises(ConfigurationError, match="installed from other packages: broken, empty, pager"):
        load_sink("telepathy", {})


def test_a_package_that_does_not_work(installed):
    with pytest.raises(
        ConfigurationError, match=r"'broken' of the package plant-pager \(plant_broken\) cannot be"
    ):
        load_sink("broken", {})
    with pytest.raises(ConfigurationError, match=r"\(plant_empty\) has no dataclass Options"):
        load_sink("empty", {})


def test_ones_own_kinds_come_first(installed):
    assert load_sink("events", {"path": "x"})[0].path == "x"


def test_what_is_not_configured_is_not_loaded():
    code = (
        "import sys; from edge_ad.runtime.sinks.kinds import load_sink;"
        "load_sink('decisions', {'path': 'x'});"
        "print(sorted({'http.client', 'gpiozero', 'paho', 'importlib.metadata'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
