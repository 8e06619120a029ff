"""A recording of SKAB, with changepoints, through the whole chain."""

import json
import shutil

import numpy as np
import pytest

from edge_ad.toolchain.evaluation.nab import PROFILES, changepoints
from tests.helpers import edge_ad

CONFIG = """
models = ['tiny']
precisions = ['float32']
[training]
epochs = 1
[protocol]
chosen_on = 'nothing'
labels_of = ['valve2']
"""


@pytest.fixture(scope="module")
def skab(shared_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("skab")
    for group in ("valve2", "other"):
        (root / "data" / group).mkdir(parents=True)
        shutil.copy(shared_data / "skab" / group / "3.csv", root / "data" / group)
    (root / "my.toml").write_text(CONFIG)
    build = [
        "build",
        root / "data",
        "--preset",
        "skab",
        "--config",
        root / "my.toml",
        "--allow-unchecked",
        "-j",
        "1",
    ]
    result = edge_ad(*build, "-o", root / "build")
    assert result.returncode == 0, result.stderr
    result = edge_ad("evaluate", root / "data", "--build", root / "build", "--json")
    assert result.returncode == 0, result.stderr
    return root, json.loads(result.stdout)


def figures(found, detector, rule="streaming", scope="all"):
    for entry in found["scopes"]:
        if (entry["scope"], entry["detector"], entry["rule"]) == (scope, detector, rule):
            return entry["figures"]
    raise AssertionError((scope, detector, rule))


def test_the_figures_are_those_of_the_build(skab):
    root, found = skab
    summary = json.loads((root / "build" / "summary.json").read_text())
    for row in summary["rows"]:
        ours = figures(found, "tiny-float32", row["rule"])
        assert [ours[name]["median"] for name in ("f1", "far", "mar")] == [row["f1"], row["far"], row["mar"]]
    assert found["untouched"] == ["other"]
    assert any("nothing" in line for line in found["choices"])
    assert any("0.929" in line for line in found["caveats"])


def test_the_changepoints_are_those_of_the_file(skab):
    root, found = skab
    scores = {name: figures(found, "always on")[f"nab_{name}"]["median"] for name in PROFILES}
    together = None
    for path in (root / "data" / "valve2" / "3.csv", root / "data" / "other" / "3.csv"):
        columns = np.genfromtxt(path, delimiter=";", names=True, dtype=None, encoding="utf-8")
        times = columns["datetime"].astype("datetime64[s]").astype(float)[400:]
        labelled = columns["changepoint"][400:] == 1
        assert labelled.any()
        one = changepoints(times, labelled, np.ones(len(times), bool))
        together = one if together is None else together + one
    assert scores == {name: pytest.approx(together.score(profile)) for name, profile in PROFILES.items()}


def test_labels_that_were_looked_at_cannot_be_unseen(skab):
    root, _ = skab
    result = edge_ad("evaluate", root / "data", "--build", root / "build", "--labels-of", "other", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["untouched"] == []
