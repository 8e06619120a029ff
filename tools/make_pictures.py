"""Take the pictures of a build's report that README.md shows: a real browser looks at the real page.

Needs chromium and chromedriver.

Usage: make_pictures.py BUILD [FOLDER]          (default: docs)
"""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.runtime.http.browser import Browser  # noqa: E402

LARGEST = 150_000
"""Bytes of a picture."""
_WIDTH = 1000
_DRAWN = """
const seen = [...document.querySelectorAll('figure[data-chart]')].filter((f) => f.getClientRects().length);
seen.forEach((f) => f.scrollIntoView());
return seen.length > 2 && seen.every((f) => f.querySelector('canvas'))
"""
_AROUND = """
const boxes = [...document.querySelectorAll(arguments[0])].map((e) => e.getBoundingClientRect());
const [left, top] = ['left', 'top'].map((side) => Math.min(...boxes.map((box) => box[side])));
const [right, bottom] = ['right', 'bottom'].map((side) => Math.max(...boxes.map((box) => box[side])));
return [left + scrollX, top + scrollY, right - left, bottom - top]
"""
PICTURES = {
    "report-overview": ("", "#overview > h1, #overview > .soft, .key, section:has(.assets)"),
    "report-timeline": ("#asset-{worst}", ".asset:target section:first-of-type"),
    "report-scores": ("", "#overview .pair > figure:nth-child(-n+2)"),
}
"""Name -> part of the page, and what of it is in the picture."""


def take(browser: Browser, url: str, selector: str) -> bytes:
    """A PNG of the box round about everything that a selector finds, once the charts are drawn."""
    browser.open("about:blank")
    browser.open(url)
    browser.wait_for(_DRAWN)
    browser.run("scrollTo(0, 0)")
    left, top, width, height = browser.run(_AROUND, selector)
    clip = {"x": left - 12, "y": max(0, top - 12), "width": width + 24, "height": height + 24, "scale": 1}
    shot = browser.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    return base64.b64decode(shot["data"])


def save(path: Path, picture: bytes) -> None:
    """Write a picture in as many colours as a page has, which is smaller. Raises ValueError if not enough."""
    small = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(160).save(small, "PNG", optimize=True)
    if small.tell() > LARGEST:
        raise ValueError(f"{path} would have {small.tell()} bytes, more than {LARGEST}")
    path.write_bytes(small.getvalue())
    print(f"{path}: {small.tell() / 1000:.0f} kB")


def main() -> None:
    """Make the report, and look at it."""
    build, folder = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "docs")
    with tempfile.TemporaryDirectory(prefix="pictures-") as temporary:
        page = Path(temporary) / "report.html"
        command = [sys.executable, "-m", "edge_ad", "report", str(build), "-o", str(page)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with Browser(width=_WIDTH, height=800) as browser:
            browser.open(page.as_uri())
            worst = browser.run("return document.querySelector('.assets tbody th').innerText")
            for name, (part, selector) in PICTURES.items():
                save(
                    folder / f"{name}.png", take(browser, page.as_uri() + part.format(worst=worst), selector)
                )


if __name__ == "__main__":
    main()
