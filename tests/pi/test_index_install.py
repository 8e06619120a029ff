"""Installing by hand, from the package index, where pip takes the machine for something else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNAME = """
import os
_uname = os.uname
os.uname = lambda: os.uname_result((*_uname()[:4], "aarch64"))
"""
"""What Python sees of a 64-bit kernel under a 32-bit system: Raspberry Pi OS (32-bit) on a Pi 4 or 5."""


@pytest.fixture(scope="module")
def pip(tmp_path_factory):
    """`pip install --dry-run` in an environment of a 32-bit system on a 64-bit kernel."""
    import pi_rootfs

    wheels = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", wheels, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = wheels.glob("*.whl")
    with pi_rootfs.Machine.open("armhf-bookworm", tmp_path_factory.mktemp("board")) as machine:
        (machine.path / "opt" / wheel.name).write_bytes(wheel.read_bytes())
        (machine.path / "opt/uname").mkdir()
        (machine.path / "opt/uname/sitecustomize.py").write_text(UNAME)
        (pip,) = (machine.path / "usr/share/python-wheels").glob("pip-*.whl")
        machine.run(["python3", "-m", "venv", "--without-pip", "--system-site-packages", "/opt/env"])

        def run(extra, *packages):
            return machine.run(
                [
                    *(
                        "/opt/env/bin/python",
                        f"/usr/share/python-wheels/{pip.name}/pip",
                        "install",
                        "--dry-run",
                    ),
                    *(f"/opt/{wheel.name}{extra}", *packages),
                ],
                env={"PYTHONPATH": "/opt/uname"},
                check=False,
            )

        yield run


def test_the_extra_asks_for_what_a_32_bit_system_cannot_load(pip):
    """pip evaluates its conditions for the kernel. Should this ever pass, the docs can say less."""
    result = pip("[device]")
    assert result.returncode == 1
    assert "No matching distribution found for ai-edge-litert" in result.stderr


def test_what_the_docs_say_to_install_instead(pip):
    packages = ["tflite-runtime==2.14.0", "numpy<2"]
    assert f"'{packages[0]}' '{packages[1]}'" in (ROOT / "docs" / "raspberry-pi.md").read_text()
    result = pip("", *packages)
    assert result.returncode == 0, result.stderr
    would = result.stdout.splitlines()[-1]
    assert would.startswith("Would install")
    assert "tflite-runtime-2.14.0" in would
    assert "numpy" not in would  # Debian's is there
