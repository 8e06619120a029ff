"""The agent's unit in the hands of systemd."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge_ad.errors import OutputError
from edge_ad.files import write_atomic
from edge_ad.runtime.install.commands import attempt, run, tail
from edge_ad.runtime.install.layout import UNIT, Layout
from edge_ad.runtime.install.progress import InstallError
from edge_ad.runtime.install.text_file import text_of

_SETTLED_S = 3.0
"""A service counts as well when it has been up for so long without being started anew."""
_PROPERTIES = "ActiveState,SubState,NRestarts,Result,StatusText,MainPID,UnitFileState"


def is_there() -> bool:
    """Whether systemd started this machine."""
    return Path("/run/systemd/system").is_dir()


def show() -> dict[str, str]:
    """Properties of the unit."""
    _, output = attempt(["systemctl", "show", UNIT, f"--property={_PROPERTIES}"], time_limit_s=30)
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


def is_active() -> bool:
    """Whether the service runs."""
    return is_there() and show().get("ActiveState") in ("active", "reloading", "activating")


def is_up() -> bool:
    """Whether it runs, and is not about to be started anew."""
    found = show() if is_there() else {}
    return (found.get("ActiveState"), found.get("SubState")) == ("active", "running")


def is_enabled() -> bool:
    """Whether it starts by itself."""
    return is_there() and show().get("UnitFileState", "").startswith("enabled")


def texts(layout: Layout) -> dict[Path, str | None]:
    """The unit's files as they are; None for one that is not there."""
    return {path: text_of(path) for path in (layout.unit, layout.drop_in)}


def write_texts(wanted: dict[Path, str | None]) -> None:
    """Make the unit's files that, and let systemd read them. Raises InstallError."""
    try:
        for path, text in wanted.items():
            if text:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, text.encode())
                path.chmod(0o644)
            else:
                path.unlink(missing_ok=True)
    except (OSError, OutputError) as error:
        raise InstallError(f"the unit cannot be written: {error}") from error
    if is_there():
        run(["systemctl", "daemon-reload"], "systemd does not take the unit", time_limit_s=60)


def enable(*, enabled: bool) -> None:
    """Whether it is to start by itself."""
    if is_there():
        word = "enable" if enabled else "disable"
        run(["systemctl", word, UNIT], f"systemd does not {word} the unit", time_limit_s=60)


def restart() -> None:
    """Start it, anew where it runs. Does not wait. Raises InstallError."""
    attempt(["systemctl", "reset-failed", UNIT], time_limit_s=30)
    run(["systemctl", "restart", "--no-block", UNIT], "systemd does not start the service", time_limit_s=60)


def reload() -> None:
    """Let newly activated bundles take over. Raises InstallError."""
    run(["systemctl", "reload", UNIT], "the service does not take the bundle over", time_limit_s=60)


def stop() -> None:
    """End it, and wait for its end."""
    attempt(["systemctl", "stop", UNIT], time_limit_s=120)


def wait_until_healthy(within_s: float, complaint: Callable[[], str]) -> str:
    """Wait until the service is up and stays so; what it says of itself.

    `complaint` tells what else is wrong, such as a bundle that was given up, or nothing. Raises InstallError
    with the end of the service's journal.
    """
    deadline = time.monotonic() + within_s
    up_since: float | None = None
    found = show()
    fewest_restarts = _restarts(found)  # a start by hand sets the count to 0, though not at once
    while time.monotonic() < deadline:
        if wrong := complaint():
            raise InstallError(f"{wrong}{_journal()}")
        fewest_restarts = min(fewest_restarts, _restarts(found))
        if found.get("ActiveState") == "failed" or _restarts(found) > fewest_restarts:
            raise InstallError(f"{_ending(found)}{_journal()}")
        if found.get("ActiveState") == "active" and found.get("SubState") == "running":
            up_since = up_since or time.monotonic()
            if time.monotonic() - up_since >= _SETTLED_S:
                return found.get("StatusText", "")
        else:
            up_since = None
        time.sleep(0.2)
        found = show()
    state = f"{found.get('ActiveState', 'not known')}, {found.get('SubState', '')}"
    raise InstallError(f"the service was not up within {within_s:g} s (it is {state}){_journal()}")


def _restarts(found: dict[str, str]) -> int:
    text = found.get("NRestarts", "")
    return int(text) if text.isdecimal() else 0


def _ending(found: dict[str, str]) -> str:
    return f"the service ended ({found.get('Result', '')})"


def _journal() -> str:
    code, output = attempt(["journalctl", "-u", UNIT, "-n", "6", "-o", "cat", "--no-pager"], time_limit_s=20)
    said = "" if code else tail(output)
    return f". Its journal: {said}" if said else ""
