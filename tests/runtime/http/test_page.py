"""The status page in a real browser."""

import io
import time
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from edge_ad.runtime.http.options import HttpOptions
from tests.runtime.http.browser import Browser, missing_program
from tests.runtime.http.fake_agent import MANY, NASTY, PLANT, FakeAgent
from tests.runtime.http.serving import TOKEN, Serving, wait_until

pytestmark = pytest.mark.skipif(missing_program() is not None, reason=f"needs {missing_program()}")

READY = (
    "return document.querySelectorAll('#assets li').length && document.querySelector('#chart svg, #chart p')"
)
TEXT = "return document.getElementById(arguments[0]).innerText.toWellFormed()"
WIDE = "return [document.documentElement.scrollWidth, window.innerWidth]"
TAB, ENTER = "\ue004", "\ue007"


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def telephone():
    with Browser(width=390, height=844, mobile=True) as browser:
        yield browser


def frozen(kinds=PLANT):
    agent = FakeAgent(kinds)
    agent.freeze()
    return agent


def problems(browser):
    """What the browser complains of, such as a broken policy or an error in the script."""
    return [entry["message"] for entry in browser.log("browser") if entry["level"] in ("WARNING", "SEVERE")]


def visit(browser, serving, asset=""):
    browser.open("about:blank")  # the page before may still ask its server, which is gone
    browser.log("browser"), browser.log("performance")
    browser.open(f"{serving.url}#/{asset}")
    browser.wait_for(READY)


def show(browser, asset):
    """Select an asset in the overview."""
    browser.click(f'[data-asset="{asset}"] a')
    browser.wait_for("return document.getElementById('name').innerText === arguments[0]", asset)


def rows(browser):
    """Name and text of the rows of the overview, from the top."""
    script = (
        "return [...document.querySelectorAll('#assets li')].map((row) => [row.dataset.asset, row.innerText])"
    )
    return dict(browser.run(script))


def table(browser, card):
    script = (
        "[...document.querySelectorAll(arguments[0])].map((row) => [...row.cells].map((c) => c.innerText))"
    )
    return browser.run(f"return {script}", f"#{card} tr")


def pixels(png):
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def percent(ratio):
    return f"{ratio * 100:.0f}\u00a0%"


def test_what_it_shows_is_what_the_agent_says(browser):
    with Serving(frozen()) as serving:
        visit(browser, serving)
        status = serving.ask("/api/status").json
        assets = {asset["name"]: asset for asset in status["assets"]}
        shown = rows(browser)
        assert list(shown) == [
            *("pump-2", "furnace", "compressor", "cooling-fan", "conveyor", "mixer", "pump-1", "feed-pump")
        ]
        for name in ("pump-1", "pump-2", "feed-pump"):
            assert percent(assets[name]["score"] / assets[name]["service"]["ucl"]) in shown[name]
        for name, words in {
            "pump-2": "Alarm, critical since",
            "furnace": "Down there is no bundle for @furnace in the store",
            "compressor": "Unknown Sensor stuck: Temperature has shown 71.3 for 60 samples",
            "cooling-fan": "Silent no samples for 3\u00a0min, was normal before",
            "conveyor": "Waiting no samples yet",
            "mixer": "Warming up Collecting first samples: 3 of 10 samples",
            "pump-1": "Normal",
        }.items():
            assert words in shown[name]
        assert browser.run(TEXT, "agent") == "pump-house"
        assert browser.run("return document.title") == "1 in alarm · pump-house"
        counts = browser.run(
            "const items = [...document.querySelectorAll('#counts li')];"
            "return items.map((item) => item.innerText.split(/\\s+/).join(' '))"
        )
        assert counts == [
            "1 alarm",
            "1 down",
            "1 unknown",
            "1 silent",
            "1 waiting",
            "1 warming up",
            "2 normal",
        ]
        about = browser.run(TEXT, "about")
        assert "edge-ad 0.7.0" in about
        assert "56.3\u00a0MB" in about
        assert "3\u00a0d 5\u00a0h" in about
        assert "hooks.example/edge answered 503" in browser.run(TEXT, "sinks")
        assert table(browser, "sinks")[1:] == [
            ["plant (mqtt)", "0", "84", "2", "0"],
            ["maintenance (webhook)", "3", "81", "17", "1"],
        ]
        assert ["compressor: bad line", "12"] in table(browser, "troubles")
        assert "Events lost for want of room: 4 (severity warning)" in browser.run(TEXT, "troubles")
        assert problems(browser) == []


def test_it_asks_nobody_but_the_agent(browser):
    with Serving(frozen()) as serving:
        visit(browser, serving)
        asked = []
        wait_until(lambda: asked.extend(browser.requested()) or len(asked) > 12)
        assert all(url.startswith((serving.url, "data:", "about:")) for url in asked), asked
        paths = {url.removeprefix(serving.url).partition("?")[0] for url in asked if url.startswith("http")}
        assert {"style.css", "app.js", "api/status", "api/assets/pump-2/history"} <= paths


def test_selecting_an_asset(browser):
    with Serving(frozen()) as serving:
        visit(browser, serving)
        assert browser.run(TEXT, "name") == "pump-2"  # the worst
        alarm = serving.ask("/api/status").json["assets"][1]
        expected = sorted(alarm["contributions"], key=lambda pair: -pair[1])
        lines = table(browser, "contributions")[1:]
        assert [line[0].rpartition(" ")[0] for line in lines] == [name for name, _ in expected]
        assert [line[0].rpartition(" ")[2] for line in lines][:3] == ["l/min", "bar", "A"]
        assert lines[0][2] == "47\u00a0%"
        assert float(lines[0][3]) == pytest.approx(expected[0][1], rel=0.01)
        assert "Alarm episode 3 since" in browser.run(TEXT, "episode")
        assert "Mostly Volume Flow RateRMS 47\u00a0%, Pressure 22\u00a0%" in browser.run(TEXT, "episode")
        assert browser.run(TEXT, "state") == "Alarm, critical"
        show(browser, "pump-1")
        browser.wait_for("return document.getElementById('readout').innerText.includes('normal')")
        status = serving.ask("/api/status").json["assets"][0]
        assert browser.run(TEXT, "percent") == percent(status["score"] / status["service"]["ucl"])
        assert browser.run(TEXT, "state") == "Normal"
        assert browser.run("return document.getElementById('episode').hidden")
        assert browser.run("return location.hash") == "#/pump-1"
        assert "8c1f5e0a77d2, build 14" in browser.run(TEXT, "bundle")
        assert "as built" in browser.run(TEXT, "bundle")
        health = {line[0]: line[1:] for line in table(browser, "health")}
        assert health["Decisions"] == ["86,400", f"{status['health']['since_start']['decisions']:,}"]
        assert health["Samples are missing"] == ["7", "7"]
        assert "Drift: stable." in browser.run(TEXT, "health")
        latency = {line[0]: line[1:] for line in table(browser, "latency")}
        assert latency["total"][0] == "49.2\u00a0µs"
        assert (
            len(
                browser.run(
                    "return [...document.querySelectorAll('.columns rect')].map((r) => r.getBBox().height)"
                )
            )
            == 7
        )
        show(browser, "furnace")
        assert browser.run(TEXT, "percent") == "–"
        assert "there is no bundle for @furnace" in browser.run(TEXT, "bundle")
        browser.wait_for("return document.getElementById('chart').innerText === 'Nothing to draw yet.'")
        assert problems(browser) == []


def test_an_address_shows_an_asset(browser):
    with Serving(frozen()) as serving:
        visit(browser, serving, "compressor")
        assert browser.run(TEXT, "name") == "compressor"
        assert (
            browser.run("return document.querySelector('[aria-current]').parentNode.dataset.asset")
            == "compressor"
        )
        visit(browser, serving, "nobody")
        assert browser.run(TEXT, "name") == "pump-2"
        visit(browser, serving, "%E0%A4%A")
        assert problems(browser) == []


def test_the_chart(browser):
    with Serving(frozen()) as serving:
        visit(browser, serving, "pump-2")
        browser.wait_for("return document.querySelector('#chart .trace.over')")
        trace = "return document.querySelector('#chart .trace').getAttribute('d')"
        history = serving.view.history("pump-2")
        assert browser.run(trace).count("M") == 1 + sum(
            a == "unknown" and b != "unknown"
            for a, b in zip(history.states, history.states[1:], strict=False)
        )
        assert browser.run("return document.querySelector('.span-alarm').getAttribute('d')").count(
            "M"
        ) == sum(state == "alarm" for state in history.states)
        linear = browser.run(trace)
        browser.click("#log")
        assert browser.run(trace) != linear
        assert browser.run("return document.getElementById('log').getAttribute('aria-pressed')") == "true"
        browser.click("#linear")
        assert browser.run(trace) == linear
        peak = max(
            score / ucl for score, ucl in zip(history.scores, history.ucls, strict=True) if score is not None
        )
        label = browser.run("return document.querySelector('#chart svg').getAttribute('aria-label')")
        assert label.endswith(f"highest {percent(peak)} of the limit")
        browser.run(
            "const chart = document.getElementById('chart');"
            "const clientX = chart.getBoundingClientRect().left + 80;"
            "chart.dispatchEvent(new PointerEvent('pointermove', {clientX}));"
        )
        assert browser.run(TEXT, "readout").endswith(", normal")


class SpikeAgent(FakeAgent):
    """Fifty times the limit, for a second."""

    def history(self, asset):
        history = super().history(asset)
        scores = list(history.scores)
        scores[-200] = 50 * history.ucls[0]
        return replace(history, scores=tuple(scores))


def test_a_spike_does_not_flatten_the_rest(browser):
    agent = SpikeAgent(PLANT[:1])
    agent.freeze()
    with Serving(agent) as serving:
        visit(browser, serving)
        height = "const b = document.querySelector('#chart .limit').getBBox(); return b.y"
        browser.wait_for("return document.querySelector('#chart .limit')")
        assert "the highest is 5,000\u00a0%" in browser.run(TEXT, "clipped")
        low, high = browser.run(height), 240
        assert high / 2 < low < high * 0.9  # the limit at a quarter of the height
        assert browser.run("return document.querySelector('.beyond').getAttribute('d')").count("M") == 1
        browser.click("#log")
        assert browser.run(TEXT, "clipped") == ""


def test_the_page_says_when_the_agent_is_gone_and_recovers(browser):
    options = HttpOptions("127.0.0.1:0")
    agent = FakeAgent()
    with Serving(agent) as serving:
        visit(browser, serving, "pump-1")
        options = HttpOptions(f"127.0.0.1:{serving.port}")
        assert browser.run("return document.getElementById('banner').hidden")
    banner = browser.wait_for(
        "const b = document.getElementById('banner'); return b.hidden ? '' : b.innerText"
    )
    assert banner.startswith("No connection to the agent since ")
    assert banner.endswith("What is shown is old.")
    assert browser.run("return getComputedStyle(document.querySelector('main')).opacity") == "0.5"
    assert browser.run(TEXT, "name") == "pump-1"
    with Serving(agent, options):
        browser.wait_for("return document.getElementById('banner').hidden")
        assert browser.run("return getComputedStyle(document.querySelector('main')).opacity") == "1"
        browser.wait_for("return document.getElementById('link').innerText.startsWith('live')")


def test_figures_move(browser):
    with Serving(FakeAgent(PLANT[:1])) as serving:
        visit(browser, serving)
        first = browser.run(TEXT, "score")
        browser.wait_for("return document.getElementById('score').innerText !== arguments[0]", first)
        path = browser.wait_for("return document.querySelector('#chart .trace').getAttribute('d')")
        browser.wait_for(
            "return document.querySelector('#chart .trace').getAttribute('d') !== arguments[0]", path
        )
        assert problems(browser) == []


def test_a_hidden_page_asks_nothing(browser):
    agent = FakeAgent(PLANT[:1])
    with Serving(agent) as serving:
        visit(browser, serving)
        browser.run(
            "window.isHidden = true; Object.defineProperty(document, 'hidden', {get: () => window.isHidden});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        browser.requested()
        deadline = time.monotonic() + 3  # of which it would ask in each second
        while time.monotonic() < deadline:
            browser.run("return 1")
        assert len(browser.requested()) <= 2  # what was under way
        browser.run("window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
        wait_until(browser.requested)


def test_names_are_never_markup(browser):
    with Serving(frozen(NASTY)) as serving:
        visit(browser, serving)
        name = NASTY[-1].name
        assert rows(browser).keys() == {kind.name for kind in NASTY}
        browser.run("[...document.querySelectorAll('#assets a')][1].click()")
        browser.wait_for("return document.getElementById('name').innerText === arguments[0]", name)
        browser.wait_for("return document.querySelector('#chart .trace')")
        assert [line[0] for line in table(browser, "contributions")][1].startswith(
            "<script>document.title='taken'</script>"
        )
        assert "<img src=x o, build 14" in browser.run(TEXT, "bundle")
        assert "<i>x</i>" in browser.run(TEXT, "source")
        assert browser.run("return document.querySelectorAll('script').length") == 1
        assert browser.run("return document.querySelectorAll('#detail img, #detail b b').length") == 0
        assert browser.run("return document.title") == "2 in alarm · pump-house"
        assert problems(browser) == []


def test_sixty_four_assets(browser):
    with Serving(frozen(MANY)) as serving:
        visit(browser, serving)
        assert len(rows(browser)) == 64
        assert next(iter(rows(browser))) == "asset-50"  # the one in alarm
        wait_until(lambda: browser.run("return document.querySelectorAll('.spark .trace').length") >= 128)
        wide, window = browser.run(WIDE)
        assert wide <= window
        assert problems(browser) == []


def test_the_keyboard_reaches_everything(browser):
    with Serving(frozen()) as serving:
        visit(browser, serving)
        browser.press(TAB, TAB)
        focus = (
            "return document.activeElement.closest('li, button')?.dataset.asset || document.activeElement.id"
        )
        assert browser.run(focus) == "furnace"
        browser.press(ENTER)
        browser.wait_for("return document.getElementById('name').innerText === 'furnace'")
        assert browser.run(focus) == "furnace"  # still, after the page was drawn anew
        browser.press(*[TAB] * 7)
        assert browser.run(focus) == "linear"
        browser.press(TAB, ENTER)
        assert browser.run("return document.getElementById('log').getAttribute('aria-pressed')") == "true"


@pytest.mark.parametrize("kinds", [PLANT, NASTY, PLANT[1:2]])
def test_a_telephone_never_scrolls_sideways(telephone, kinds):
    with Serving(frozen(kinds)) as serving:
        visit(telephone, serving)
        wide, window = telephone.run(WIDE)
        assert (wide, window) == (390, 390)
        is_shown = "return getComputedStyle(document.getElementById('detail')).display !== 'none'"
        assert telephone.run(is_shown) == (len(kinds) == 1)  # an asset that is alone needs no overview
        telephone.run("document.querySelector('#assets a').click()")
        telephone.wait_for(is_shown)
        telephone.wait_for("return document.querySelector('#chart .trace')")
        assert telephone.run(WIDE) == [390, 390]
        if len(kinds) > 1:
            telephone.click("#back")
            telephone.wait_for(
                "return getComputedStyle(document.getElementById('detail')).display === 'none'"
            )
        assert problems(telephone) == []


def test_logging_in(browser, token_file):
    with Serving(frozen(), HttpOptions("127.0.0.1:0", str(token_file))) as serving:
        browser.log("browser")
        browser.open(serving.url)
        assert browser.run("return document.title") == "Token needed"
        browser.type_into("#token", "not-the-right-token\n")
        browser.wait_for("return document.querySelector('[role=alert]')?.innerText === 'Wrong token.'")
        browser.type_into("#token", TOKEN)
        browser.click("button")
        browser.wait_for(READY)
        assert len(rows(browser)) == len(PLANT)
        assert browser.run("return document.cookie") == ""  # not for scripts
        browser.reload()
        browser.wait_for(READY)
        # the token is changed: the page asks for the new one
        serving.server._gate._key = b"another"
        browser.wait_for("return document.title === 'Token needed'")
        assert not [text for text in problems(browser) if "401" not in text]


@pytest.mark.parametrize("is_dark", [False, True])
def test_there_is_something_to_see(is_dark):
    with Serving(frozen()) as serving, Browser(dark=is_dark) as browser:
        visit(browser, serving)
        browser.wait_for("return document.querySelectorAll('.spark .trace').length > 4")
        picture = pixels(browser.screenshot())
    assert picture.shape == (800, 1280, 3)
    page = picture[-5, 5]
    assert (page.mean() < 0.2) == is_dark
    drawn = np.abs(picture - page).max(axis=-1) > 0.3
    for part in (drawn[:60], drawn[60:, :430], drawn[60:240, 430:], drawn[240:560, 430:]):
        assert 0.005 < part.mean() < 0.9


def test_it_can_be_printed(browser):
    with Serving(frozen()) as serving:
        visit(browser, serving)
        browser.wait_for("return document.querySelector('#chart .trace')")
        pdf = browser.devtools("Page.printToPDF")["data"]
        assert len(pdf) > 20_000
        assert problems(browser) == []


def contrast(one, other):
    """WCAG 2.2, 1.4.3."""

    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_stands_out(is_dark):
    """Every text against the colour behind it, by the standard's level AA."""
    script = """
    const seen = {};
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const behind = (node) => {
      for (; node; node = node.parentElement) {
        const colour = rgb(getComputedStyle(node).backgroundColor);
        if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3);
      }
      return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim(), node = walker.currentNode.parentElement;
      if (!text || !node.getClientRects().length) continue;
      const style = getComputedStyle(node), isSvg = node.namespaceURI.endsWith('svg');
      seen[text.slice(0, 40)] = [rgb(isSvg ? style.fill : style.color).slice(0, 3), behind(node)];
    }
    return seen;
    """
    with Serving(frozen()) as serving, Browser(dark=is_dark) as browser:
        visit(browser, serving)
        browser.wait_for("return document.querySelector('#chart .trace')")
        seen = {}
        for asset in ("pump-2", "compressor", "pump-1"):
            show(browser, asset)
            seen |= browser.run(script)
    assert len(seen) > 60
    faint = {text: round(contrast(*colours), 2) for text, colours in seen.items() if contrast(*colours) < 4.5}
    assert faint == {}
