"""The folder that a rollout is: playbook, role, stages, bundles, settings of Ansible."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_ad.errors import ConfigurationError, OutputError
from edge_ad.files import make_folder, write_atomic
from edge_ad.toolchain.rollout.ansible import dump_yaml
from edge_ad.toolchain.rollout.bundles import Wanted
from edge_ad.toolchain.rollout.plan import (
    PLAN_FILE,
    PLAYBOOK_FILE,
    ROLE,
    STAGES_FILE,
    Plan,
    PlannedBundle,
    plan_text,
)
from edge_ad.toolchain.rollout.stages import Stage

_ROLE_SOURCE = Path(__file__).with_name("role")
_CONFIG = """\
# Read by ansible-playbook when it is started in this folder.
[defaults]
inventory = {inventory},{stages}
roles_path = roles
host_key_checking = True
interpreter_python = auto_silent
retry_files_enabled = False
forks = {forks}
timeout = 20

[ssh_connection]
pipelining = True
# Host keys must be known, and nobody is asked for a password.
ssh_args = -o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=yes -o BatchMode=yes
"""
_HEAD = """\
# Written by edge-ad fleet rollout. From this folder: ansible-playbook {playbook}   (--check changes nothing)
# Stage by stage; where more than {percent:g} % of a stage's hosts are not well, no other stage begins.
# Not with --limit: hosts of which nothing is known count as not well.
"""


def new_plan(
    inventory: Path,
    stages: Iterable[Stage],
    bundles: dict[str, tuple[Wanted, ...]],
    max_fail_percentage: float,
    fleet: str,
) -> Plan:
    """The plan of a rollout of a fleet (its identity) that is written now."""
    planned = {
        host: tuple(PlannedBundle(w.asset, w.bundle_id, w.build_number, w.file) for w in wanted)
        for host, wanted in bundles.items()
    }
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return Plan(stamp, str(inventory.resolve()), max_fail_percentage, tuple(stages), planned, fleet)


def write_rollout(
    folder: Path,
    plan: Plan,
    bundles: dict[str, tuple[Wanted, ...]],
    *,
    forks: int = 20,
    healthy_within_s: int = 60,
) -> None:
    """Write all of it; the plan last, so that a folder with one is whole.

    `forks`: hosts that Ansible works on at once; `healthy_within_s`: how long a service may take.

    Raises ConfigurationError where there is something already, OutputError.
    """
    for path in (plan.inventory, str(folder.resolve())):
        if "," in path or "\n" in path or "%" in path:
            raise ConfigurationError(
                f"{path}: Ansible's settings take no path with a comma or %; use another"
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(
            f"{folder} is there already: name another folder, or run what is in it with --run"
        )
    make_folder(folder)
    make_folder(folder / "results")
    make_folder(folder / "bundles")
    try:
        for wanted in {w.bundle_id: w for each in bundles.values() for w in each}.values():
            shutil.copyfile(wanted.path, folder / wanted.file)
        for source in sorted(_ROLE_SOURCE.rglob("*.yml")):
            target = folder / "roles" / ROLE / source.relative_to(_ROLE_SOURCE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    except OSError as error:
        raise OutputError(f"cannot write {error.filename}: {error.strerror}") from error
    stages = (folder / STAGES_FILE).resolve()
    config = _CONFIG.format(inventory=plan.inventory, stages=stages, forks=forks)
    head = _HEAD.format(playbook=PLAYBOOK_FILE, percent=plan.max_fail_percentage)
    write_atomic(folder / "ansible.cfg", config.encode())
    write_atomic(folder / STAGES_FILE, dump_yaml(_stages(plan, healthy_within_s)).encode())
    write_atomic(folder / PLAYBOOK_FILE, (head + dump_yaml(_playbook(plan))).encode())
    write_atomic(folder / PLAN_FILE, plan_text(plan).encode())


def _group(number: int) -> str:
    return f"edge_ad_stage_{number}"


def _stages(plan: Plan, healthy_within_s: int) -> dict[str, Any]:
    """A second inventory: groups of hosts, and what each is to run."""
    groups: dict[str, Any] = {}
    for number, stage in enumerate(plan.stages, 1):
        hosts = {
            host: {"edge_ad_bundles": [bundle.__dict__ for bundle in plan.bundles[host]]}
            for host in stage.hosts
        }
        variables = {
            "edge_ad_stage": stage.name,
            "edge_ad_rollout": plan.id,
            "edge_ad_healthy_within_s": healthy_within_s,
        }
        groups[_group(number)] = {"hosts": hosts, "vars": variables}
    return groups


def _playbook(plan: Plan) -> list[dict[str, Any]]:
    plays: list[dict[str, Any]] = []
    for number, stage in enumerate(plan.stages, 1):
        title = f"Stage {number} of {len(plan.stages)}, {stage.name}"
        plays.append(
            {
                "name": title,
                "hosts": _group(number),
                "gather_facts": False,
                "become": True,
                "roles": [ROLE],
            }
        )
        limit = f"{{{{ edge_ad_max_fail_percentage | default({plan.max_fail_percentage:g}) | float }}}}"
        plays.append(_verdict(f"{title}: verdict", [_group(number)], limit))
    every = [_group(number) for number in range(1, len(plan.stages) + 1)]
    plays.append(_verdict("Every host runs what it should", every, "0"))
    return plays


def _verdict(title: str, groups: list[str], limit: str) -> dict[str, Any]:
    """A play that fails, and with it the playbook, where too many hosts are not well.

    Not Ansible's own max_fail_percentage, which stops a stage in the midst of its tasks and counts what
    failed in stages before: here every host has come to an end, rolled back where need be, before anything
    is judged.
    """
    hosts = " + ".join(f"groups['{group}']" for group in groups)
    well = (
        "edge_ad_hosts | map('extract', hostvars) | selectattr('edge_ad_outcome', 'defined') "
        "| selectattr('edge_ad_outcome.is_ok') | map(attribute='inventory_hostname') | list"
    )
    return {
        "name": title,
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "edge_ad_borne": limit,
            "edge_ad_hosts": f"{{{{ {hosts} }}}}",
            "edge_ad_well": f"{{{{ {well} }}}}",
            "edge_ad_bad": "{{ edge_ad_hosts | difference(edge_ad_well) }}",
        },
        "tasks": [
            {
                "name": title,
                "ansible.builtin.assert": {
                    "that": "100.0 * (edge_ad_bad | length) / (edge_ad_hosts | length) "
                    "<= edge_ad_borne | float",
                    "fail_msg": "not well: {{ edge_ad_bad[:50] | join(', ') }} ({{ edge_ad_bad | length }} "
                    "of {{ edge_ad_hosts | length }}; up to {{ edge_ad_borne }} % are borne)",
                    "success_msg": "well: {{ edge_ad_well | length }} of {{ edge_ad_hosts | length }}",
                },
            }
        ],
    }
