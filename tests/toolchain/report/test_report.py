"""`edge-ad report -o`: files, sizes, bad outputs; what is in the pages is in test_pages.py."""

import json
import os
import re
import resource
import signal
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import pytest

from edge_ad.text import printable
from edge_ad.toolchain.datasets.formats import PUMP
from edge_ad.toolchain.report import build_page
from edge_ad.toolchain.report.summary import summarize
from edge_ad.toolchain.workspace import Workspace
from tests.helpers import edge_ad, snapshot
from tests.toolchain.report.conftest import NASTY


def test_the_table_is_printed_all_the_same(small_build, report):
    root, _, built = small_build
    result = edge_ad("report", root / "build", "-o", report)
    assert result.stdout == built.stdout
    assert str(report) in result.stderr


def test_a_page_is_one_file_that_names_no_other_place(report):
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]
    text = report.read_text()
    assert len(text) < 5_000_000
    body = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!#|data:)', body)
    assert "url(" not in text.split("<body>")[0]


def test_equal_builds_have_equal_pages(small_build, report, tmp_path):
    root, _, _ = small_build
    assert edge_ad("report", root / "build", "-o", tmp_path / "report.html").returncode == 0
    assert (tmp_path / "report.html").read_bytes() == report.read_bytes()


def test_what_would_be_too_large_has_a_page_per_asset(small_build, tmp_path, monkeypatch):
    root, _, _ = small_build
    monkeypatch.setattr(build_page, "LARGEST_TOGETHER", 1000)
    workspace = Workspace(root / "build")
    plan = workspace.load_plan()
    written = build_page.write_report(
        workspace, plan, summarize(workspace, plan), tmp_path / "all of it.html"
    )
    assert sorted(snapshot(tmp_path)) == [
        *("all of it-assets/north.html", "all of it-assets/south.html", "all of it.html")
    ]
    assert written.asset_pages == tuple(
        tmp_path / "all of it-assets" / f"{n}.html" for n in ("north", "south")
    )
    assert 'href="all%20of%20it-assets/north.html"' in written.page.read_text()
    assert 'href="../all%20of%20it.html"' in written.asset_pages[0].read_text()


def test_the_worst_asset_comes_first(small_build, report):
    root, _, _ = small_build
    rows = json.loads((root / "build" / "summary.json").read_text())["assets"]
    wanted = [r for r in rows if (r["model"], r["variant"], r["rule"]) == ("tiny", "int8", "streaming")]
    scores = {r["asset"]: r["f1"] for r in wanted}
    shown = [scores[name] for name in re.findall(r'href="#asset-(\w+)"', report.read_text())]
    assert len(shown) == 2
    assert shown == sorted(shown)


def test_every_figure_of_the_summary_is_in_the_page(small_build, report):
    root, _, _ = small_build
    summary, text = json.loads((root / "build" / "summary.json").read_text()), report.read_text()
    for row in summary["rows"]:
        assert f"<td>{row['rule']}</td>" in text
        assert f">{row['f1']:.3f}<" in text
        assert f">{100 * row['mar']:.1f}<" in text
    for caveat in summary["caveats"]:
        assert caveat.replace("'", "&#x27;") in text
    assert "always on" in text
    assert "position alone" in text
    assert "mean |z|" in text


def test_a_build_without_labels_has_no_quality_and_says_so(nasty_build, tmp_path):
    result = edge_ad("report", nasty_build, "-o", tmp_path / "r.html")
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "r.html").read_text()
    assert "The recordings have no labels" in text
    assert "<h2>Confusion</h2>" not in text
    assert "<h2>Quality</h2>" not in text
    assert "<h2>Scores</h2>" in text


def test_names_from_a_recording_are_text(nasty_build, tmp_path):
    assert edge_ad("report", nasty_build, "-o", tmp_path / "r.html").returncode == 0
    text = (tmp_path / "r.html").read_text()
    for tag in ("<img", "<script>window"):
        assert tag not in text
    assert "\u202e" not in text


def test_figures_are_pictures_and_drawings(small_build, nasty_build, tmp_path):
    root, _, _ = small_build
    plain = [channel.name for channel in PUMP.channels]
    for build, name, channels in ((root / "build", "north", plain), (nasty_build, "plant", NASTY)):
        folder = tmp_path / "new" / name
        folder.parent.mkdir(exist_ok=True)
        result = edge_ad("report", build, "--figures", folder)
        assert result.returncode == 0, result.stderr
        assert "Warning" not in result.stderr
        names = {path.stem for path in folder.iterdir()}
        assert {f"{name}-timeline", f"{name}-contributions", f"{name}-scores", "all-scores"} <= names
        assert {path.name for path in folder.iterdir()} == {
            f"{n}.{end}" for n in names for end in ("png", "svg")
        }
        picture = matplotlib.image.imread(folder / f"{name}-timeline.png")
        assert picture.shape[:2] == (640, 1440)
        assert picture[..., :3].std() > 0.05
        drawing = ElementTree.parse(folder / f"{name}-contributions.svg").getroot()
        written = "".join(drawing.itertext())
        assert "Contribution of each channel" in written
        assert sum(printable(channel) in written for channel in channels) == 4  # those shown at first
        assert not drawing.findall(".//{*}script")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing/report.html", "there is no folder"),
        ("folder", "it is a folder; give the name of a file"),
        ("closed/report.html", "is not yours to write to"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_before_the_work(small_build, tmp_path, path, words):
    root, _, _ = small_build
    (tmp_path / "folder").mkdir()
    (tmp_path / "closed").mkdir(mode=0o500)
    if path.startswith("closed") and os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("the superuser may write everywhere")
    result = edge_ad("report", root / "build", "-o", tmp_path / path)
    assert result.returncode == 1
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_page_that_does_not_fit_leaves_the_former_one(small_build, tmp_path):
    root, _, _ = small_build
    page = tmp_path / "report.html"
    page.write_text("before")
    largest = (root / "build" / "summary.json").stat().st_size + 1000

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    result = edge_ad("report", root / "build", "-o", page, preexec_fn=small_files)
    assert result.returncode == 1
    assert f"cannot write {page}: File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert page.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_build_that_was_not_evaluated_names_the_step(small_build, build_copy, tmp_path):
    next((build_copy / "work" / "north").glob("tiny-int8.evaluation.json")).unlink()
    result = edge_ad("report", build_copy, "-o", tmp_path / "report.html")
    assert result.returncode == 2
    assert f"run 'edge-ad evaluate {build_copy}' first" in result.stderr
    assert not (tmp_path / "report.html").exists()
