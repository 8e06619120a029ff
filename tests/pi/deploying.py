"""`edge-ad deploy` as a test runs it: against a real sshd, with every event at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.forge import edited

COMMAND = [sys.executable, "-m", "edge_ad"]
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    def steps(self, state: str) -> list[str]:
        """Names of the steps of which that was said."""
        return [event["step"] for event in self.events if event["state"] == state]


@dataclass
class Deployer:
    """Commands against one board."""

    config: Path
    """Of ssh."""
    options: list[str] = field(default_factory=list)
    """Of every `deploy`."""

    def run(
        self, *words: object, at: str = "", then: Callable[[], object] | None = None, board: str = "board"
    ) -> Outcome:
        """Run `edge-ad WORDS`; when step `at` begins, do `then`."""
        command = [*COMMAND, *map(str, words), board, "--json", "--ssh-config", str(self.config)]
        if words[0] == "deploy":
            command += self.options
        events = []
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TERM": "dumb"},
        ) as process:
            assert process.stdout
            assert process.stderr
            for line in process.stdout:
                event = json.loads(line)
                events.append(event)
                if then is not None and event.get("state") == "begin" and event["step"] == at:
                    then()
            stderr = process.stderr.read()
        assert "Traceback" not in stderr, stderr
        return Outcome(process.returncode, events, stderr)

    def deploy(self, bundle: Path, *words: object, **options: Any) -> Outcome:
        """Deploy a bundle."""
        return self.run("deploy", bundle, *words, **options)


@cache
def wheelhouse(target: str) -> str:
    """Packages for boards of a kind, collected once and kept."""
    folder = ROOT / "build" / "wheelhouses" / target
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [*COMMAND, "wheelhouse", "--target", target, "-o", str(folder), "--gpio"]
    subprocess.run(command, check=True, capture_output=True)
    return str(folder)


def build(toy: Path, number: int, folder: Path) -> Path:
    """The toy bundle as a later build."""
    path = folder / f"toy-{number}.edgead"
    path.write_bytes(edited(toy.read_bytes(), lambda manifest: manifest.update(build_number=number)))
    return path


def active_build(server: Any) -> int:
    """Number of the toy's build that the board's store has active; 0 without any."""
    listed = server.ssh(
        "sudo sh -c 'cat /var/lib/edge-ad/assets/toy/state.json 2>/dev/null || echo {}'"
    ).stdout
    state = json.loads(listed)
    builds = {g["bundle_id"]: g["build_number"] for g in state.get("generations", ())}
    return builds.get(state.get("active"), 0)


def worker_pid(server: Any) -> int:
    """The process that changes the board: it leads a session, as does the shell that sshd started it by."""
    listed = server.ssh("ps -eo pid=,sid=,args=").stdout.splitlines()
    rows = [line.split(maxsplit=2) for line in listed]
    return next(
        (
            int(pid)
            for pid, sid, args in rows
            if pid == sid and "edge_ad.runtime.install" in args and "sudo" not in args
        ),
        0,
    )
