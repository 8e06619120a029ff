"""The examples in the documents are what the program reads."""

import re
from pathlib import Path

from edge_ad.toolchain.datasets.formats import load_format
from edge_ad.toolchain.settings import BuildSettings, load_settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_files(tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "formats.md").read_text(), re.S)
    path = tmp_path / "example.toml"
    path.write_text(blocks[0])
    assert load_format(path).channels[0].unit == "bar"
    path.write_text(blocks[1])
    assert load_settings(path) == BuildSettings()
