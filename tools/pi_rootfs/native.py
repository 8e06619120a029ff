"""Builds a root of another processor faster: small programs of this machine stand in for emulated ones.

Most of an emulated build's time goes into starting sed, rm, tar and the like thousands of times, and into
unpacking archives. What these do is the same on every processor. So, while a root is being built, a folder
with this machine's own comes before the others on PATH. The libraries they need are mounted where the
root has nothing: Debian keeps those of each processor in a folder of its own
(https://wiki.debian.org/Multiarch/Tuples). Whatever depends on the processor or on the release (dpkg itself,
python, perl, ldconfig, uname) is the root's.
"""

from __future__ import annotations

import platform
import shlex
import shutil
from pathlib import Path

from pi_rootfs import host

PROGRAMS = (
    *("basename", "cat", "chgrp", "chmod", "chown", "cmp", "cp", "cut", "date", "dirname", "expr", "head"),
    *(
        "install",
        "ln",
        "ls",
        "md5sum",
        "mkdir",
        "mktemp",
        "mv",
        "readlink",
        "rm",
        "rmdir",
        "sha256sum",
        "sort",
    ),
    *("stat", "tail", "tee", "test", "touch", "tr", "uniq", "wc", "sed", "grep", "egrep", "find", "xargs"),
    *("tar", "gzip", "xz", "dpkg-deb", "dpkg-split", "openssl", "ssh-keygen"),
)
_TUPLE = "x86_64-linux-gnu"
_LOADER = Path("/lib64/ld-linux-x86-64.so.2")
"""Written in every program of this processor. Packages of others remove the folder from a root."""
_MOUNTED = Path("/run/native")
"""In the root. With `ld.so` in it not longer than the above."""


def command(root: Path, tools: Path, argv: list[str]) -> list[str]:
    """`argv`, a debootstrap of another processor's `root`, with this machine's programs in place.

    Must be executed in a mount namespace of its own. `tools` is a folder to be made for the programs. Where
    this machine is not laid out as expected, `argv` itself: the build only takes longer.
    """
    libraries = _libraries()
    chroot = host.which("chroot")
    if libraries is None or chroot is None:
        return argv
    shutil.rmtree(tools, ignore_errors=True)
    tools.mkdir(parents=True)
    for name in PROGRAMS:
        path = host.which(name)
        if path is not None:
            _copy(Path(path), tools / name)
    shutil.copy2(_LOADER, tools / "ld.so")
    shutil.copy2(chroot, tools / "chroot")
    # Debootstrap sets PATH itself just before it calls chroot, so chroot is where ours can be put first.
    wrapper = tools / "chroot-wrapper"
    wrapper.write_text(
        f'#!/bin/sh\nPATH={_MOUNTED}:$PATH exec {shlex.quote(str(tools / "chroot"))} "$@"\n',
    )
    wrapper.chmod(0o755)
    lines = ["set -e"]
    for source, target in (
        (libraries, _in(root, libraries)),
        (tools, _in(root, _MOUNTED)),
        (wrapper, Path(chroot)),
    ):
        if source.is_dir():
            target.mkdir(parents=True)
        lines.append(shlex.join(["mount", "--bind", str(source), str(target)]))
        lines.append(shlex.join(["mount", "-o", "remount,bind,ro", str(target)]))
    return ["sh", "-c", "\n".join([*lines, f"exec {shlex.join(argv)}"])]


def tidy(root: Path, tools: Path) -> None:
    """Remove the folders that were mounted on, outside of that namespace."""
    libraries = _libraries()
    if libraries is None:
        return
    for folder in (_in(root, libraries), _in(root, _MOUNTED)):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    shutil.rmtree(tools, ignore_errors=True)


def _copy(program: Path, target: Path) -> None:
    """With another place for the loader, which is the text of a program header (elf(5), PT_INTERP)."""
    old, new = bytes(_LOADER) + b"\0", bytes(_MOUNTED / "ld.so") + b"\0"
    target.write_bytes(program.read_bytes().replace(old, new.ljust(len(old), b"\0"), 1))
    target.chmod(0o755)


def _in(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _libraries() -> Path | None:
    """Folder of this machine's libraries, where it is laid out as Debian and Ubuntu are."""
    folder = Path("/usr/lib", _TUPLE)
    known = platform.machine() == "x86_64" and Path("/lib").is_symlink() and _LOADER.exists()
    return folder if known and folder.is_dir() else None
