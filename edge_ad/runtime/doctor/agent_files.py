"""What of an agent's configuration concerns the machine: files, devices, packages.

Read loosely: the agent itself is strict, and says what is wrong with the rest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LARGEST_FILE = 1 << 20
_SECRETS = ("password_file", "token_file", "key_file")
_DEEPEST = 8


@dataclass(frozen=True)
class AgentFiles:
    """What a configuration names."""

    path: Path
    problem: str = ""
    """Why it cannot be read; the rest is then empty."""
    spool: Path | None = None
    """File of the events that are not delivered yet; None for the default."""
    secrets: tuple[Path, ...] = ()
    """Files with passwords, tokens and private keys."""
    devices: tuple[str, ...] = ()
    """Serial ports and the like: `/dev/ttyUSB0`."""
    kinds: frozenset[str] = frozenset()
    """Of sources and sinks, such as `mqtt` and `serial`; `http` and `metrics` for what `[http]` serves."""


def read_agent_files(path: Path) -> AgentFiles:
    """Never raises; values of another type than expected are left out."""
    try:
        with path.open("rb") as file:
            tables = tomllib.loads(file.read(_LARGEST_FILE).decode())
    except OSError as error:
        return AgentFiles(path, f"it cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:  # TOML and UTF-8 errors are ValueErrors
        return AgentFiles(path, f"it is no TOML: {error}")
    pairs = list(_pairs(tables))
    agent = tables.get("agent")
    spool = agent.get("spool") if isinstance(agent, dict) else None
    return AgentFiles(
        path,
        spool=Path(spool) if isinstance(spool, str) and _is_path(spool) else None,
        secrets=tuple(
            dict.fromkeys(Path(value) for key, value in pairs if key in _SECRETS and _is_path(value))
        ),
        devices=tuple(
            dict.fromkeys(value for _, value in pairs if value.startswith("/dev/") and _is_path(value))
        ),
        kinds=frozenset({*(value for key, value in pairs if key == "kind"), *_tables(tables)}),
    )


def _is_path(text: str) -> bool:
    return bool(text) and "\0" not in text


def _pairs(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every key with a text, however deep."""
    children = value.items() if isinstance(value, dict) else (("", each) for each in value)
    for key, child in children:
        if isinstance(child, str):
            yield key, child
        elif isinstance(child, (dict, list)) and depth < _DEEPEST:
            yield from _pairs(child, depth + 1)


def _tables(tables: dict[str, Any]) -> Iterator[str]:
    """What tables of the top level amount to."""
    if "broker" in tables:
        yield "mqtt"
    if isinstance(http := tables.get("http"), dict):
        yield "http"
        if http.get("metrics") is not False:
            yield "metrics"
