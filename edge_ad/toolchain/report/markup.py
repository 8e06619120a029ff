"""HTML that nothing read from a file can break out of: text is escaped unless it was made here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence

from edge_ad.text import printable

_VOID = frozenset({"meta", "link", "br", "input"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """Somebody's text: no markup, and nothing that is not for reading."""
    return text if isinstance(text, Html) else Html(html.escape(printable(text)))


def element(name: str, /, *children: str, **attributes: str | None) -> Html:
    """An element; `class_` stands for `class`, `aria_label` for `aria-label`; None leaves one out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{together(children)}</{name}>")


def together(parts: Iterable[str]) -> Html:
    """Parts one after the other."""
    return Html("".join(map(escaped, parts)))


def embedded_json(value: object) -> Html:
    """JSON to stand in a `script` element, which no string in it can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, left: int = 1, class_: str = ""
) -> Html:
    """A table; the first cell of a row is its heading, and all but the first `left` columns are numbers."""

    def cell(i: int, text: str, name: str, **attributes: str | None) -> Html:
        return element(name, text, class_=None if i < left else "n", **attributes)

    head = element("tr", *(cell(i, text, "th", scope="col") for i, text in enumerate(header)))
    body = (
        element(
            "tr",
            *(cell(i, text, "td" if i else "th", scope=None if i else "row") for i, text in enumerate(row)),
        )
        for row in rows
    )
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
        class_=class_ or None,
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def bar(text: str, share: float | None) -> Html:
    """A figure with a bar below it, as long as its share of what is largest, 0…1."""
    if share is None:
        return escaped(text)
    width = f"--w:{100 * min(1.0, max(0.0, share)):.1f}%"
    return together([text, element("span", class_="bar", style=width)])
