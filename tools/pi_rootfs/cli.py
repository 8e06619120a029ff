"""The command line of this package."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pi_rootfs import binfmt, build, cache, host
from pi_rootfs.errors import RootError
from pi_rootfs.machine import USER, Machine
from pi_rootfs.recipes import ROOTS

_AT_ONCE = 3
"""Roots built side by side: one downloads while the processors are busy with the others."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    parser = argparse.ArgumentParser(prog="pi_rootfs", description="Root file systems as on a Raspberry Pi.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the roots there are, and which are built")
    one = commands.add_parser("build", help="build roots (minutes); those in the cache are left as they are")
    one.add_argument("names", nargs="+", choices=[*ROOTS, "all"], metavar="NAME")
    for command, text in (
        ("run", "run a command in a throw-away copy of a root"),
        ("shell", "a shell there"),
    ):
        one = commands.add_parser(command, help=text)
        one.add_argument("name", choices=list(ROOTS), metavar="NAME")
        one.add_argument("--user", choices=["root", USER], default="root")
        if command == "run":
            one.add_argument("argv", nargs="+", metavar="COMMAND")
    one = commands.add_parser("clean", help="remove built roots: those named, or those out of use")
    one.add_argument("names", nargs="*", metavar="NAME")
    one.add_argument("--all", action="store_true", help="every root, and our entries in binfmt_misc")
    options = parser.parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except RootError as error:
        print(f"pi_rootfs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _list(_: argparse.Namespace) -> int:
    for recipe in ROOTS.values():
        path = cache.place(recipe)
        state = path if path.exists() else "not built"
        print(f"{recipe.name:16} {recipe.machine:8} Python {recipe.python}  {state}")
    reason = host.unavailable()
    if reason is not None:
        print(f"none can be built or used here: {reason}", file=sys.stderr)
    return 0


def _build(options: argparse.Namespace) -> int:
    names = list(ROOTS) if "all" in options.names else list(dict.fromkeys(options.names))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for path in pool.map(build.ensure, names):
                print(path, flush=True)
        except KeyboardInterrupt:
            os._exit(130)  # not to wait for the threads; the kernel ends what they have started
    return 0


def _run(options: argparse.Namespace) -> int:
    argv = options.argv if options.command == "run" else ["/bin/bash", "--login"]
    with (
        tempfile.TemporaryDirectory(prefix="pi-rootfs-") as scratch,
        Machine.open(options.name, Path(scratch)) as machine,
    ):
        home = machine.environment(options.user)["HOME"]
        command = machine.command(argv, cwd=home, user=options.user)
        return subprocess.run(command, env=machine.environment(options.user), check=False).returncode


def _clean(options: argparse.Namespace) -> int:
    for entry in cache.entries():
        name = entry.recipe.name if entry.recipe else ""
        useless = entry.recipe is None or not entry.whole
        if options.all or name in options.names or (useless and not options.names):
            print(f"removing {entry.path}", file=sys.stderr)
            cache.remove(entry.path)
    if options.all:
        binfmt.forget()
    return 0


_COMMANDS = {"list": _list, "build": _build, "run": _run, "shell": _run, "clean": _clean}
