"""Text that was read from somewhere is never markup."""

import json
from html.parser import HTMLParser

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.text import printable
from edge_ad.toolchain.report.chart import Chart, Series, chart_json
from edge_ad.toolchain.report.markup import element, embedded_json, table


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.values = [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data):
        self.words += data


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_comes_out_as_it_was(text):
    parsed = Parsed(element("p", text, title=text))
    assert parsed.tags == ["p"]
    assert parsed.words == printable(text)
    assert parsed.values == [printable(text)]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_string_ends_the_script_that_holds_it(text):
    parsed = Parsed(element("script", embedded_json({text: [text]}), type="application/json"))
    assert parsed.tags == ["script"]
    assert json.loads(parsed.words) == {text: [text]}
    assert "<" not in parsed.words


def test_a_table_says_what_its_headings_are():
    text = table(("name", "n"), [("<b>", "1")], caption="c & d")
    assert '<th scope="row">&lt;b&gt;</th>' in text
    assert "<caption>c &amp; d</caption>" in text
    assert 'aria-label="c &amp; d"' in text


def test_what_is_no_number_is_a_gap():
    x = np.array([1.0, 2, 3])
    chart = Chart("n", "t", "", "x", "y", x, (Series("s", np.array([np.nan, np.inf, 1 / 3]), 0),))
    (series,) = chart_json(chart)["series"]
    assert series["values"] == [None, None, 0.33333]
