"""Recordings of the simulated pump in two folders, and a search that takes seconds."""

import pytest

from tests.helpers import edge_ad, pump_recording

SPACE = """
[space]
window_length = [5, 10]
heads = ["t2:window-mean", "t2:window-moments", "z-max:window-mean"]
covariance = ["ledoit-wolf", "per-channel"]
fit_share = [0.6, 0.75]
factor = { low = 1.0, high = 3.0, log = true }
k = { low = 1, high = 6 }

[objective]
max_false_share = 0.3
max_far = 1.0
max_mar = 1.0
"""


@pytest.fixture(scope="session")
def pumps(tmp_path_factory):
    """Two groups of two recordings."""
    data = tmp_path_factory.mktemp("pumps")
    for seed, name in enumerate(("valve/0", "valve/1", "other/0", "other/1")):
        pump_recording(data / f"{name}.csv", seed)
    return data


@pytest.fixture(scope="session")
def space_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def search(space_file, tmp_path):
    """Runs a search into a folder of the test's own."""

    def run(data, *arguments, output="found", space=space_file, trials=4, jobs=1, **options):
        given = ["--space", space, "--trials", trials, "--jobs", jobs, "-o", tmp_path / output]
        return edge_ad("search", data, *given, *arguments, **options)

    return run
