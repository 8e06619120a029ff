"""Ansible's own programs, beside this Python: nothing of it is imported."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_ad.errors import MissingDependencyError

_END_WITHIN_S = 10.0
_OURS = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_DEPRECATION_WARNINGS": "0",
    "ANSIBLE_LOCALHOST_WARNING": "0",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "1",
    "PYTHONUNBUFFERED": "1",
}


def dump_yaml(value: Any) -> str:
    """YAML for people: keys in the order given. Raises MissingDependencyError."""
    if find_spec("yaml") is None:
        raise _missing()
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110))


def run_ansible(
    words: Sequence[str], *, capture: bool, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of its programs to its end. Raises MissingDependencyError.

    Without `capture`, what it says goes to our standard error, where progress belongs.
    """
    program = _program(words[0])
    environment = {**os.environ, **_OURS}
    if cwd is not None:
        environment["ANSIBLE_CONFIG"] = str((cwd / "ansible.cfg").resolve())
    # Ansible refuses a locale that is not UTF-8, as that of a service or a cron job may be.
    if "utf" not in environment.get("LC_ALL", environment.get("LANG", "")).lower():
        environment["LC_ALL"] = "C.UTF-8"
    stdout, stderr = (subprocess.PIPE, subprocess.PIPE) if capture else (sys.stderr.fileno(),) * 2
    with subprocess.Popen(
        [program, *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        env=environment,
        cwd=cwd,
    ) as process:
        try:
            said, complained = process.communicate()
        except BaseException:  # whoever ends us ends it, in good order if it heeds that
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_WITHIN_S)
            process.kill()
            raise
    return subprocess.CompletedProcess(list(words), process.returncode, said or "", complained or "")


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise _missing()
    return found


def _missing() -> MissingDependencyError:
    return MissingDependencyError(
        "Ansible is not installed here: pip install 'edge-ad[fleet]' on the workstation"
    )
