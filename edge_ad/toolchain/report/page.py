"""A page in one file: nothing in it is fetched from anywhere, and nothing read from a recording can run."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from edge_ad import __version__
from edge_ad.toolchain.report.chart import PALETTE, Chart, chart_json
from edge_ad.toolchain.report.markup import Html, element, embedded_json, together


def page(title: str, *parts: str, note: str = "") -> bytes:
    """A whole page with its style and its script; `note` stands at its end."""
    script = _resource("uPlot.iife.min.js") + "\n" + _resource("charts.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = together(
        [
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="generator", content=f"edge-ad {__version__}"),
            element("link", rel="icon", href="data:,"),
            element("title", title),
            element("style", Html(_resource("uPlot.min.css") + _resource("style.css") + _colours())),
        ]
    )
    footer = element(
        "footer",
        *([element("p", note)] if note else []),
        element(
            "p",
            f"Made by edge-ad {__version__}. Charts: uPlot 1.6.32, MIT licence, copyright 2022 Leon Sorokin. "
            "Colours: Okabe and Ito, Color Universal Design, 2008.",
        ),
    )
    no_script = element(
        "noscript",
        element("p", "The charts need JavaScript; the tables do not.", class_="warn"),
        element("style", Html(".assets tbody tr { display: table-row !important; }")),
    )
    body = together([element("main", no_script, *parts), footer, element("script", Html(script))])
    document = Html(
        f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"
    )
    return document.encode()


def figure(chart: Chart) -> Html:
    """A chart: where it is drawn, what it shows in words, and its numbers."""
    data = element("script", embedded_json(chart_json(chart)), type="application/json")
    return element(
        "figure",
        element("h3", chart.title),
        element("div", class_="plot", role="img", aria_label=chart.text),
        element("figcaption", chart.text),
        data,
        data_chart=chart.name,
    )


@cache
def _resource(name: str) -> str:
    return files("edge_ad.toolchain.report").joinpath("page", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _colours() -> str:
    light = "".join(f"--s{i}:{colour};" for i, colour in enumerate(PALETTE))
    # on a dark page black is white, and both blues are lighter
    dark = light
    for colour, lighter in (("#000000", "#FFFFFF"), ("#56B4E9", "#A6DBF7"), ("#0072B2", "#3A96E8")):
        dark = dark.replace(colour, lighter)
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root:not(.printing){{{dark}}}}}"
