"""Builds a root: debootstrap, then what the first start of a Raspberry Pi sets up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from pi_rootfs import binfmt, cache, host, native, processor
from pi_rootfs.errors import RootError
from pi_rootfs.progress import Progress, say
from pi_rootfs.recipes import ROOTS, Recipe

_GROUPS = "adm,dialout,sudo,audio,video,plugdev,users"
"""Of the ordinary user, as far as Debian has those of Raspberry Pi OS."""


def ensure(name: str) -> Path:
    """The root `name`, built if it is not in the cache.

    Raises:
        RootError: there is no such root, or it cannot be built here; the message says why.
    """
    if name not in ROOTS:
        raise RootError(f"there is no root {name!r}; there are {', '.join(ROOTS)}")
    recipe = ROOTS[name]
    path = cache.place(recipe)
    if path.exists():
        return path
    host.check(recipe.architecture)
    with cache.locked(recipe, "another process builds this root; waiting for it"):
        if not path.exists():
            _sweep(recipe)
            _build(recipe)
    return path


def _sweep(recipe: Recipe) -> None:
    """Remove what an interrupted build left, and roots that an earlier recipe of this name made."""
    for entry in cache.entries():
        name, _, _ = entry.path.name.rpartition("-")
        if name == recipe.name and (not entry.whole or entry.recipe is None):
            with suppress(RootError):  # in use
                cache.remove(entry.path)


def _build(recipe: Recipe) -> None:
    partial, log = cache.partial(recipe), cache.log(recipe)
    partial.mkdir()
    with cache.used(partial), Progress(recipe.name) as progress:
        _quick_dpkg(partial)
        _debootstrap(recipe, partial, log, progress)
        progress.last_step()
        native.tidy(partial, cache.tools(recipe))
        _finish(recipe, partial)
        partial.rename(cache.place(recipe))
    log.unlink(missing_ok=True)
    say(recipe.name, f"built in {progress.seconds:.0f} s: {cache.place(recipe)}")


_DPKG = """\
# A build that is interrupted starts anew, so nothing is gained by waiting for the disk after every file.
force-unsafe-io
# Nobody reads manuals in a test.
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
path-include=/usr/share/doc/*/copyright
"""


def _quick_dpkg(root: Path) -> None:
    folder = root / "etc/dpkg/dpkg.cfg.d"
    folder.mkdir(parents=True)
    (folder / "pi-rootfs").write_text(_DPKG)


def _debootstrap(recipe: Recipe, root: Path, log: Path, progress: Progress) -> None:
    command = [
        "debootstrap",
        f"--arch={recipe.architecture}",
        "--variant=minbase",
        f"--include={','.join(recipe.packages)}",
        f"--keyring={host.KEYRING}",
        recipe.suite,
        str(root),
    ]
    mirror = host.mirror()
    if mirror is not None:
        command.append(mirror)
    if not binfmt.native(recipe.architecture):
        command = native.command(root, cache.tools(recipe), command)
    # Mounts that debootstrap makes, and daemons that packages start, end with the namespaces, and these with
    # this process.
    apart = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--"]
    command = [*apart, *command]
    with (
        log.open("w") as record,
        subprocess.Popen(
            command,
            env=_environment(recipe),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                record.write(line)
                progress.line(line)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode != 0:
        said = log.read_text(errors="replace").splitlines()
        inner = root / "debootstrap/debootstrap.log"
        if inner.exists():
            said += [line for line in inner.read_text(errors="replace").splitlines() if " URL:" not in line]
        raise RootError(f"debootstrap for {recipe.name} failed ({log}):\n" + "\n".join(said[-12:]))


def _environment(recipe: Recipe) -> dict[str, str]:
    """Variables of a build. Of the processors that qemu knows it gets a Raspberry Pi's, as a machine does:
    programs that sign their return addresses, as trixie's do where they can, take qemu six times as long.
    """
    emulated = processor.emulated(recipe.architecture)
    model = {processor.VARIABLE: emulated.model} if emulated else {}
    plain = {"PATH": host.search_path(), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return {**os.environ, **model, **plain}


def _finish(recipe: Recipe, root: Path) -> None:
    """The ordinary user, and nothing that two copies of the root should have in common."""
    for command in (
        ["useradd", "--create-home", "--shell", "/bin/bash", "--groups", _GROUPS, "pi"],
        ["python3", "-c", f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != {recipe.python!r})"],
    ):
        done = subprocess.run(
            ["chroot", root, *command], env=_environment(recipe), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RootError(f"{' '.join(command)} failed in {root}: {done.stdout}{done.stderr}")
    rule = root / "etc/sudoers.d/010_pi-nopasswd"  # its name on Raspberry Pi OS
    rule.write_text("pi ALL=(ALL) NOPASSWD: ALL\n")
    rule.chmod(0o440)
    (root / "etc/hostname").write_text("raspberrypi\n")
    (root / "etc/machine-id").write_text("")
    (root / "etc/dpkg/dpkg.cfg.d/pi-rootfs").unlink()
    for file in (root / "etc/ssh").glob("ssh_host_*_key*"):
        file.unlink()
    # Of the packages that were extracted before dpkg could leave something out.
    left_out = [root / "usr/share" / name for name in ("man", "info")]
    for folder in (root / "var/cache/apt/archives", root / "var/lib/apt/lists", *left_out):
        for file in folder.iterdir():
            shutil.rmtree(file) if file.is_dir() else file.unlink()
