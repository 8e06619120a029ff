"""The pages in a real browser: nothing is fetched, nothing fails, and what is there can be seen and used."""

import io
import json
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from edge_ad.toolchain.report import build_page
from edge_ad.toolchain.report.facts import asset_facts, default_variant
from edge_ad.toolchain.report.overview import Overview
from edge_ad.toolchain.report.summary import summarize
from edge_ad.toolchain.workspace import Workspace
from tests.helpers import edge_ad
from tests.runtime.http.browser import Browser, missing_program
from tests.toolchain.report.conftest import NASTY

pytestmark = pytest.mark.skipif(missing_program() is not None, reason=f"needs {missing_program()}")

DRAWN = "return document.querySelectorAll('#asset-north canvas').length >= 2"
TIMELINE = 'figure[data-chart="north-timeline"]'
TICKS = """
const over = document.querySelector(arguments[0] + ' .u-over').getBoundingClientRect();
return [over.left, over.top, over.width, over.height]
"""
PICTURE = "return document.querySelector(arguments[0] + ' canvas').toDataURL()"
TAB = "\ue004"


def visit(browser, path, part=""):
    browser.open("about:blank")
    browser.log("browser"), browser.log("performance")
    browser.open(f"{path.as_uri()}{part}")


def each(browser, selector, what):
    """What a JavaScript expression says of every element `e` that a selector finds."""
    return browser.run(f"return [...document.querySelectorAll(arguments[0])].map((e) => {what})", selector)


def complaints(browser):
    return [entry["message"] for entry in browser.log("browser") if entry["level"] in ("WARNING", "SEVERE")]


def fetched(browser, path):
    """What was asked for besides the page itself and what it holds."""
    mine = (path.as_uri(), "data:", "about:", "chrome:", "blob:")
    return [url for url in browser.requested() if not url.startswith(mine)]


def scroll_through(browser):
    """As somebody who reads it all: charts are drawn as they come near."""
    height = browser.run("return document.documentElement.scrollHeight")
    for y in range(0, height, 400):
        browser.run("scrollTo(0, arguments[0])", y)
    n = "[...document.querySelectorAll('figure[data-chart]')].filter((f) => f.getClientRects().length)"
    browser.wait_for(f"return {n}.every((f) => f.querySelector('canvas'))")
    browser.run("scrollTo(0, 0)")


def drag(browser, selector, start, end):
    """With the mouse over a chart, from one share of its width to another."""
    browser.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
    left, top, width, height = browser.run(TICKS, selector)
    y = round(top + height / 2)
    moves = [
        {"type": "pointerMove", "x": round(left + start * width), "y": y, "duration": 0},
        {"type": "pointerDown", "button": 0},
        {"type": "pointerMove", "x": round(left + (start + end) / 2 * width), "y": y, "duration": 50},
        {"type": "pointerMove", "x": round(left + end * width), "y": y, "duration": 50},
        {"type": "pointerUp", "button": 0},
    ]
    mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}
    browser._call("POST", "/actions", {"actions": [mouse]})


def pixels(png):
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def drawn(browser, name):
    """A chart as it is drawn now."""
    return browser.run(PICTURE, f'figure[data-chart="{name}"]')


@pytest.mark.parametrize("part", ["", "#asset-north", "#asset-south"])
def test_nothing_is_fetched_and_nothing_fails(browser, report, part):
    visit(browser, report, part)
    scroll_through(browser)
    assert complaints(browser) == []
    assert fetched(browser, report) == []


def test_the_policy_forbids_what_the_page_does_not_need(browser, report):
    visit(browser, report)
    browser.run("""
        const script = document.createElement('script');
        script.textContent = 'window.hacked = 1';
        document.body.append(script);
        const image = document.createElement('img');
        image.src = 'http://127.0.0.1:9/x.png';
        document.body.append(image);
    """)
    assert browser.run("return window.hacked === undefined")
    said = " ".join(complaints(browser))
    assert "script-src" in said
    assert "img-src" in said


def test_an_asset_is_opened_from_the_list_and_left_again(browser, report):
    visit(browser, report)

    def seen():
        return [
            text for text, shown in each(browser, "h1", "[e.innerText, e.getClientRects().length]") if shown
        ]

    assert seen() == ["Build report: 2 assets"]
    browser.click('a[href="#asset-north"]')
    browser.wait_for(DRAWN)
    assert seen() == ["north"]
    browser.click("#asset-north .back a")
    assert seen() == ["Build report: 2 assets"]


def test_a_stretch_is_zoomed_into_by_the_mouse_and_all_is_shown_again(browser, report):
    visit(browser, report, "#asset-north")
    browser.wait_for(DRAWN)
    before = drawn(browser, "north-timeline"), drawn(browser, "north-contributions")
    drag(browser, TIMELINE, 0.6, 0.8)
    after = drawn(browser, "north-timeline"), drawn(browser, "north-contributions")
    assert after[0] != before[0]
    assert after[1] != before[1]  # charts over the same time zoom together
    browser.click(f'{TIMELINE} button[title="Show all"]')
    assert (drawn(browser, "north-timeline"), drawn(browser, "north-contributions")) == before


def test_buttons_and_keys_zoom_too(browser, report):
    visit(browser, report, "#asset-north")
    browser.wait_for(DRAWN)
    whole = drawn(browser, "north-timeline")
    browser.click(f'{TIMELINE} button[title="Zoom in"]')
    half = drawn(browser, "north-timeline")
    assert half != whole
    browser.click(f'{TIMELINE} button[title="Move right"]')
    assert drawn(browser, "north-timeline") not in (half, whole)
    browser.run("document.querySelector(arguments[0] + ' .plot').focus()", TIMELINE)
    browser.press("0")
    assert drawn(browser, "north-timeline") == whole
    browser.press("+")
    assert drawn(browser, "north-timeline") == half
    browser.press("-")
    assert drawn(browser, "north-timeline") == whole


def test_series_are_shown_and_hidden_by_their_buttons(browser, report):
    visit(browser, report, "#asset-north")
    browser.wait_for(DRAWN)

    def pressed():
        return dict(each(browser, f"{TIMELINE} button.series", "[e.textContent, e.ariaPressed]"))

    others = dict.fromkeys(["full-float32", "full-int8", "tiny-float32"], "false")
    assert pressed() == {"tiny-int8": "true"} | others
    before = drawn(browser, "north-timeline")
    browser.click(f"{TIMELINE} button.series:nth-child(2)")
    assert pressed()["full-float32"] == "true"
    assert drawn(browser, "north-timeline") != before


def test_the_numbers_behind_a_chart_can_be_read(browser, report, small_build):
    visit(browser, report, "#asset-north")
    browser.wait_for(DRAWN)
    browser.run("document.querySelector(arguments[0] + ' summary').click()", TIMELINE)
    browser.wait_for("return document.querySelector(arguments[0] + ' table')", TIMELINE)
    cells = "[...e.cells].map((cell) => cell.textContent)"
    header, *rows = each(browser, f"{TIMELINE} tr", cells)
    assert header == ["time (UTC)", "tiny-int8", "full-float32", "full-int8", "tiny-float32"]
    root, _, _ = small_build
    stamps = [line.split(";")[0] for line in (root / "data" / "north.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == stamps
    assert rows[0][1] == ""  # no window is full yet
    assert float(rows[-1][1]) > 0


def test_every_chart_says_in_words_what_it_shows(browser, report):
    visit(browser, report, "#asset-north")
    scroll_through(browser)
    words = each(browser, "figure .plot", "[e.role, e.ariaLabel]")
    assert len(words) > 10
    for role, label in words:
        assert role == "img"
        assert len(label) > 60
    assert all(each(browser, "button, a", "(e.ariaLabel ?? e.textContent).trim()"))


def test_the_picture_is_full_and_legible(browser, report):
    for part in ("", "#asset-north"):
        visit(browser, report, part)
        scroll_through(browser)
        assert browser.run("return document.documentElement.scrollWidth") == 1280
        picture = pixels(browser.screenshot(whole_page=True))
        rows = picture.std(axis=(1, 2))
        assert (rows > 0.01).mean() > 0.5  # of the lines of the picture, as many have something on them
        assert picture.min() < 0.15
        assert small_texts(browser) == []


def test_a_telephone_shows_it_within_its_width(telephone, report):
    for part in ("", "#asset-north"):
        visit(telephone, report, part)
        scroll_through(telephone)
        assert telephone.run("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]
        assert small_texts(telephone) == []
        assert all(each(telephone, "canvas", "e.getBoundingClientRect().right <= innerWidth"))
        assert (pixels(telephone.screenshot(whole_page=True)).std(axis=(1, 2)) > 0.01).mean() > 0.4


def small_texts(browser):
    """Texts that are smaller than one can read, or stand out too little (WCAG 2, 4.5 : 1)."""
    return browser.run("""
        const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const light = (rgb) => {
          const [r, g, b] = rgb.match(/[\\d.]+/g).slice(0, 3).map((v) => linear(v / 255));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (e) => {
          for (; e; e = e.parentElement) {
            const found = getComputedStyle(e).backgroundColor;
            if (found !== 'rgba(0, 0, 0, 0)') return found;
          }
          return 'rgb(255, 255, 255)';
        };
        const bad = [];
        for (const e of document.querySelectorAll('main *, footer *')) {
          const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
          if (!own || !e.getClientRects().length || ['SCRIPT', 'OPTION'].includes(e.tagName)) continue;
          const style = getComputedStyle(e);
          const [a, b] = [light(style.color), light(behind(e))].sort((x, y) => y - x);
          const contrast = (a + 0.05) / (b + 0.05);
          const isBad = parseFloat(style.fontSize) < 12 || contrast < 4.5;
          if (isBad) bad.push([e.innerText, style.fontSize, contrast]);
        }
        return bad;
    """)


def test_a_dark_page_is_dark_and_legible(report):
    with Browser(dark=True) as browser:
        visit(browser, report, "#asset-north")
        scroll_through(browser)
        assert pixels(browser.screenshot()).mean() < 0.25
        assert small_texts(browser) == []
        dark = browser.run(PICTURE, TIMELINE)
        browser.devtools(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}]
        )
        browser.wait_for(f"{PICTURE} !== arguments[1]", TIMELINE, dark)
        assert pixels(browser.screenshot()).mean() > 0.75


def test_paper_is_light_and_has_the_charts(report):
    with Browser(dark=True) as browser:
        visit(browser, report, "#asset-north")
        browser.devtools("Page.printToPDF", printBackground=True)
        assert all(each(browser, "#asset-north figure", "!!e.querySelector('canvas')"))
        assert browser.run("return !document.documentElement.classList.contains('printing')")
        assert complaints(browser) == []


def test_paper_has_no_buttons_to_zoom_with(browser, report):
    visit(browser, report, "#asset-north")
    scroll_through(browser)
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    try:
        assert not any(each(browser, ".zoom button, .data, .back", "e.getClientRects().length"))
        assert all(each(browser, "#asset-north canvas", "e.getClientRects().length"))
    finally:
        browser.devtools("Emulation.setEmulatedMedia", media="")


def test_names_that_would_do_harm_are_text(browser, nasty_build, tmp_path):
    page = tmp_path / "r.html"
    assert edge_ad("report", nasty_build, "-o", page).returncode == 0
    visit(browser, page)
    scroll_through(browser)
    assert browser.run("return window.hacked === undefined")
    assert complaints(browser) == []
    assert fetched(browser, page) == []
    labels = each(browser, 'figure[data-chart="plant-contributions"] button.series', "e.textContent")
    assert labels[0] == NASTY[0]
    assert labels[1] == NASTY[1]
    assert labels[4] == NASTY[4]


def test_the_pages_of_many_assets_lead_to_each_other(browser, small_build, tmp_path, monkeypatch):
    root, _, _ = small_build
    monkeypatch.setattr(build_page, "LARGEST_TOGETHER", 1000)
    workspace = Workspace(root / "build")
    plan = workspace.load_plan()
    written = build_page.write_report(workspace, plan, summarize(workspace, plan), tmp_path / "index.html")
    visit(browser, written.page)
    browser.click("table.assets a")
    browser.wait_for("return location.pathname.includes('index-assets') && document.querySelector('canvas')")
    browser.click(".back a")
    browser.wait_for("return document.querySelector('table.assets')")
    assert browser.run("return location.pathname").endswith("/index.html")
    assert complaints(browser) == []


def test_a_thousand_assets_are_listed_and_found(browser, small_build, tmp_path):
    root, _, _ = small_build
    workspace = Workspace(root / "build")
    plan = workspace.load_plan()
    summary = summarize(workspace, plan)
    overview = Overview(default_variant(plan))
    facts = [asset_facts(workspace, plan, asset) for asset in plan.assets]
    names = [f"pump-{i}" for i in range(1000)]
    for i, name in enumerate(names):
        overview.add(replace(facts[i % 2], name=name))
    links = {name: f"index-assets/{name}.html" for name in names}
    page = tmp_path / "index.html"
    page.write_bytes(build_page.index_page(plan, summary, overview, None, links))
    assert page.stat().st_size < 5_000_000
    visit(browser, page)
    assert len(each(browser, "table.assets tbody tr", "1")) == 1000
    seen = "e.getClientRects().length > 0"
    assert each(browser, "table.assets tbody tr", seen).count(True) == 100
    browser.type_into("#filter", "pump-77")
    rows = each(browser, "table.assets tbody tr", f"[e.cells[0].textContent, {seen}]")
    visible = [name for name, is_seen in rows if is_seen]
    assert sorted(visible) == sorted(name for name in names if "pump-77" in name)
    browser.run(
        "const f = document.querySelector('#filter'); f.value = ''; f.dispatchEvent(new Event('input'))"
    )
    browser.click("#whole")
    assert all(each(browser, "table.assets tbody tr", seen))
    browser.click("table.assets thead th:nth-child(2) button")
    f1 = [float(text) for text in each(browser, "table.assets tbody tr", "e.cells[1].textContent")]
    assert f1 == sorted(f1)
    assert complaints(browser) == []


def test_the_list_of_assets_is_sorted_by_its_headings(browser, report):
    visit(browser, report)
    browser.click("table.assets thead th:first-child button")
    assert each(browser, "table.assets tbody th", "e.innerText") == ["north", "south"]
    browser.click("table.assets thead th:first-child button")
    assert each(browser, "table.assets tbody th", "e.innerText") == ["south", "north"]
    assert browser.run("return document.querySelector('table.assets thead th').ariaSort") == "descending"


def test_the_numbers_of_the_page_are_those_of_the_build(report, small_build):
    """Scores in the page's JSON against the stored decisions."""
    root, _, _ = small_build
    text = report.read_text()
    start = text.index('data-chart="north-timeline"')
    start = text.index('<script type="application/json">', start) + len('<script type="application/json">')
    chart = json.loads(text[start : text.index("</script>", start)])
    shown = {series["label"]: series["values"] for series in chart["series"]}
    work = root / "build" / "work" / "north"
    for name, values in shown.items():
        stored = np.load(work / f"{name}.decisions.npz")["scores"]
        ucl = json.loads((work / f"{name}.evaluation.json").read_text())["limit"]["ucl"]
        ours = np.array([np.nan if value is None else value for value in values])
        assert ours[9:] == pytest.approx(stored / ucl, rel=1e-4, nan_ok=True)
