"""The files of firmware_configs/ come along with a wheel."""

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge_ad.profiles import all_profiles
from edge_ad.profiles.files import FOLDER

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "edge_ad/profiles/firmware_configs"


def run(*command, cwd):
    result = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the wheel is made of: a build leaves folders behind in its source."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    unwanted = shutil.ignore_patterns("__pycache__", "toolchain", "cli", "runtime")
    shutil.copytree(ROOT / "edge_ad", source / "edge_ad", symlinks=True, ignore=unwanted)
    shutil.copytree(ROOT / "firmware_configs", source / "firmware_configs")
    return source


def test_in_a_source_tree_the_folder_is_a_link():
    assert FOLDER.is_symlink()
    assert FOLDER.resolve() == ROOT / "firmware_configs"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("setuptools") is None, reason="needs setuptools")
def test_an_installed_wheel_has_them(source, tmp_path):
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, source, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if name.startswith(f"{PACKAGE}/")}
    assert packed == {f"{PACKAGE}/{path.name}": path.read_bytes() for path in FOLDER.iterdir()}
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(*pip, "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    code = """
import edge_ad.profiles as profiles
from edge_ad.profiles.files import FOLDER
assert not FOLDER.is_symlink()
profiles.firmware_file("edge-ad-agent.service")
print(*[profile.name for profile in profiles.all_profiles()])
"""
    names = run(python, "-c", code, cwd=tmp_path).split()
    assert names == [profile.name for profile in all_profiles()]
