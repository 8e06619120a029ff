"""A connection to a board through the system's `ssh`."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge_ad.errors import ConfigurationError, ConnectionFailedError, MissingDependencyError, OutputError
from edge_ad.text import printable

_ALWAYS = (
    *("-o", "StrictHostKeyChecking=yes"),
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "PermitLocalCommand=no"),
    *("-o", "RemoteCommand=none"),
    *("-o", "RequestTTY=no"),
    *("-o", "ServerAliveInterval=10"),
    *("-o", "ServerAliveCountMax=6"),
    *("-o", "LogLevel=ERROR"),
)
"""No host key is taken on trust, whatever a configuration says; a dead connection is noticed in a minute."""
_CONNECTION_LOST = 255
"""ssh's own exit code for what is not the command's."""


@dataclass(frozen=True)
class Destination:
    """A board as `ssh` takes it."""

    name: str
    """`user@host`, `host`, or a `Host` of ~/.ssh/config."""
    port: int | None = None
    identity: Path | None = None
    config: Path | None = None
    """Instead of ~/.ssh/config."""
    jump: str | None = None
    connect_timeout_s: int = 20

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith("-") or not self.name.isprintable() or " " in self.name:
            raise ConfigurationError(f"{printable(self.name)!r} is no destination: give user@host")

    def as_typed(self) -> str:
        """As a person gives it to `ssh`."""
        return _as_typed(self)

    def options(self) -> list[str]:
        """What stands before the destination."""
        words = list(_ALWAYS)
        words += ["-o", f"ConnectTimeout={self.connect_timeout_s}"]
        if self.config is not None:
            words += ["-F", str(self.config)]
        if self.port is not None:
            words += ["-p", str(self.port)]
        if self.identity is not None:
            words += ["-i", str(self.identity)]
        if self.jump is not None:
            words += ["-J", self.jump]
        if not sys.stdin.isatty():
            words += ["-o", "BatchMode=yes"]  # nobody is there to be asked
        return words


@dataclass(frozen=True)
class Answer:
    """How a command on the board ended."""

    code: int
    output: str
    errors: str


class Connection:
    """One connection that all commands share, as a context."""

    def __init__(self, destination: Destination) -> None:
        ssh = shutil.which("ssh")
        if ssh is None:
            raise MissingDependencyError("there is no ssh here: apt-get install openssh-client")
        self._ssh = ssh
        self.destination = destination
        # The path of a socket may have some 100 characters.
        self._folder = tempfile.mkdtemp(prefix="edge-ad-", dir="/tmp")
        self._control = f"{self._folder}/ssh"
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Connection:
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        if self._master is not None and self._master.poll() is None:
            self._master.terminate()
            try:
                self._master.wait(5)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, command: str, *, input_: bytes = b"", show_errors: bool = False) -> Answer:
        """Run a shell command on the board. Raises ConnectionFailedError where the connection breaks.

        `show_errors`: what it says on stderr goes to ours as it comes, and is not in the answer.
        """
        result = subprocess.run(
            self._words(command),
            input=input_,
            stdout=subprocess.PIPE,
            stderr=None if show_errors else subprocess.PIPE,
            check=False,
        )
        errors = (result.stderr or b"").decode(errors="replace").strip()
        if result.returncode == _CONNECTION_LOST and not self._is_up():
            raise self._lost(errors)
        return Answer(result.returncode, result.stdout.decode(errors="replace"), errors)

    def lines(self, command: str, *, input_: bytes = b"") -> Iterator[str]:
        """What a command prints, line by line as it comes. Raises ConnectionFailedError where it breaks off.

        The last item is its exit code and stderr: `exit CODE TEXT`.
        """
        with subprocess.Popen(
            self._words(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None  # noqa: S101  all were asked for
            assert process.stdout is not None  # noqa: S101
            assert process.stderr is not None  # noqa: S101
            try:
                process.stdin.write(input_)
                process.stdin.close()
                for line in process.stdout:
                    yield line.decode(errors="replace").rstrip("\n")
                errors = process.stderr.read().decode(errors="replace").strip()
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
        if code == _CONNECTION_LOST:
            raise self._lost(errors)
        yield f"exit {code} {errors}"

    def upload(self, content: bytes, path: str) -> None:
        """Write a file on the board, whole or not at all; `path` is quoted for its shell by the caller.

        Raises ConnectionFailedError, OutputError.
        """
        digest = hashlib.sha256(content).hexdigest()
        part = f"{path}.{secrets.token_hex(4)}.part"
        script = (
            f"umask 077 && cat > {part} && "
            f"echo {digest}' '{part} | sha256sum -c --quiet --status && mv {part} {path}"
        )
        answer = self.run(script, input_=content)
        if answer.code:
            self.run(f"rm -f {part}")
            raise OutputError(
                f"{Path(path).name} could not be written on {self.destination.name}: "
                f"{printable(answer.errors) or 'it did not arrive whole'}"
            )

    # Inside

    def _words(self, command: str) -> list[str]:
        if not os.path.exists(self._control):  # ssh would make a connection of its own
            raise self._lost("")
        own = ["-o", f"ControlPath={self._control}", "-o", "ControlMaster=no"]
        return [self._ssh, *own, *self.destination.options(), self.destination.name, command]

    def _connect(self) -> None:
        own = ["-o", f"ControlPath={self._control}", "-o", "ControlMaster=yes", "-o", "ControlPersist=no"]
        errors = Path(self._folder, "errors")
        with errors.open("wb") as file:
            self._master = subprocess.Popen(
                [self._ssh, *own, "-N", *self.destination.options(), self.destination.name],
                stdin=subprocess.DEVNULL if not sys.stdin.isatty() else None,
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        while not os.path.exists(self._control):
            if self._master.poll() is not None:
                raise ConnectionFailedError(explain(self.destination, errors.read_text(errors="replace")))
            time.sleep(0.02)

    def _is_up(self) -> bool:
        return self._master is not None and self._master.poll() is None

    def _lost(self, errors: str) -> ConnectionFailedError:
        why = f" ({printable(errors.splitlines()[-1])})" if errors else ""
        return ConnectionFailedError(
            f"the connection to {self.destination.name} broke{why}: the same command again goes on from there"
        )


def explain(destination: Destination, errors: str) -> str:
    """What ssh said when it could not connect, with the next step."""
    name, told = destination.name, errors.strip()
    said = printable(" / ".join(told.splitlines()[-3:])) or "ssh ended without a word"
    command = f"ssh {_as_typed(destination)}"
    if "IDENTIFICATION HAS CHANGED" in told:
        return (
            f"{name} shows another host key than the one that is known: somebody may be in between, or the "
            f"card was written anew. If you know it was: ssh-keygen -R {shlex.quote(_host(destination))}, "
            f"then {command} once, and compare the fingerprint"
        )
    if "Host key verification failed" in told or "host key is known" in told:
        return (
            f"the host key of {name} is not known here: {command} once, compare the fingerprint with what "
            "the board says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), and answer yes"
        )
    if "Permission denied" in told:
        return f"{name} does not let us in: {said}. Bring your key there: ssh-copy-id {shlex.quote(name)}"
    if "Could not resolve hostname" in told:
        return f"there is no host of that name: {said}. Is the board on? Try its address, or NAME.local"
    if "Connection refused" in told or "timed out" in told or "No route to host" in told:
        return f"{name} cannot be reached: {said}. Is the board on, and SSH enabled (sudo raspi-config)?"
    return f"{name} cannot be reached: {said}. Try: {command}"


def _as_typed(destination: Destination) -> str:
    words = ["-F", str(destination.config)] if destination.config else []
    words += ["-i", str(destination.identity)] if destination.identity else []
    words += ["-p", str(destination.port)] if destination.port else []
    words += ["-J", destination.jump] if destination.jump else []
    return shlex.join([*words, destination.name])


def _host(destination: Destination) -> str:
    host = destination.name.rpartition("@")[2]
    return f"[{host}]:{destination.port}" if destination.port not in (None, 22) else host


def quoted(words: Sequence[str]) -> str:
    """A command line for the board's shell."""
    return shlex.join(words)
