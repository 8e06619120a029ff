"""The examples in the documents are what the program reads."""

import dataclasses
import re
import runpy
import tomllib
from pathlib import Path

from edge_ad.bundle.codec import decode
from edge_ad.toolchain.datasets.formats import load_format
from edge_ad.toolchain.search.objective import Limits
from edge_ad.toolchain.search.space import DEFAULT_SPACE
from edge_ad.toolchain.settings import BEARING_SETTINGS, BuildSettings, load_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_files(tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "formats.md").read_text(), re.S)
    path = tmp_path / "example.toml"
    path.write_text(blocks[0])
    assert load_format(path).channels[0].unit == "bar"
    path.write_text(blocks[1])
    assert load_settings(path) == BuildSettings()


def test_the_example_of_heads(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "heads.md").read_text(), re.S)
    path = tmp_path / "example.toml"
    path.write_text(block)
    settings = load_settings(path)
    assert settings.detector is not None
    assert [head.kind for head in settings.detector.heads] == ["t2", "z-max", "t2", "l1"]
    assert [head.follow for head in settings.detector.heads] == [0, 0, 1800, 0]
    assert (settings.fit_share, settings.limit.kind, settings.limit.budget) == (0.75, "gpd", "1 per day")


def test_the_example_of_a_space():
    """It is the default, as it says."""
    block = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "search.md").read_text(), re.S)[0]
    tables = tomllib.loads(block)
    assert tables["space"] == DEFAULT_SPACE
    assert decode(Limits, tables["objective"]) == Limits()
    assert set(tables["objective"]) == {field.name for field in dataclasses.fields(Limits)}


def test_the_example_files_of_snapshots(tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "bearing.md").read_text(), re.S)
    path = tmp_path / "example.toml"
    path.write_text(blocks[0])
    snapshots = load_format(path).snapshots
    assert snapshots is not None
    assert snapshots.kinds == ("mean-abs", "kurtosis")
    path.write_text(blocks[1])
    assert load_settings(path) == BEARING_SETTINGS


def test_the_tool_writes_the_table_of_the_document(capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = runpy.run_path(str(ROOT / "tools" / "bench_convert.py"))
    error = "ConverterError: <unknown>:0: error: Lowering tensor list ops is failed. Please consider using"
    row = {"ours": False, "problem": None, "size_bytes": 40_200, "max_score_error": None, "f1": None}
    rows = [
        {**row, "model": model, "route": route, "problem": problem, "raw_ns": [1000]}
        for model in ("tiny", "full")
        for route, problem in (("dynamic batch", error), ("unrolled", None))
    ]
    tool["show"](rows)
    lines = capsys.readouterr().out.splitlines()
    document = (ROOT / "docs" / "conversion.md").read_text().splitlines()
    assert lines[0] in document
    assert lines[2] in document
    assert "fails: lowering of tensor lists" in lines[2]
