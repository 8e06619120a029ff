"""Running programs on the board, with what they say turned into an error of ours."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_ad.runtime.install.progress import InstallError

_LONGEST_TELL = 600


def run(
    words: Sequence[str | Path],
    what: str,
    *,
    account: str | None = None,
    time_limit_s: float = 1800,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a program prints. Raises InstallError that says what failed, with the end of what it said."""
    code, output = attempt(words, account=account, time_limit_s=time_limit_s, environment=environment)
    if code:
        raise InstallError(f"{what}: {tail(output) or f'{shlex.join(map(str, words))} ended with {code}'}")
    return output


def attempt(
    words: Sequence[str | Path],
    *,
    account: str | None = None,
    time_limit_s: float = 1800,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Exit code and output, whatever they are; 127 where there is no such program, 124 where time ran out."""
    command = list(map(str, words))
    if account is not None and os.geteuid() == 0:
        command = ["runuser", "-u", account, "--", *command]
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=time_limit_s,
            cwd="/",
            env=os.environ | {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"} | dict(environment or {}),
        )
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return 124, f"{shlex.join(command)} did not end within {time_limit_s:g} s"
    return result.returncode, result.stdout.decode(errors="replace")


def tail(output: str) -> str:
    """The last lines of what a program said, as one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    text = " / ".join(lines[-6:])
    return text if len(text) <= _LONGEST_TELL else f"… {text[-_LONGEST_TELL:]}"
