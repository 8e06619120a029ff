import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from edge_ad.bundle.bundle import pack, read
from edge_ad.errors import BundleMismatchError
from edge_ad.text import printable
from edge_ad.toolchain.datasets.fetch import skab_files
from edge_ad.toolchain.datasets.formats import PUMP
from edge_ad.toolchain.report.card import model_card, stated
from edge_ad.toolchain.settings import BuildSettings, CardSettings
from edge_ad.toolchain.workspace import AssetSource, BuildPlan
from tests.conftest import DATA
from tests.helpers import edge_ad

TOY = read(DATA / "toy.edgead")
ASSET = AssetSource("toy", "toy.csv", TOY.manifest.provenance.data_sha256, 857)
FIELDS = [field.name for field in dataclasses.fields(CardSettings)]
NOT_STATED = "not stated (state it as `{}` under `[card]` in the file of `--config`)"
MARKDOWN = MarkdownIt("commonmark").enable("table")


def plan(preset=None, **card):
    settings = BuildSettings(models=("tiny",), card=CardSettings(**card))
    return BuildPlan(PUMP, settings, (ASSET,), preset)


def card(manifest=TOY.manifest, of=None, caveats=("A caveat.",)):
    return model_card(manifest, of or plan(), ASSET, TOY.members, caveats)


def test_the_toys_card_is_made_of_its_manifest():
    text = TOY.members[TOY.manifest.card_file].decode()
    for variant in TOY.manifest.variants:
        for metrics in variant.evaluation:
            (line,) = [
                row
                for row in text.splitlines()
                if row.startswith((f"| {variant.name} |", f"| {variant.name} (default) |"))
                and f"| {metrics.rule} |" in row
            ]
            for figure in (metrics.f1, variant.limit.ucl, len(TOY.members[variant.file]) / 1000):
                assert any(f"| {figure:{form}} |" in line for form in (".3f", ".6g", ".1f"))
            assert f"| passed, {len(variant.parity)} figures |" in line
    for words in (
        "from the first 400 rows of one recording",
        "Not a safety function",
        "after a gap of more than 5.5 s",
        "| Pressure | bar | -2 … 10 |",
        "always-on alarm scores F1 0.477",
        "looks ahead by 8 samples",
        "simulated by edge_ad",
        "weights of the epoch with the best validation loss kept",
        "Seed: 0",
        TOY.manifest.provenance.data_sha256,
        *(f"{name} {version}" for name, version in TOY.manifest.provenance.versions.items()),
    ):
        assert words in text


def test_what_nobody_said_is_not_stated():
    text = card()
    for key in FIELDS:
        assert NOT_STATED.format(key) in text


def test_what_the_user_said():
    text = card(of=plan("pump", **{key: f"my own {key}" for key in FIELDS}))
    assert "not stated" not in text
    assert "simulated" not in text
    for key in FIELDS:
        assert f": my own {key}\n" in text


def test_what_is_known_of_built_in_data():
    pump = stated(plan("pump", contact="me"), ASSET)
    assert pump.data_source.startswith("simulated by edge_ad")
    assert pump.contact == "me"
    published = dataclasses.replace(ASSET, sha256=skab_files()[0].sha256)
    skab = stated(plan("skab"), published)
    assert skab.data_licence == "GPL-3.0"
    assert "https://github.com/waico/SKAB" in skab.data_source
    assert stated(plan("skab", data_licence="none"), published).data_licence == "none"


def test_the_licence_of_other_recordings_with_skabs_columns_is_not_guessed():
    assert stated(plan("skab"), ASSET) == CardSettings()


def test_a_failed_or_missing_verdict_is_in_it():
    first, second, *_ = TOY.manifest.variants
    check, *others = first.parity
    variants = (
        dataclasses.replace(first, parity=(dataclasses.replace(check, passed=False), *others)),
        dataclasses.replace(second, parity=(), evaluation=()),
    )
    text = card(dataclasses.replace(TOY.manifest, variants=variants, unchecked=True, parity_passed=False))
    assert "**UNCHECKED: packed although the parity gate failed or did not run.**" in text
    assert f"| FAILED: {check.figure} |" in text
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {second.name} ")]
    assert line.endswith("| - | - | - | - | not judged |")


def test_ranges_of_which_an_end_is_not_known():
    low, high, none, *others = TOY.manifest.channels
    channels = (
        dataclasses.replace(low, high=None),
        dataclasses.replace(high, low=None),
        dataclasses.replace(none, low=None, high=None, unit=""),
        *others,
    )
    text = card(dataclasses.replace(TOY.manifest, channels=channels))
    for row in (f"{low.name} | g | 0 … |", f"{high.name} | g | … 2 |", f"{none.name} | - | - |"):
        assert f"| {row}\n" in text


CHARACTERS = st.sampled_from("ab |\\`*_{}[]<>()#+-.!&;~$\n\r\t\x1b\x85\u2028:/1=")
NASTY = st.one_of(st.text(CHARACTERS), st.text()).filter(lambda text: bool(text.split()))


def shown(text):
    """How text of a user is to be read on the card."""
    return printable(" ".join(text.split()))


def blocks(markdown):
    """The card as a Markdown program sees it: kinds of blocks, texts, and marks inside the texts."""
    tokens = MARKDOWN.parse(markdown)
    texts = ["".join(child.content for child in t.children) for t in tokens if t.type == "inline"]
    marks = {child.type for t in tokens if t.type == "inline" for child in t.children}
    return [token.type for token in tokens], texts, marks


@settings(deadline=None)
@given(text=NASTY)
def test_text_of_the_user_is_text_and_nothing_else(text):
    plain_blocks, plain_texts, plain_marks = blocks(card(of=plan(**dict.fromkeys(FIELDS, "plain"))))
    found_blocks, found_texts, found_marks = blocks(card(of=plan(**dict.fromkeys(FIELDS, text))))
    assert found_blocks == plain_blocks
    assert found_marks == plain_marks | {"text_special"} or found_marks == plain_marks
    for found, plain in zip(found_texts, plain_texts, strict=True):
        label, there, _ = plain.partition(": plain")
        assert found == (f"{label}: {shown(text)}" if there else plain)


@settings(deadline=None)
@given(name=NASTY, unit=NASTY)
def test_names_do_not_break_the_table(name, unit):
    def of(name, unit):
        channel = dataclasses.replace(TOY.manifest.channels[0], name=name, unit=unit)
        channels = (channel, *TOY.manifest.channels[1:])
        return blocks(card(dataclasses.replace(TOY.manifest, asset=name, channels=channels)))

    plain_blocks, _, _ = of("plain", "plain")
    found_blocks, texts, marks = of(name, unit)
    assert found_blocks == plain_blocks
    assert texts[0] == f"Model card: {shown(name)}"
    first = texts.index("plausible range") + 1
    assert texts[first : first + 2] == [shown(name), shown(unit)]
    assert "html_inline" not in marks


@pytest.mark.parametrize(
    ("name", "content", "words"), [("none.md", b"# Card", "is missing"), ("model-card.md", b"\xff", "UTF-8")]
)
def test_a_card_that_is_missing_or_no_text(name, content, words):
    manifest = dataclasses.replace(TOY.manifest, card_file=name)
    with pytest.raises(BundleMismatchError, match=words):
        pack(manifest, {**TOY.members, "model-card.md": content})


def test_the_same_inputs_give_the_same_text():
    assert card() == card()


@pytest.fixture
def stated_build(small_build, build_copy, tmp_path):
    """The small build again, with a `[card]` table."""
    root, _, _ = small_build
    config = tmp_path / "stated.toml"
    config.write_text(
        (root / "build.toml").read_text()
        + '\n[card]\ndata_source = "bench 4 | north hall"\ncontact = "pumps@example.org"\n'
    )
    result = edge_ad("build", root / "data", "--config", config, "-o", build_copy)
    assert result.returncode == 0, result.stderr
    return build_copy, result


def test_stating_something_trains_nothing_anew(stated_build):
    folder, result = stated_build
    assert "train: 4 already done" in result.stderr
    assert "evaluate: 8 already done" in result.stderr
    text = edge_ad("inspect", folder / "bundles" / "north.edgead", "--card").stdout
    assert "- Source: bench 4 \\| north hall\n" in text
    assert "- Contact: pumps@example.org\n" in text
    assert "judged all 2 recordings of the build together" in text


def test_a_key_that_is_none(small_build, tmp_path):
    root, _, _ = small_build
    (tmp_path / "my.toml").write_text("[card]\nlicense = 'MIT'\n")
    result = edge_ad("build", root / "data", "--config", tmp_path / "my.toml", "-o", tmp_path / "build")
    assert result.returncode == 2
    assert "card.license" in result.stderr
