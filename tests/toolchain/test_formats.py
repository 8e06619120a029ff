import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.bundle.manifest import Channel, CsvFormat
from edge_ad.errors import ConfigurationError, DataError
from edge_ad.toolchain.datasets.choose import choose_format
from edge_ad.toolchain.datasets.describe import describe
from edge_ad.toolchain.datasets.discover import asset_name, find_recordings
from edge_ad.toolchain.datasets.formats import (
    PRESETS,
    RecordingFormat,
    TrainSpan,
    format_toml,
    load_format,
)
from edge_ad.toolchain.datasets.guess import guess_format

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
numbers = st.floats(-1e6, 1e6)


@st.composite
def formats(draw):
    columns = draw(st.lists(names, min_size=3, max_size=5, unique=True))
    channels = tuple(
        Channel(name, draw(names), low=draw(st.none() | st.just(-1.5)), high=draw(st.none() | st.just(2e9)))
        for name in columns[2:]
    )
    span = draw(st.builds(TrainSpan, rows=st.integers(1, 10**6)) | st.builds(TrainSpan, until=names))
    layout = CsvFormat(draw(st.sampled_from(";\t|")), columns[0], draw(st.sampled_from(["iso", "%d.%m.%Y"])))
    return RecordingFormat(channels, span, layout, draw(st.none() | st.just(columns[1])), 0.5, 2.75)


@given(formats())
def test_a_format_survives_its_file(tmp_path_factory, recording_format):
    path = tmp_path_factory.mktemp("formats") / "format.toml"
    path.write_text(format_toml(recording_format), encoding="utf-8")
    assert load_format(path) == recording_format


@pytest.mark.parametrize("preset", ["pump", "skab"])
def test_presets_have_skabs_eight_channels(preset):
    assert len(PRESETS[preset].channels) == 8
    assert all(channel.unit for channel in PRESETS[preset].channels)
    assert PRESETS[preset].train == TrainSpan(rows=400)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels = 5", "channels"),
        ("[[channels]]\nname = 'a'\n", "train"),
        ("[[channels]]\nname = 'a'\n[train]\n", "either rows or until"),
        ("[[channels]]\nname = 'a'\n[train]\nrows = 0\n", "rows must be at least 1"),
        ("[[channels]]\nname = 'a'\n[train]\nrows = '5'\n", "train.rows"),
        ("colour = 'red'\n[[channels]]\nname = 'a'\n[train]\nrows = 5\n", "colour"),
        ("[[channels]]\nname = 'a'\n[[channels]]\nname = 'a'\n[train]\nrows = 5\n", "the same name"),
        ("[[channels]]\nname = 'time'\n[train]\nrows = 5\n", "cannot be channels"),
        ("largest_gap_s = 0.1\n[[channels]]\nname = 'a'\n[train]\nrows = 5\n", "largest_gap_s"),
        ("[[channels]]\nname = 'a'\n[train]\nrows = 5\n[input]\nseparator = ';;'\n", "one character"),
        ("[[channels]]\nname = 'a'\n[train]\nrows = 5\n[input]\ndecimal = ','\n", "are both"),
        ("not toml", "format.toml"),
    ],
)
def test_a_format_file_that_makes_no_sense(tmp_path, text, words):
    path = tmp_path / "format.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_format(path)
    assert "format.toml" in str(caught.value)


def test_assets_are_named_after_their_place(tmp_path):
    for name in ("valve1/10.csv", "valve1/2.csv", "other/1.csv", "other/notes.txt", "odd name (1).csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(find_recordings(tmp_path)) == ["odd_name_1", "other-1", "valve1-2", "valve1-10"]
    assert find_recordings(tmp_path / "other" / "1.csv") == {"1": tmp_path / "other" / "1.csv"}


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.csv").touch()
    (tmp_path / "a-b.csv").touch()
    with pytest.raises(DataError, match="would both be asset 'a-b'"):
        find_recordings(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match=r"holds no \.csv or \.parquet file"):
        find_recordings(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        find_recordings(tmp_path / "none")


@given(st.text(max_size=20))
def test_every_asset_name_can_be_a_file_name(text):
    from pathlib import PurePosixPath

    name = asset_name(PurePosixPath("x" + text.replace("/", "").replace("\0", "") + ".csv"))
    assert name
    assert "/" not in name
    assert not name.startswith((".", "-"))


OWN = "stamp,rpm,bearing temp,state,label\n" + "".join(
    f"{1_700_000_000 + 2 * i},{3000 + i % 5},{40 + i / 10},on,{int(i > 25)}\n" for i in range(30)
)


def test_a_format_is_guessed_for_a_person_to_check(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(OWN)
    guessed, preset = guess_format(path)
    assert preset is None
    assert [channel.name for channel in guessed.channels] == ["rpm", "bearing temp"]
    assert (guessed.input.separator, guessed.input.time_column) == (",", "stamp")
    assert (guessed.input.time_format, guessed.label_column) == ("seconds", "label")
    assert (guessed.sample_period_s, guessed.largest_gap_s) == (2.0, 11.0)


def test_a_guess_is_never_trained_on(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(OWN)
    with pytest.raises(ConfigurationError, match="fits no preset.*--save-format"):
        choose_format(path, None, None)
    with pytest.raises(ConfigurationError, match="either --preset or --format"):
        choose_format(path, "skab", path)


def test_what_is_no_table_is_not_guessed(tmp_path):
    path = tmp_path / "letter.csv"
    path.write_text("Dear all,\nnothing here is a table.\n")
    with pytest.raises(DataError, match="no column of times"):
        guess_format(path)


def test_a_description(tmp_path):
    path = tmp_path / "own.csv"
    lines = OWN.splitlines()
    del lines[10:20]  # a gap of 22 s
    lines[5] = lines[5].replace("3004", "")
    path.write_text("\n".join(lines) + "\n")
    guessed, _ = guess_format(path)
    found = describe(path, guessed, "own")
    assert (found.rows, found.gaps, found.longest_step_s, found.median_step_s) == (20, 1, 22.0, 2.0)
    assert found.nominal_step_share == pytest.approx(18 / 19)
    assert found.label_share == pytest.approx(4 / 20)
    rpm, temperature = found.channels
    assert (rpm.minimum, rpm.maximum, rpm.missing) == (3000.0, 3004.0, 1)
    assert (temperature.minimum, temperature.maximum, temperature.missing) == (40.0, 42.9, 0)


def table(tmp_path, text):
    path = tmp_path / "own.csv"
    path.write_text(text)
    return path


def test_a_column_of_judgements_is_no_sensor(tmp_path):
    path = table(tmp_path, OWN.replace(",label", ",is_bad"))
    guessed, _ = guess_format(path)
    assert guessed.label_column == "is_bad"
    assert "is_bad" not in [channel.name for channel in guessed.channels]
    found = describe(path, guessed, "own")
    assert (found.label_column, found.not_used) == ("is_bad", ("state",))


def test_what_is_not_used_is_said(tmp_path):
    text = OWN.replace(",0\n", ",ok\n").replace(",1\n", ",bad\n")
    guessed, _ = guess_format(table(tmp_path, text))
    found = describe(tmp_path / "own.csv", guessed, "own")
    assert found.label_share is None
    assert found.not_used == ("state", "label")


def test_german_times_and_decimals(tmp_path):
    rows = "".join(f"05.01.2026 08:00:{i:02d};1,{i};2\n" for i in range(30))
    guessed, _ = guess_format(table(tmp_path, "Zeit;Druck;Fluss\n" + rows))
    assert (guessed.input.decimal, guessed.input.time_format) == (",", "%d.%m.%Y %H:%M:%S")
    assert [channel.name for channel in guessed.channels] == ["Druck", "Fluss"]
    path = tmp_path / "format.toml"
    path.write_text(format_toml(guessed))
    assert describe(tmp_path / "own.csv", load_format(path), "own").channels[0].maximum == 1.9


def test_the_time_may_stand_in_any_column(tmp_path):
    rows = "".join(f"{i / 10},2026-01-05T08:00:{i:02d}\n" for i in range(30))
    guessed, _ = guess_format(table(tmp_path, "flow,at\n" + rows))
    assert (guessed.input.time_column, guessed.input.time_format) == ("at", "iso")


def test_a_file_without_times_is_not_taken_for_one(tmp_path):
    rows = "".join(f"{(i * 7) % 5},{i}\n" for i in range(30))
    with pytest.raises(DataError, match="no column of times"):
        guess_format(table(tmp_path, "flow,pressure\n" + rows))


@pytest.mark.parametrize("header", ["time,a,,b", "time,a,b,", "time," + "a" * 200_000])
def test_odd_headers(tmp_path, header):
    rows = "".join(f"{i}," + ",".join("1" for _ in header.split(",")[1:]) + "\n" for i in range(30))
    path = table(tmp_path, header + "\n" + rows)
    try:
        guessed, _ = guess_format(path)
    except DataError:
        return
    assert all(channel.name for channel in guessed.channels)


def test_tenths_of_a_second_are_regular(tmp_path):
    rows = "".join(f"2026-01-05T08:00:{i / 10:07.4f},{i % 7}\n" for i in range(300))
    guessed, _ = guess_format(table(tmp_path, "time,flow\n" + rows))
    found = describe(tmp_path / "own.csv", guessed, "own")
    assert (found.median_step_s, found.nominal_step_share, found.gaps) == (0.1, 1.0, 0)


def test_the_simulated_pump_is_not_taken_for_skab(tmp_path):
    from edge_ad.toolchain.datasets.pump import standard_run
    from edge_ad.toolchain.datasets.simulated import pump_csv

    text = pump_csv(standard_run(0))
    assert guess_format(table(tmp_path, text))[1] == "pump"
    lines = [";".join(line.split(";")[:10]) for line in text.splitlines()]
    assert guess_format(table(tmp_path, "\n".join(lines) + "\n"))[1] == "skab"
