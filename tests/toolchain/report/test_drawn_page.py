"""The page of a build whose training rows were drawn at random."""

import json
import re

import pytest

from edge_ad.toolchain.report.drawn_page import WHY
from tests.helpers import edge_ad, pump_recording

CONFIG = "models = ['tiny']\nprecisions = ['float32']\n[training]\nepochs = 1\n"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    recording = pump_recording(root / "pump.csv", 1)
    (root / "my.toml").write_text(CONFIG)
    arguments = [
        "--split",
        "random",
        "--window",
        1,
        "--config",
        root / "my.toml",
        "--allow-unchecked",
        "-j",
        1,
    ]
    result = edge_ad("build", recording, "-o", root / "build", *arguments)
    assert result.returncode == 0, result.stderr
    return root


def test_the_page_says_why_there_is_no_timeline(drawn):
    page = drawn / "page.html"
    result = edge_ad("report", drawn / "build", "-o", page)
    assert result.returncode == 0, result.stderr
    text = page.read_text()
    assert WHY in text
    assert "data-chart=" not in text
    summary = json.loads((drawn / "build" / "summary.json").read_text())
    for row in summary["rows"]:
        assert f"{row['f1']:.3f}" in text
    (timeline,) = json.loads((drawn / "build" / "report.json").read_text())["timelines"]
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", text.partition("Sustained alarms")[2])
    assert str(len(timeline["alarms"])) in cells
    assert f"{timeline['ucl']:.4g}" in cells


def test_its_charts_are_refused_and_evaluation_asks_for_a_split_by_time(drawn):
    result = edge_ad("report", drawn / "build", "--figures", drawn / "figures")
    assert result.returncode == 2
    assert "this build drew them at random" in result.stderr
    assert "Traceback" not in result.stderr
    result = edge_ad("evaluate", drawn / "pump.csv", "--build", drawn / "build")
    assert result.returncode == 2
    assert "build with --split time" in result.stderr
    also = edge_ad("evaluate", drawn / "pump.csv", "--build", drawn / "build", "--train-rows", 300)
    assert (also.returncode, also.stderr) == (2, result.stderr)
