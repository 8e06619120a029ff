"""All checks, in the order in which a person would ask: the system first, then what runs on it."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge_ad.runtime.doctor.agent_files import AgentFiles
from edge_ad.runtime.doctor.agents import agents
from edge_ad.runtime.doctor.clock import clock
from edge_ad.runtime.doctor.device_profile import device_profile
from edge_ad.runtime.doctor.disks import disks
from edge_ad.runtime.doctor.engines import engines
from edge_ad.runtime.doctor.environment import environment
from edge_ad.runtime.doctor.extras import extras
from edge_ad.runtime.doctor.finding import Finding, fail, ok, warn
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.memory import memory
from edge_ad.runtime.doctor.permissions import permissions
from edge_ad.runtime.doctor.probing import Probe
from edge_ad.runtime.doctor.processor import processor
from edge_ad.runtime.doctor.service import service
from edge_ad.runtime.doctor.stores import stores
from edge_ad.runtime.doctor.unit import read_unit
from edge_ad.runtime.doctor.wheels import interpreter_wheel
from edge_ad.runtime.doctor.writing import writing


@dataclass(frozen=True)
class Subject:
    """What is examined besides the machine itself."""

    store: Path
    files: AgentFiles | None = None
    """Of the agent's configuration; None where none was named."""

    @property
    def folders(self) -> dict[str, Path]:
        """Folders that a service writes, by what they are for."""
        spool = self.files.spool if self.files else None
        return {"store": self.store, "spool": spool.absolute().parent if spool else self.store / "agent"}


def default_store() -> Path:
    """As `edge_ad.runtime.store.store` has it, which cannot be asked: it loads numpy."""
    system = Path("/var/lib/edge-ad")
    if os.geteuid() == 0 or system.is_dir():
        return system
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "edge-ad"


def examine(machine: Machine, subject: Subject) -> Iterator[Finding]:
    """Every finding as soon as there is one.

    What is heavy, or may die, goes on in a process of its own meanwhile; see `probe`.
    """
    probe = Probe(machine, subject.store)
    try:
        for name, check in checks(machine, subject, probe):
            for finding in _whatever_happens(name, check):
                yield replace(finding, fix=tuple(_as_typed_here(line, subject.store) for line in finding.fix))
    finally:
        probe.close()


def checks(
    machine: Machine, subject: Subject, probe: Probe
) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    """The groups of checks by name, each to be called."""
    store, files, folders = subject.store, subject.files, subject.folders
    unit = read_unit(machine)
    return [
        ("python", lambda: environment(machine)),
        ("interpreter-wheel", lambda: interpreter_wheel(machine)),
        ("device-profile", lambda: device_profile(machine)),
        ("processor", lambda: processor(machine)),
        ("memory", lambda: memory(machine)),
        ("clock", lambda: clock(machine)),
        ("disks", lambda: disks(machine, folders)),
        ("writing", lambda: writing(machine, folders)),
        ("configuration", lambda: _configuration(files)),
        ("service", lambda: service(unit, files)),
        ("agents", lambda: agents(machine, default_store())),
        ("permissions", lambda: permissions(machine, unit.account(machine), folders, files)),
        ("extras", lambda: extras(machine, files)),
        ("engines", lambda: engines(machine, probe.facts())),
        ("store", lambda: stores(machine, probe.facts(), store)),
    ]


def _configuration(files: AgentFiles | None) -> Iterator[Finding]:
    if files is None:
        return
    if files.problem:
        yield fail(
            "configuration",
            f"{files.path}: {files.problem}",
            f"edge-ad agent --check {shlex.quote(str(files.path))}",
        )
    else:
        yield ok("configuration", f"{files.path} can be read; the agent checks it as a whole when it starts")


def _whatever_happens(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A group's findings; one that fails itself must not keep the others from being told."""
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001  a machine in a state that nobody thought of
        where = traceback.extract_tb(error.__traceback__)[-1]
        yield warn(
            name,
            f"this check itself failed: {type(error).__name__}: {error} (line {where.lineno} of "
            f"{where.name})",
            "edge-ad doctor --json  # please report it with this",
        )


def _as_typed_here(line: str, store: Path) -> str:
    """A command of ours as it works on this machine: by its path where it is on nobody's PATH, as on a board
    that was deployed to; and under the account that the store belongs to.
    """
    program = Path(sys.argv[0])
    if program.name != "edge-ad" or not program.is_absolute() or shutil.which("edge-ad"):
        return line
    if line.startswith("edge-ad ") and "# on the workstation" not in line:
        owner = _other_owner(store)
        as_owner = f"sudo -u {owner} " if owner and "--store" in line else ""
        return f"{as_owner}{program}{line.removeprefix('edge-ad')}"
    return line.replace("sudo edge-ad ", f"sudo {program} ")


def _other_owner(store: Path) -> str | None:
    try:
        uid = store.stat().st_uid
        return None if uid == os.geteuid() else pwd.getpwuid(uid).pw_name
    except (OSError, KeyError):
        return None
