"""Taking edge_ad off a board."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from edge_ad.runtime.install import environment, systemd
from edge_ad.runtime.install.commands import attempt
from edge_ad.runtime.install.layout import Layout
from edge_ad.runtime.install.progress import Event, Say


def remove(layout: Layout, say: Say, *, purge: bool) -> None:
    """Stop the service; remove unit, environments and records. With `purge` also what the board collected.

    That is bundles, alarm events and settings. Raises InstallError; may be done again.
    """
    environment.check_link(layout)
    if layout.is_system:
        _step(say, "service", "stop the service, remove its unit", lambda: _remove_unit(layout))
    _step(say, "environment", f"remove {layout.prefix}", lambda: _remove_prefix(layout))
    if purge:
        _step(say, "data", f"remove {layout.store} and {layout.config.parent}", lambda: _purge(layout))
    else:
        kept = [str(path) for path in (layout.store, layout.config) if path.exists()]
        if kept:
            say(Event("data", "note", f"{', '.join(kept)} stay; --purge removes them"))


def _step(say: Say, name: str, text: str, do: Callable[[], None]) -> None:
    say(Event(name, "begin", text))
    do()
    say(Event(name, "done"))


def _remove_unit(layout: Layout) -> None:
    if systemd.is_there():
        systemd.stop()
        if systemd.is_enabled():
            systemd.enable(enabled=False)
    systemd.write_texts({layout.unit: None, layout.drop_in: None})
    if layout.drop_in.parent.is_dir() and not any(layout.drop_in.parent.iterdir()):
        layout.drop_in.parent.rmdir()


def _remove_prefix(layout: Layout) -> None:
    layout.bin.unlink(missing_ok=True)
    for folder in (layout.releases, layout.work / "incoming"):
        _remove(folder)
    # The lock is held until this process ends: the folder goes, the file's last name with it.
    _remove(layout.work)
    if layout.prefix.is_dir() and not any(layout.prefix.iterdir()):
        layout.prefix.rmdir()


def _purge(layout: Layout) -> None:
    _remove(layout.store)
    _remove(layout.config.parent)
    if layout.account is not None:
        attempt(["userdel", layout.account], time_limit_s=60)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
