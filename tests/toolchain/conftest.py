"""A small build that several tests look at."""

from __future__ import annotations

import shutil

import pytest

from tests.helpers import edge_ad, pump_recording

CONFIG = """
[training]
epochs = 6
learning_rate = 0.01

[gate.reduction]  # two networks of six epochs are no like pair
f1_drop = 1.0
far_rise = 1.0
mar_rise = 1.0
min_agreement = 0.0
min_asset_agreement = 0.0
min_episode_agreement = 0.0
delay_shift = 1000.0
min_rank_correlation = -1.0
ucl_shift = 10.0
"""


@pytest.fixture(scope="session")
def small_build(tmp_path_factory):
    """A finished build of two assets, and the arguments that made it. Copy it before changing it."""
    root = tmp_path_factory.mktemp("small")
    pump_recording(root / "data" / "north.csv", 1)
    pump_recording(root / "data" / "south.csv", 2)
    (root / "build.toml").write_text(CONFIG)
    arguments = ["build", root / "data", "--config", root / "build.toml", "-o"]
    result = edge_ad(*arguments, root / "build")
    assert result.returncode == 0, result.stderr
    return root, arguments, result


@pytest.fixture
def build_copy(small_build, tmp_path):
    """The small build, to be changed."""
    root, _, _ = small_build
    shutil.copytree(root / "build", tmp_path / "build")
    return tmp_path / "build"
