"""Pages of real builds, and a browser to look at them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from edge_ad.toolchain.datasets.pump import simulate_pump
from tests.helpers import edge_ad
from tests.runtime.http.browser import Browser

NASTY = (
    "</script><script>window.hacked = 1</script>",
    '"><img src="http://198.51.100.1/x.png" onerror="window.hacked = 2">',
    "{{7*7}} $\\frac{1}{0}$ & '",
    '_=HYPERLINK("http://198.51.100.1")\u202etxt',
    "Temperatur in \u00b0C \u6e29\u5ea6",
)
"""Names of channels."""
UNLABELLED = """
sample_period_s = 1.0
largest_gap_s = 5.5

[input]
separator = ","
time_column = "t"
time_format = "seconds"

[train]
rows = 300
"""
QUICK = """
models = ["tiny"]

[training]
epochs = 2
"""


@pytest.fixture(scope="session")
def nasty_build(tmp_path_factory):
    """A build without labels of one recording whose channels have hostile names."""
    root = tmp_path_factory.mktemp("nasty")
    samples = simulate_pump(3, duration_s=460, episodes=[]).samples[:, : len(NASTY)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["t", *NASTY])
    writer.writerows([[i, *row] for i, row in enumerate(np.round(samples, 4).tolist())])
    (root / "plant.csv").write_text(text.getvalue())
    channels = "".join(f"[[channels]]\nname = '''{name}'''\n" for name in NASTY)
    (root / "format.toml").write_text(UNLABELLED + channels)
    (root / "build.toml").write_text(QUICK)
    arguments = [root / "plant.csv", "--format", root / "format.toml", "--config", root / "build.toml"]
    result = edge_ad("build", *arguments, "-o", root / "build", "--allow-unchecked")
    assert result.returncode == 0, result.stderr
    return root / "build"


@pytest.fixture(scope="session")
def report(small_build, tmp_path_factory):
    """The page of the small build."""
    root, _, _ = small_build
    path = tmp_path_factory.mktemp("report") / "report.html"
    result = edge_ad("report", root / "build", "-o", path)
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def telephone():
    with Browser(width=390, height=844, mobile=True) as browser:
        yield browser
