"""A few thousand of the lines that `tools/fuzz_sources.py` sends by the million."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[3] / "tools" / "fuzz_sources.py"
LINES = 6000


@pytest.mark.parametrize("kind", ["file", "follow", "stdin", "tcp", "serial", "mqtt"])
def test_garbled_lines_through_every_source(kind):
    if kind == "serial" and find_spec("serial") is None:
        pytest.skip("needs pyserial")
    if kind == "mqtt" and (
        find_spec("paho") is None or not shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    ):
        pytest.skip("needs paho-mqtt and mosquitto")
    result = subprocess.run(
        [sys.executable, TOOL, "--lines", str(LINES), "--seed", "7", "--only", kind],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    for row in json.loads(result.stdout):
        blanks = 0 if kind == "mqtt" else row["blank"]
        assert row["lines"] == row["samples"] + blanks + row["headers"]
        assert row["lines"] > 0.9 * LINES
        assert row["bad"] > 500
        assert row["states"]["normal"] > 500
