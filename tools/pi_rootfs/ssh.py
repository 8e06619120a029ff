"""OpenSSH in a machine, and all that a client needs to reach it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from pi_rootfs.errors import RootError

if TYPE_CHECKING:
    from pi_rootfs.machine import Machine, Process

ALIAS = "board"
"""Name of the server in `SshServer.ssh_config_file`."""
_START_SECONDS = 60
_PROGRAMS = ("sshd", "sshd-session", "sshd-auth")
"""The last two since OpenSSH 9.8, thus in Debian trixie (its release notes)."""


class SshServer:
    """A server that accepts one key, for the users pi and root, on a loopback port."""

    host = "127.0.0.1"
    user = "pi"

    def __init__(self, machine: Machine, folder: Path, key: Path | None) -> None:
        self._machine = machine
        self._key_given = key
        self.folder = folder
        """On this side: keys, configuration and log."""
        self.port = _free_port()
        self.identity_file = key or folder / "id_ed25519"
        self.known_hosts_file = folder / "known_hosts"
        self.ssh_config_file = folder / "config"
        self.log_file = folder / "sshd.log"
        self._process: Process | None = None

    def prepare(self) -> None:
        """Make the keys and the settings of both sides."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._key_given is None and not self.identity_file.exists():
            _make_key(self.identity_file, "client")
        self._install_host_key()
        self.trust_host_key()
        root = self._machine.path
        (root / "etc/ssh/sshd_config.d/pi-rootfs.conf").write_text(self._settings())
        public = self.identity_file.with_name(self.identity_file.name + ".pub").read_text()
        for home, number in (("root", 0), ("home/pi", 1000)):
            folder = root / home / ".ssh"
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / "authorized_keys").write_text(public)
            for path in (folder, folder / "authorized_keys"):
                os.chown(path, number, number)
        self.ssh_config_file.write_text(self._client_settings())

    def start(self) -> None:
        """Listen, and return once a client is greeted."""
        with self.log_file.open("ab") as log:
            self._process = self._machine.popen(
                ["/usr/sbin/sshd", "-D", "-e"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Return once a client is greeted; RootError where that does not happen."""
        deadline = monotonic() + _START_SECONDS
        while not self.greets():
            if monotonic() > deadline or (self._process is not None and self._process.poll() is not None):
                raise RootError(f"sshd does not answer on port {self.port}:\n{self.log()}")
            sleep(0.05)

    def greets(self) -> bool:
        """Does something that speaks SSH listen?"""
        try:
            with socket.create_connection((self.host, self.port), timeout=10) as connection:
                return connection.recv(8).startswith(b"SSH-")
        except OSError:
            return False

    def stop(self) -> None:
        """Listen no more: new connections are refused, those there are live on."""
        if self._process is not None:
            for pid in self.listener():  # not the process group, to which sessions may belong
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            self._process.wait()
            self._process = None

    def change_host_key(self) -> None:
        """Another board answers at this address, as far as a client can tell; `known_hosts_file` stays."""
        self._install_host_key()
        self.restart()

    def restart(self) -> None:
        """Read the settings and keys anew."""
        self.stop()
        self.start()

    def trust_host_key(self) -> None:
        """Write the present host key to `known_hosts_file`."""
        kind, key = (self._machine.path / "etc/ssh/pi_rootfs_host_key.pub").read_text().split()[:2]
        self.known_hosts_file.write_text(f"[{self.host}]:{self.port} {kind} {key}\n")

    def listener(self) -> list[int]:
        """The process of sshd that listens; none while it is stopped."""
        return _children(self._process.pid) if self._process is not None else []  # nsenter's

    def sessions(self) -> list[int]:
        """Processes of sshd that serve a connection, as this side numbers them."""
        listener = self.listener()
        return [pid for pid in inside(self._machine.pid) if is_sshd(pid) and pid not in listener]

    def kill_sessions(self) -> int:
        """Break every connection, by killing the processes that serve it; how many there were.

        Commands that a client runs keep running, as they do when a board's network fails.
        """
        killed = self.sessions()
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(killed)

    def log(self) -> str:
        """What the server said."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def ssh(self, command: str, *, check: bool = True, user: str = user) -> subprocess.CompletedProcess[str]:
        """Run a command line by the system's ssh."""
        return subprocess.run(
            ["ssh", "-F", self.ssh_config_file, "-l", user, ALIAS, command],
            capture_output=True,
            text=True,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def _install_host_key(self) -> None:
        new = self.folder / "host_key"
        for path in (new, new.with_suffix(".pub")):
            path.unlink(missing_ok=True)
        _make_key(new, "host")
        for path, mode in ((new, 0o600), (new.with_suffix(".pub"), 0o644)):
            target = self._machine.path / "etc/ssh" / f"pi_rootfs_{path.name}"
            shutil.copyfile(path, target)
            target.chmod(mode)

    def _settings(self) -> str:
        """Included at the top of Debian's own sshd_config, where the first value of a setting counts."""
        return (
            f"Port {self.port}\nListenAddress {self.host}\nHostKey /etc/ssh/pi_rootfs_host_key\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        )

    def _client_settings(self) -> str:
        return (
            f"Host {ALIAS}\n  HostName {self.host}\n  Port {self.port}\n  User {self.user}\n"
            f'  IdentityFile "{self.identity_file}"\n  IdentitiesOnly yes\n  IdentityAgent none\n'
            f'  UserKnownHostsFile "{self.known_hosts_file}"\n  GlobalKnownHostsFile /dev/null\n'
            "  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 60\n"
        )


def _make_key(path: Path, comment: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path], check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _children(pid: int) -> list[int]:
    """Processes that a process has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def inside(first: int) -> list[int]:
    """Every process of the PID namespace whose PID 1 is `first`."""
    namespace = os.readlink(f"/proc/{first}/ns/pid")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.readlink(entry / "ns/pid") == namespace:
                    found.append(int(entry.name))
    return found


def is_sshd(pid: int) -> bool:
    """By its command line. Under emulation it begins with the emulator; sshd writes its state there."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(
        os.path.basename(word.decode(errors="replace").split(":")[0]) in _PROGRAMS for word in words[:2]
    )
