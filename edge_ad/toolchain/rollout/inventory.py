"""Inventories: ours written from a fleet's hosts, anybody's read through ansible-inventory."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ad.errors import ConfigurationError
from edge_ad.toolchain.rollout.ansible import dump_yaml, run_ansible
from edge_ad.toolchain.rollout.hosts import Host, check_asset_name, check_host_name

GROUP = "edge_ad"
ASSETS = "edge_ad_assets"
"""Variable of a host: names of the assets that it watches."""


@dataclass(frozen=True)
class InventoryHost:
    """A host as an inventory has it."""

    name: str
    assets: tuple[str, ...]


def inventory_yaml(hosts: Iterable[Host], *, ssh_config: Path | None, identity: Path | None) -> str:
    """An inventory in YAML: group `edge_ad`, how each host is reached, and its assets.

    It holds no password: keys and agents are those of ssh. `ssh_config` as ssh -F, `identity` as ssh -i.
    """
    found = {}
    for host in hosts:
        entry: dict[str, Any] = {"ansible_host": host.address or host.host}
        if host.port != 22:
            entry["ansible_port"] = host.port
        entry["ansible_user"] = host.user
        if host.user == "root":
            entry["ansible_become"] = False  # a small system may have no sudo
        entry[ASSETS] = list(host.assets)
        found[host.host] = entry
    group: dict[str, Any] = {"hosts": found}
    variables = {}
    if ssh_config is not None:
        variables["ansible_ssh_common_args"] = f"-F {shlex.quote(str(ssh_config.resolve()))}"
    if identity is not None:
        variables["ansible_ssh_private_key_file"] = str(identity.resolve())
    if variables:
        group["vars"] = variables
    return dump_yaml({GROUP: group})


def read_inventory(path: Path) -> tuple[InventoryHost, ...]:
    """The hosts of any inventory that have assets, in its order.

    Raises ConfigurationError where Ansible cannot read it or no host has `edge_ad_assets`,
    MissingDependencyError without Ansible.
    """
    if not path.exists():
        raise ConfigurationError(f"there is no inventory {path}: edge-ad fleet inventory FLEET -o {path}")
    result = run_ansible(["ansible-inventory", "-i", str(path), "--list", "--export"], capture=True)
    text = result.stdout
    if result.returncode or "Unable to parse" in result.stderr or "Failed to parse" in result.stderr:
        said = " ".join(result.stderr.split())
        raise ConfigurationError(f"Ansible cannot read {path}: {said[-500:]}")
    variables = json.loads(text)["_meta"]["hostvars"] if text.strip() else {}
    groups = {k: v for k, v in json.loads(text or "{}").items() if k != "_meta"}
    found = []
    for name in _in_order(groups, variables):
        if ASSETS not in variables.get(name, {}):
            continue
        assets = variables[name][ASSETS]
        if not isinstance(assets, list) or not assets or not all(isinstance(a, str) and a for a in assets):
            raise ConfigurationError(f"{path}: {ASSETS} of {name} must be a list of assets' names")
        try:
            check_host_name(name)
            for asset in assets:
                check_asset_name(asset)
        except ValueError as error:
            raise ConfigurationError(f"{path}: {error}") from error
        found.append(InventoryHost(name, tuple(assets)))
    if not found:
        raise ConfigurationError(
            f"{path} has no host with {ASSETS}: edge-ad fleet inventory FLEET writes such a file"
        )
    return tuple(found)


def _in_order(groups: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    """Every host once: as groups name them, then those that no group does."""
    named = [host for group in groups.values() for host in group.get("hosts", ())]
    return list(dict.fromkeys([*named, *variables]))
