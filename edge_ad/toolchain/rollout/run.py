"""A rollout by Ansible, from the folder that holds it."""

from __future__ import annotations

from pathlib import Path

from edge_ad.errors import DeployError
from edge_ad.toolchain.rollout.ansible import run_ansible
from edge_ad.toolchain.rollout.plan import PLAYBOOK_FILE

_STOPPED = (0, 2, 4)
"""Of ansible-playbook: all well; a play failed, as a verdict does; hosts that cannot be reached."""


def run_rollout(folder: Path, *, check: bool) -> bool:
    """Run the playbook; whether all of it went well. What it says goes to standard error.

    `check`: change nothing. Raises DeployError where Ansible itself could not work, MissingDependencyError.
    """
    words = ["ansible-playbook", PLAYBOOK_FILE, *(["--check", "--diff"] if check else [])]
    code = run_ansible(words, capture=False, cwd=folder).returncode
    if code not in _STOPPED:
        raise DeployError(f"ansible-playbook ended with {code}; what it said stands above")
    return code == 0


def check_syntax(folder: Path) -> None:
    """Let Ansible read the playbook. Raises DeployError with what it said."""
    result = run_ansible(["ansible-playbook", "--syntax-check", PLAYBOOK_FILE], capture=True, cwd=folder)
    if result.returncode:
        raise DeployError(f"Ansible does not take the playbook in {folder}: {result.stderr.strip()[-1000:]}")
