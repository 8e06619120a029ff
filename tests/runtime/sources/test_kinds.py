import json
import subprocess
import sys
from dataclasses import is_dataclass
from importlib import import_module

import pytest

from edge_ad.bundle.codec import DecodeError
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sources.kinds import SOURCE_KINDS, load_source
from edge_ad.runtime.sources.tcp import TcpLines, TcpOptions
from tests.runtime.sources.reading import Told

PROVIDER = """
from __future__ import annotations
from dataclasses import dataclass
from edge_ad.runtime.sources.in_thread import BlockingSource

@dataclass(frozen=True)
class Options:
    count: int
    word: str = "tick"

    def __post_init__(self):
        if self.count < 0:
            raise ValueError("count must not be negative")

def open_source(options, context):
    words = [f"{options.word} {n}" for n in range(options.count)]
    return BlockingSource(lambda: words, context, name="ticks")
"""

READER = """
import asyncio, json, sys
from edge_ad.runtime.sources.kinds import load_source
from edge_ad.runtime.sources.source import SourceContext

async def main():
    try:
        options, open_source = load_source(sys.argv[1], json.loads(sys.argv[2]))
    except Exception as error:
        print(json.dumps([type(error).__name__, str(error)]))
        return
    source = open_source(options, SourceContext("a", 1.0, None, print, print))
    texts = []
    while lines := await source.read():
        texts += [line.text for line in lines]
    await source.close()
    print(json.dumps(texts))

asyncio.run(main())
"""


@pytest.fixture
def site(tmp_path):
    """A folder as pip makes one, with a distribution that has sources."""
    (tmp_path / "ticking.py").write_text(PROVIDER)
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "empty.py").write_text("Options = 5\n")
    info = tmp_path / "ticking-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ticking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edge_ad.sources]\nticks = ticking\nbroken = broken\nempty = empty\ntcp = ticking\n"
    )
    return tmp_path


def load_there(site, kind, table):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", READER, kind, json.dumps(table)],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(site)},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_source_of_another_package(site):
    assert load_there(site, "ticks", {"count": 3}) == ["tick 0", "tick 1", "tick 2"]
    assert load_there(site, "ticks", {"count": 1, "word": "tock"}) == ["tock 0"]


@pytest.mark.parametrize(
    ("kind", "table", "words"),
    [
        ("ticks", {}, ["DecodeError", "missing key count"]),
        ("ticks", {"count": -1}, ["DecodeError", "count must not be negative"]),
        ("ticks", {"count": 1, "color": 1}, ["DecodeError", "unknown key color; known here: count, word"]),
        ("broken", {}, ["ConfigurationError", "of the package ticking (broken) cannot be loaded: Module"]),
        ("empty", {}, ["ConfigurationError", "has no dataclass Options"]),
        ("opc", {}, ["ConfigurationError", "installed from other packages: broken, empty, ticks"]),
        ("tcp", {"count": 1}, ["DecodeError", "known here: host, port"]),  # nobody takes over a built-in kind
    ],
)
def test_what_cannot_be_loaded(site, kind, table, words):
    name, text = load_there(site, kind, table)
    assert name == words[0]
    assert words[1] in text


def test_an_unknown_kind():
    with pytest.raises(ConfigurationError) as caught:
        load_source("opc", {})
    assert str(caught.value).startswith(
        "no kind of source is called 'opc'; there are: file, follow, mqtt, serial, snapshots, stdin, tcp"
    )


def test_a_built_in_kind():
    options, open_source = load_source("tcp", {"host": "h", "port": 5})
    assert options == TcpOptions("h", 5)
    assert isinstance(open_source(options, Told().context()), TcpLines)
    with pytest.raises(DecodeError, match="missing key port"):
        load_source("tcp", {"host": "h"})


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_every_kind_is_as_others_are(kind):
    module = import_module(SOURCE_KINDS[kind])
    assert is_dataclass(module.Options)
    assert module.Options.__dataclass_params__.frozen
    assert callable(module.open_source)


def test_a_kind_that_is_not_used_is_not_imported():
    code = (
        "import sys; from edge_ad.runtime.sources.kinds import load_source; load_source('stdin', {});"
        "print([m for m in sys.modules if m.startswith('edge_ad.runtime.sources.') or m == 'serial'])"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    for name in ("tcp", "serial", "mqtt", "followed"):
        assert name not in result.stdout
