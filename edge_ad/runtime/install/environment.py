"""An environment with edge_ad in it, beside the one that runs; it counts when it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

from edge_ad.errors import OutputError
from edge_ad.files import make_durable_folder, sync_folder, write_atomic
from edge_ad.runtime.install.commands import attempt, run, tail
from edge_ad.runtime.install.layout import Layout
from edge_ad.runtime.install.order import RuntimeOrder
from edge_ad.runtime.install.progress import InstallError

_PIP = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('pip', run_name='__main__')"
"""pip from its own wheel, as ensurepip does it: no environment has to hold a copy."""
_LOAD = """
import importlib, edge_ad.cli, edge_ad.runtime.agent.agent, edge_ad.runtime.selftest
from edge_ad.runtime.interpreter import interpreter_version
for name in ("paho.mqtt.client", "serial", "waitress", "prometheus_client", "edge_ad.bundle.signing"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass
print(interpreter_version())
"""
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
KEPT = 2
"""Environments that stay: the one in service and the one before."""


def make_environment(layout: Layout, order: RuntimeOrder, uploads: Path) -> None:
    """Make the release that was ordered, from nothing. Raises InstallError, with nothing half made left."""
    folder = layout.release(order.release)
    make_durable_folder(layout.releases)
    if folder.exists():  # of an interrupted run
        shutil.rmtree(folder)
    try:
        _fill(folder, order, uploads)
        os.sync()  # pip does not: after a power cut there might be names without content
        write_atomic(folder / ".complete", b"")
        sync_folder(layout.releases)
    except (InstallError, OutputError, OSError):
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)  # the disk may be full because of it
        raise


def _fill(folder: Path, order: RuntimeOrder, uploads: Path) -> None:
    sight = ["--system-site-packages"] if order.sees_system else []
    run([sys.executable, "-m", "venv", "--without-pip", *sight, folder], f"cannot make {folder}")
    python = folder / "bin" / "python"
    words: list[str | Path] = [python, "-I", "-c", _PIP, uploads / order.pip, "install"]
    words += [
        "--no-input",
        "--no-deps",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--progress-bar=off",
    ]
    words += ["--root-user-action=ignore", "--no-warn-script-location", "--only-binary=:all:", "--no-compile"]
    if not order.from_index:
        words += ["--no-index", "--find-links", uploads]
    elif _CERTIFICATES.exists() and "PIP_CERT" not in os.environ:
        words += ["--cert", _CERTIFICATES]  # pip's own list lies inside its wheel
    code, output = attempt([*words, uploads / order.wheel, *order.requirements])
    if code:
        raise InstallError(f"pip could not install edge_ad: {tail(output)}{_advice(output, order)}")
    _start(python)


def _start(python: Path) -> None:
    """Load what the agent loads: what is built for another processor shows here.

    It also writes the bytecode of just these modules, for commands and (-OO) for the service, whose account
    cannot; that of everything, numpy's tests included, would take longer and three times the room.
    """
    ours = next(python.parent.parent.glob("lib/python3*/site-packages/edge_ad"))
    run([python, "-m", "compileall", "-q", "-o", "0", "-o", "2", ours], "the new environment does not work")
    for options in ([], ["-OO"]):
        run([python, *options, "-c", _LOAD], "the new environment does not work")


def _advice(output: str, order: RuntimeOrder) -> str:
    if "No space left on device" in output:
        return ". The disk is full: make room, then deploy again"
    if order.from_index:
        return ". Has the board no network? edge-ad wheelhouse on the workstation, then deploy --wheelhouse"
    return ". Make the wheelhouse anew for this board"


def put_in_service(layout: Layout, release: str) -> None:
    """Let `bin` lead to a release; at every moment it leads to one or the other."""
    check_link(layout)
    fresh = layout.prefix / ".bin.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("releases") / release / "bin")
    os.replace(fresh, layout.bin)
    sync_folder(layout.prefix)


def check_link(layout: Layout) -> None:
    """Raises InstallError where somebody's own environment is in the way."""
    if layout.bin.exists() and not layout.bin.is_symlink():
        raise InstallError(
            f"{layout.prefix} holds an environment that was made by hand, which is left alone. To give it "
            f"up: mv {layout.prefix} {layout.prefix}.before, then deploy again"
        )


def remove_old(layout: Layout, keep: set[str]) -> list[str]:
    """Remove releases that nothing needs any more; names of those that went."""
    removed = []
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted(layout.releases.iterdir()):
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder.name)
    return removed
