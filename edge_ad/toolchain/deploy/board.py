"""A board at the other end of a connection: what it is, and our installer running on it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_ad.bundle.codec import decode
from edge_ad.errors import DeployError
from edge_ad.runtime.install.facts import BoardFacts
from edge_ad.runtime.install.progress import Event, from_line
from edge_ad.text import printable
from edge_ad.toolchain.deploy.requirements import BoardPython
from edge_ad.toolchain.deploy.ssh import Connection, quoted
from edge_ad.toolchain.deploy.wheel import installer

START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from edge_ad.runtime.install.main import main; main()"
)
"""What the board's Python runs, with the installer's path as its first argument."""
_UPLOADS = ".cache/edge-ad/deploy"
"""Below the home of whoever logs in."""
_LOOK = (
    f"umask 077; mkdir -p {_UPLOADS} && cd {_UPLOADS} && pwd; id -u; uname -m; "
    "python3 -c 'import sys; print(\"%d.%d.%d\" % sys.version_info[:3])' 2>&1 || true; "
    "if sudo -n true 2>/dev/null; then echo sudo; else echo no-sudo; fi; sha256sum -- * 2>/dev/null"
)
"""In plain shell: nothing is known of the board yet."""


@dataclass(frozen=True)
class Login:
    """What one finds out on coming in."""

    uploads: str
    """Folder for files, as an absolute path on the board."""
    uid: int
    kernel_machine: str
    python: str
    """Its version; something else where there is none."""
    has_sudo: bool
    """Without being asked for a password."""
    present: Mapping[str, str]
    """Digest by name of what an earlier run uploaded."""


class Board:
    """A board that somebody is logged in to."""

    def __init__(
        self, connection: Connection, *, sudo_password: str | None = None, as_user: bool = False
    ) -> None:
        """`as_user`: install for the account that logs in, even where it might be root.

        Raises ConnectionFailedError, DeployError.
        """
        self._connection = connection
        self._password = sudo_password
        self.name = connection.destination.name
        self.login = self._look()
        self.is_root = not as_user and (
            self.login.uid == 0 or self.login.has_sudo or sudo_password is not None
        )
        """Whether what is done there is done by root."""
        self._present = dict(self.login.present)
        self._require_python()
        self._installer = self.upload("installer.zip", installer())

    def facts(self) -> BoardFacts:
        """What it is. Raises ConnectionFailedError, DeployError."""
        answer = self._connection.run(self._command("facts"), input_=self._stdin())
        for line in answer.output.splitlines():  # a login script may print as well
            with contextlib.suppress(ValueError, RecursionError):
                return decode(BoardFacts, json.loads(line))
        raise DeployError(f"{self.name} did not say what it is: {self._why(answer.errors)}")

    def upload(self, name: str, content: bytes) -> str:
        """Bring a file there where it is not yet; its path. Raises ConnectionFailedError, OutputError."""
        path = f"{self.login.uploads}/{name}"
        digest = hashlib.sha256(content).hexdigest()
        if self._present.get(name) != digest:
            self._connection.upload(content, quoted([path]))
            self._present[name] = digest
        return path

    def install(self, *words: str, say: Callable[[Event], None]) -> Event:
        """Run a command of the installer; `say` hears what it does; its last word.

        Raises ConnectionFailedError where the connection breaks (the board goes on by itself), DeployError
        where the installer does not come to its end.
        """
        end = None
        last = ""
        for line in self._connection.lines(self._command(*words), input_=self._stdin()):
            last = line
            event = from_line(line)
            if event is not None and event.state == "end":
                end = event
            elif event is not None:
                say(event)
        if end is None:
            raise DeployError(f"the installer did not come to its end on {self.name}: {self._why(last)}")
        return end

    def require_root(self) -> None:
        """Raises DeployError where there is no way to be root."""
        if not self.is_root:
            raise DeployError(
                f"the account that logs in on {self.name} may not be root (sudo -n true fails there): give "
                "--ask-sudo-password, or --user to install for that account alone, without a service"
            )

    def plan(self, order: str) -> list[Event]:
        """The steps of an uploaded order; `kept` is what need not be done. Raises as `install` does."""
        answer = self._connection.run(self._command("plan", order), input_=self._stdin())
        events = [event for event in map(from_line, answer.output.splitlines()) if event is not None]
        if answer.code or not events:
            text = events[-1].text if events else self._why(answer.errors)
            failure = DeployError(f"{self.name}: {text}")
            failure.exit_code = events[-1].exit_code or 1 if events else 1
            raise failure
        return events

    def show(self, *words: str, as_root: bool = False) -> tuple[int, str]:
        """Run a program there; its exit code and output. What it says on stderr goes to ours as it comes.

        Raises ConnectionFailedError.
        """
        command = self._as_root(words) if as_root else quoted(words)
        answer = self._connection.run(command, input_=self._stdin() if as_root else b"", show_errors=True)
        return answer.code, answer.output

    def clear(self) -> None:
        """Remove what was uploaded. Raises ConnectionFailedError."""
        parent = self.login.uploads.rpartition("/")[0]
        folders = quoted([self.login.uploads]), quoted([parent])
        self._connection.run(f"rm -rf {folders[0]}; rmdir --ignore-fail-on-non-empty {folders[1]}")

    # Inside

    def _look(self) -> Login:
        answer = self._connection.run(quoted(["sh", "-c", _LOOK]))  # whatever the login shell is
        lines = answer.output.splitlines()
        # A login script may print as well: what counts begins with the folder.
        start = next((i for i, line in enumerate(lines) if line.endswith(_UPLOADS)), None)
        if start is None or len(lines) < start + 5:
            raise DeployError(f"{self.name} has no shell that can be used: {self._why(answer.errors)}")
        uploads, uid, machine, python, sudo, *rest = lines[start:]
        sums = (line.split(maxsplit=1) for line in rest)
        present = {name: digest for digest, name in (s for s in sums if len(s) == 2)}
        return Login(uploads, int(uid) if uid.isdecimal() else -1, machine, python, sudo == "sudo", present)

    def _require_python(self) -> None:
        found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.\d{1,3}", self.login.python)
        if found is None:
            raise DeployError(f"{self.name} has no Python: sudo apt-get install -y python3, there")
        if not (3, 11) <= (int(found[1]), int(found[2])) <= (3, 13):
            raise DeployError(
                f"{self.name} has Python {self.login.python}, and edge_ad needs 3.11 to 3.13: put "
                "Raspberry Pi OS bookworm or trixie on it"
            )

    def _command(self, *words: str) -> str:
        return self._as_root(["python3", "-I", "-c", START, self._installer, *words])

    def _as_root(self, words: Sequence[str]) -> str:
        """A command line that root runs, where there is a way to be root."""
        if not self.is_root or self.login.uid == 0:
            return quoted(words)
        sudo = ["sudo", "-n"] if self._password is None else ["sudo", "-S", "-p", ""]
        return quoted([*sudo, *words])

    def _stdin(self) -> bytes:
        needs = self._password is not None and self.is_root and self.login.uid != 0
        return f"{self._password}\n".encode() if needs else b""

    def _why(self, errors: str) -> str:
        if "incorrect password" in errors or "Sorry, try again" in errors:
            return "sudo there does not take this password"
        return printable(" / ".join(errors.splitlines()[-3:])) or "it said nothing"


def python_of(facts: BoardFacts) -> BoardPython:
    """What decides on a board's packages. Raises DeployError for a C library that none are made for."""
    name, version = facts.libc
    found = re.match(r"(\d{1,3})\.(\d{1,3})", version)
    if name != "glibc" or found is None:
        raise DeployError(
            f"the board's C library is {name or 'not glibc'} {version}, for which no packages are made: put "
            "Raspberry Pi OS, or Debian, on it"
        )
    return BoardPython(facts.machine, facts.python[:2], (int(found[1]), int(found[2])))
