"""`edge-ad search`, from recordings to a file that a build takes."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from edge_ad.cli.progress import PlainProgress
from edge_ad.errors import ConfigurationError, DataError, EdgeAdError, MissingDependencyError
from edge_ad.toolchain.datasets.formats import PUMP, TrainSpan, format_toml
from edge_ad.toolchain.search.search import Wanted, run_search
from edge_ad.toolchain.settings import BuildSettings, load_settings
from tests.helpers import COMMAND, edge_ad, snapshot

LABELS = ("--labels-of", "valve")


def trials_of(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["no network", "network"])
def test_what_is_searched_is_what_ships(pumps, search, tmp_path, form):
    """The best trial's figures are those of a build of best.toml, judged by `edge-ad evaluate`."""
    space = tmp_path / "space.toml"
    heads = "t2:window-moments" if form == "no network" else "t2:residual-mean"
    space.write_text(
        f'[space]\nheads = ["{heads}"]\nk = [2]\nmodel = ["tiny"]\nteachers = [1]\nchannels = "any"\n'
        "[objective]\nmax_far = 1.0\nmax_mar = 1.0\n"
    )
    config = tmp_path / "base.toml"
    config.write_text(
        "fit_share = 0.75\ntraining = { epochs = 3, learning_rate = 0.01 }\n[gate.quantization]\n"
        "f1_drop = 1.0\nfar_rise = 1.0\nmar_rise = 1.0\nmin_agreement = 0.0\nmin_asset_agreement = 0.0\n"
        "min_episode_agreement = 0.0\ndelay_shift = 1e3\nmin_rank_correlation = -1.0\nucl_shift = 10.0\n"
    )
    found = search(pumps, *LABELS, "--config", config, "--json", space=space, trials=2)
    assert found.returncode == 0, found.stderr
    figures = json.loads(found.stdout)["best"]["figures"]
    best = tmp_path / "found" / "best.toml"
    built = edge_ad("build", pumps, "--config", best, "-o", tmp_path / "build")
    assert built.returncode == 0, built.stderr
    judged = edge_ad("evaluate", pumps, "--build", tmp_path / "build", "--json", "--no-baselines")
    assert judged.returncode == 0, judged.stderr
    evaluation = json.loads(judged.stdout)
    assert evaluation["untouched"] == ["other"]
    assert any("edge-ad search on labels of valve" in choice for choice in evaluation["choices"])
    scopes = {
        (scope["scope"], scope["rule"]): scope["figures"]
        for scope in evaluation["scopes"]
        if scope["detector"] == evaluation["variant"]
    }
    for rule in ("leaderboard", "streaming"):
        for name in ("f1", "far", "mar"):
            assert figures[f"{rule}_{name}"] == scopes["valve", rule][name]["median"], (rule, name)
    assert figures["found_soon"] == scopes["valve", "streaming"]["found_soon"]["median"]
    assert figures["mean_f1"] > 0.1


def test_without_labels_none_is_read(pumps, search, tmp_path):
    """Neither labels nor the rows behind the train spans make a difference, whatever stands there."""
    first = search(pumps)
    assert first.returncode == 0, first.stderr
    spoiled = tmp_path / "spoiled"
    shutil.copytree(pumps, spoiled)
    for path in spoiled.rglob("*.csv"):
        header, *rows = path.read_text().splitlines()
        place = header.split(";").index("anomaly")
        cells = [row.split(";") for row in rows]
        for number, row in enumerate(cells):
            row[place] = "9"
            if number >= 400:
                row[1:place] = ["1"] * (place - 1)
        path.write_text("\n".join([header, *(";".join(row) for row in cells)]) + "\n")
    second = search(spoiled, output="again")
    assert second.returncode == 0, second.stderr
    assert snapshot(tmp_path / "again")["trials.csv"] == snapshot(tmp_path / "found")["trials.csv"]
    settings = load_settings(tmp_path / "found" / "best.toml")
    assert settings.protocol.labels_of == ()
    assert "no labels" in settings.protocol.chosen_on


def test_labels_of_other_groups_are_not_read(pumps, search, tmp_path):
    """Garbage, none at all, and files that are no recordings: the named group alone decides."""
    first = search(pumps, *LABELS)
    assert first.returncode == 0, first.stderr
    spoiled = tmp_path / "spoiled"
    shutil.copytree(pumps, spoiled)
    path = spoiled / "other" / "0.csv"
    path.write_text(re.sub(r";[01];", ";garbage;", path.read_text()))
    (spoiled / "other" / "1.csv").write_text("nothing\nof use\n")
    second = search(spoiled, *LABELS, output="again")
    assert second.returncode == 0, second.stderr
    assert snapshot(tmp_path / "again")["best.toml"] == snapshot(tmp_path / "found")["best.toml"]
    settings = load_settings(tmp_path / "found" / "best.toml")
    assert settings.protocol.labels_of == ("valve",)
    assert all(row["mean_f1"] for row in trials_of(tmp_path / "found"))

    path = spoiled / "valve" / "0.csv"
    header, *rows = path.read_text().splitlines()
    flipped = [re.sub(r";([01]);", lambda found: f";{1 - int(found[1])};", row) for row in rows]
    path.write_text("\n".join([header, *flipped]) + "\n")
    third = search(spoiled, *LABELS, output="other")
    assert snapshot(tmp_path / "other")["trials.csv"] != snapshot(tmp_path / "found")["trials.csv"], third


def test_an_interrupted_search_goes_on_as_if_nothing_had_been(pumps, search, space_file, tmp_path):
    """Ctrl-C in the middle of a trial; side by side in the one, one by one in the other."""
    whole = search(pumps, trials=6)
    assert whole.returncode == 0, whole.stderr
    command = ["search", pumps, "--space", space_file, "--trials", "6", "-j", "2", "-o", tmp_path / "cut"]
    cut = subprocess.Popen(
        [*COMMAND, *map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert cut.stderr is not None
    lines = iter(cut.stderr.readline, "")
    assert any("trial 2:" in line for line in lines), "it ended before it could be interrupted"
    os.killpg(cut.pid, signal.SIGINT)
    told = cut.communicate(timeout=120)[1]
    assert cut.returncode == 130, told
    assert "--resume goes on" in told
    ended = len(trials_of(tmp_path / "cut"))
    assert 3 <= ended < 6
    resumed = search(pumps, "--resume", output="cut", trials=6)
    assert resumed.returncode == 0, resumed.stderr
    assert f"search: {ended} already done" in resumed.stderr
    assert trials_of(tmp_path / "cut") == trials_of(tmp_path / "found")
    assert snapshot(tmp_path / "cut")["best.toml"] == snapshot(tmp_path / "found")["best.toml"]

    again = search(pumps, "--resume", output="cut", trials=6)
    assert (again.returncode, again.stdout) == (0, resumed.stdout)


def test_interrupted_before_a_trial_has_ended(pumps, search, tmp_path):
    """It does not speak of trials that there are not, and says how to go on."""
    space, found = tmp_path / "space.toml", tmp_path / "found"
    space.write_text('[space]\nheads = ["q"]\nmodel = ["full"]\n')
    command = ["search", pumps, "--space", space, "-j", "1", "-o", found]
    cut = subprocess.Popen(
        [*COMMAND, *map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while cut.poll() is None and not (found / "search.json").exists():
        time.sleep(0.01)
    os.killpg(cut.pid, signal.SIGINT)
    told = cut.communicate(timeout=120)[1]
    assert cut.returncode == 130, told
    assert not (found / "trials.csv").exists()
    assert "has the trials that ended" not in told
    assert f"no trial has ended yet; --resume begins in {found} with the first one" in told


def test_what_does_not_fit_the_folder_is_refused(pumps, search, space_file, tmp_path):
    assert search(pumps, trials=1).returncode == 0
    before = snapshot(tmp_path / "found")
    other_space = tmp_path / "space.toml"
    other_space.write_text(space_file.read_text().replace("[5, 10]", "[5, 8]"))
    for arguments, words in (
        ([], "holds another search: --resume goes on with it"),
        (["--resume", "--seed", "1"], "with other seed"),
        (["--resume", "--space", other_space], "with other space"),
        (["--resume", *LABELS], "with other groups, data"),
    ):
        refused = search(pumps, *arguments, trials=2)
        assert refused.returncode == 2, refused.stderr
        assert words in refused.stderr
    assert snapshot(tmp_path / "found") == before
    nothing = search(pumps, "--resume", output="nowhere")
    assert nothing.returncode == 2
    assert "holds no search to go on with" in nothing.stderr


def test_a_trial_that_fails_is_counted_and_the_search_goes_on(pumps, search, tmp_path):
    """Windows of 150 rows leave nothing to fit on; those of 5 do."""
    space = tmp_path / "space.toml"
    space.write_text(
        '[space]\nwindow_length = [5, 150]\nheads = ["t2:window-mean"]\nfit_share = [0.75]\n'
        "[objective]\nmax_false_share = 1.0\n"
    )
    found = search(pumps, "--json", space=space, trials=6)
    assert found.returncode == 0, found.stderr
    rows = trials_of(tmp_path / "found")
    failed = [row for row in rows if row["value"] == ""]
    assert 0 < len(failed) < 6
    assert all(row["window_length"] == "150" for row in failed)
    assert all("other-0" in row["error"] for row in failed)
    assert json.loads(found.stdout)["n_failed"] == len(failed)
    assert "failed: " in found.stderr

    space.write_text("[space]\nwindow_length = [150]\n")
    none = search(pumps, output="none", space=space, trials=2)
    assert none.returncode == 5
    assert "all 2 trials failed, the first one: other-0" in none.stderr
    assert not (tmp_path / "none" / "best.toml").exists()


def test_limits_that_nothing_keeps(pumps, search, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text(
        '[space]\nheads = ["z-max:window-mean"]\nfactor = [0.2]\n[objective]\nmax_false_share = 0.0\n'
    )
    found = search(pumps, space=space, trials=1)
    assert found.returncode == 1
    assert "none of 1 trials keeps within the limits" in found.stderr
    assert "wider limits in [objective]" in found.stderr
    assert trials_of(tmp_path / "found")[0]["keeps limits"] == "no"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[space]\nwindows = [5]", "unknown key windows in [space]; known there: window_length"),
        ("[spaces]", "unknown table spaces"),
        ("space = 1", "space must be a table"),
        ("[space]\nk = [0]", "[space] k:"),
        ("[space]\nk = { low = 3, high = 1 }", "[space] k: low must be below high"),
        ("[space]\nk = { low = 1 }", "a range needs low and high"),
        ("[space]\nk = { low = 1, high = 2, step = 1 }", "unknown key step of a range"),
        ("[space]\nk = [1.5]", "[space] k: takes whole numbers, not 1.5"),
        ("[space]\nk = []", "an empty list leaves nothing to choose"),
        ("[space]\nk = [1, 1]", "the same stands there twice: 1 and 1"),
        ("[space]\nfactor = [1, 1.0]", "the same stands there twice: 1 and 1.0"),
        ("[space]\nheads = ['t2', 't2:window-mean']", "twice: 't2' and 't2:window-mean'"),
        ("[space]\nheads = ['q', 't2+l1', 'l1 + t2']", "twice: 't2+l1' and 'l1 + t2'"),
        ("[space]\nheads = ['t2+t2:window-mean']", "[space] heads: 't2+t2:window-mean' names a head twice"),
        ("[space]\nchannels = [['Current'], ['Current']]", "twice: ['Current'] and ['Current']"),
        (
            "[space]\nchannels = [['Current', 'Pressure'], ['Pressure', 'Current']]",
            "twice: ['Current', 'Pressure'] and ['Pressure', 'Current']",
        ),
        ("[space]\nchannels = [['Current', 'Current']]", "a channel stands twice in ['Current', 'Current']"),
        ("[space]\nfactor = { low = 0.8, high = inf }", "[space] factor: takes finite numbers, not inf"),
        ("[space]\nfactor = { low = nan, high = 2.0 }", "[space] factor: takes finite numbers, not nan"),
        ("[space]\nfactor = [inf]", "[space] factor: takes finite numbers, not inf"),
        ("[space]\nnoise = [nan]", "[space] noise: takes finite numbers, not nan"),
        (f"[space]\nfactor = [{10**400}]", "[space] factor: takes finite numbers, not inf"),
        (f"[space]\nfactor = [{'9' * 5000}]", "space.toml: "),
        (
            "[space]\nwindow_length = { low = 5, high = 100000000000000000000000 }",
            "[space] window_length: window_length must be at most 16777216",
        ),
        ("[space]\nk = { low = 1, high = 20000 }", "[space] k: the consecutive rule has"),
        ("[objective]\nmax_far = nan", "[objective] max_far is not a finite number"),
        ("[space]\nfactor = { low = 0.0, high = 2.0, log = true }", "must begin above 0"),
        ("[space]\nfit_share = [1.5]", "[space] fit_share: fit_share must lie above 0"),
        ("[space]\nheads = { low = 1, high = 2 }", "must be a list of words"),
        ("[space]\nheads = ['t3']", "'t3' names no heads"),
        ("[space]\nheads = ['l1:window-mean']", "[space] heads: of can be residual"),
        ("[space]\nmodel = ['huge']", "[space] model: models can be"),
        ("[space]\nactivation = ['gelu']", "[space] activation: can be relu, tanh"),
        ("[space]\nscaler = ['log']", "[space] scaler: can be standard, min-max, robust, not log"),
        ("[space]\nchannels = [['Speed']]", "no channel is called 'Speed'; there are: Accelerometer1RMS"),
        ("[space]\nchannels = 'all'", 'must be "any", or a list of lists of names'),
        ("[space]", "[space] is empty"),
        ("[objective]\nmax_far = 2.0", "[objective] max_far must lie between 0 and 1"),
        ("[objective]\nfar = 0.1", "[objective] unknown key far"),
        ("[space", "space.toml: "),
    ],
)
def test_a_space_that_makes_no_sense(pumps, tmp_path, text, words):
    """In the words of whoever wrote it, before anything is tried or written."""
    path = tmp_path / "space.toml"
    path.write_text(text + "\n")
    wanted = Wanted(trials=1, settings=BuildSettings(), space_file=path)
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        run_search(pumps, tmp_path / "found", wanted, 1, PlainProgress())
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(
    ("groups", "code", "words"),
    [
        (("pipes",), 2, "--labels-of pipes: no such folder of recordings in"),
        (("valve",), 5, "has no column 'anomaly' of labels, and --labels-of asks for them"),
        ((), 5, "leaves 25 to hold out, at least 60"),
    ],
)
def test_data_that_cannot_be_searched(pumps, tmp_path, groups, code, words):
    data = tmp_path / "data"
    shutil.copytree(pumps, data)
    for path in data.rglob("*.csv"):
        path.write_text(path.read_text().replace("anomaly", "verdict", 1))
    form = tmp_path / "format.toml"
    form.write_text(format_toml(replace(PUMP, train=TrainSpan(rows=100), marks=())))
    with pytest.raises(EdgeAdError, match=re.escape(words)) as raised:
        run_search(
            data,
            tmp_path / "found",
            Wanted(trials=1, settings=BuildSettings(), labels_of=groups, format_file=form),
            1,
            PlainProgress(),
        )
    assert raised.value.exit_code == code
    assert not (tmp_path / "found").exists()


def test_a_group_whose_name_no_file_could_tell(pumps, search, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(pumps / "valve", data / os.fsdecode(b"b\xff"))
    refused = search(data, "--labels-of", os.fsdecode(b"b\xff"))
    assert refused.returncode == 2, refused.stderr
    assert "the name of this folder is not UTF-8" in refused.stderr
    assert "rename the folder" in refused.stderr
    assert not (tmp_path / "found").exists()


def test_labels_without_an_anomaly(pumps, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(pumps, data)
    for path in data.rglob("*.csv"):
        path.write_text(re.sub(r";1;", ";0;", path.read_text()))
    wanted = Wanted(trials=1, settings=BuildSettings(), labels_of=("valve",))
    with pytest.raises(DataError, match="nothing to choose by: name other groups"):
        run_search(data, tmp_path / "found", wanted, 1, PlainProgress())


def test_without_the_optimizer_it_says_what_to_install(pumps, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_ad.toolchain.search.search.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install 'edge-ad[search]'")):
        run_search(pumps, tmp_path / "found", Wanted(trials=1, settings=BuildSettings()), 1, PlainProgress())
    assert not (tmp_path / "found").exists()


def test_one_recording_alone(pumps, search, tmp_path):
    """A file has no folder; its group is called '.'."""
    found = search(pumps / "valve" / "0.csv", "--labels-of", ".", trials=2, jobs=2)
    assert found.returncode == 0, found.stderr
    assert load_settings(tmp_path / "found" / "best.toml").protocol.labels_of == (".",)
