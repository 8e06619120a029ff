"""What an installation needs of the system around it: room, Debian packages, an account, folders."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from edge_ad.runtime.doctor.disks import nearest, space_of
from edge_ad.runtime.install.commands import attempt, run, tail
from edge_ad.runtime.install.layout import Layout
from edge_ad.runtime.install.progress import InstallError

_RESERVE_BYTES = 30_000_000
"""Left free whatever happens: a full disk loses alarm events."""


def check_room(layout: Layout, needs_bytes: int) -> None:
    """Raises InstallError where there is not enough."""
    folder = nearest(layout.releases)
    space = space_of(folder)
    wanted = needs_bytes + _RESERVE_BYTES
    if space is not None and space.free_bytes < wanted:
        raise InstallError(
            f"{folder} has {space.free_bytes / 1e6:.0f} MB free, and {wanted / 1e6:.0f} MB are needed: make "
            "room (sudo apt-get clean; sudo journalctl --vacuum-size=50M), then deploy again"
        )


def missing_packages(names: tuple[str, ...]) -> list[str]:
    """Debian packages of these that are not installed."""
    missing = []
    for name in names:
        code, output = attempt(["dpkg-query", "-W", "-f", "${db:Status-Status}", name], time_limit_s=60)
        if code or output.strip() != "installed":
            missing.append(name)
    return missing


def install_packages(names: list[str], uploaded: list[Path]) -> None:
    """Install Debian packages: from the files that were uploaded, without network. Raises InstallError."""
    if os.geteuid() != 0:
        raise InstallError(f"this needs root on the board: sudo apt-get install -y {' '.join(names)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    files = [file for file in uploaded if missing_packages((_name(file),))]
    if files:
        run(["dpkg", "-i", *files], "the packages of the wheelhouse cannot be installed", environment=quiet)
        names = missing_packages(tuple(names))
    if not names:
        return
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names]
    if attempt(install, environment=quiet)[0] == 0:
        return
    attempt(["apt-get", "update", "-qq"], environment=quiet)
    code, output = attempt(install, environment=quiet)
    if code:
        raise InstallError(
            f"apt-get could not install {', '.join(names)}: {tail(output)}. Without network on the board: "
            f"on one like it that has network, apt-get install --download-only {' '.join(names)}, and put "
            "the files of /var/cache/apt/archives into the wheelhouse"
        )


def _name(file: Path) -> str:
    return file.name.partition("_")[0]


def is_prepared(layout: Layout) -> bool:
    """Whether account and folders are there."""
    if layout.account is None:
        return layout.store.is_dir()
    owner = _uid(layout.account)
    return owner is not None and layout.store.is_dir() and layout.store.stat().st_uid == owner


def prepare(layout: Layout) -> None:
    """Make the account, the store's folder and the configuration's. Raises InstallError."""
    if layout.account is None:
        layout.store.mkdir(parents=True, exist_ok=True)
        return
    if _uid(layout.account) is None:
        words = ["useradd", "--system", "--home-dir", str(layout.store), "--shell", "/usr/sbin/nologin"]
        run([*words, layout.account], f"cannot make the account {layout.account}")
    layout.config.parent.mkdir(parents=True, exist_ok=True)
    layout.store.mkdir(mode=0o750, parents=True, exist_ok=True)
    # The agent writes down there how trials go, whoever put the bundles there first.
    run(
        ["chown", "-R", f"{layout.account}:{layout.account}", layout.store],
        f"cannot hand over {layout.store}",
    )


def _uid(account: str) -> int | None:
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def readable_copy(source: Path, folder: Path) -> Path:
    """A copy that the service's account can read; what was uploaded lies in somebody's home."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    target = folder / source.name
    shutil.copyfile(source, target)
    target.chmod(0o644)
    return target
