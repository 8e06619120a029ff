"""The dependency rules of the layout, as pyproject.toml states them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent.name for path in (ROOT / "edge_ad").glob("*/__init__.py"))


def test_import_contracts():
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_its_rule(package):
    text = (ROOT / "edge_ad" / package / "__init__.py").read_text()
    assert "Rule of this folder:" in text.split('"""')[1]


def test_the_command_line_starts_without_numpy_or_tensorflow():
    code = "import sys, edge_ad.cli; print(sorted({m.split('.')[0] for m in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for module in ("numpy", "tensorflow", "ai_edge_litert"):
        assert f"'{module}'" not in result.stdout
