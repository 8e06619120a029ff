"""A machine whose PID 1 is systemd, as on a board: real units, journal, watchdogs, restarts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from pi_rootfs.errors import RootError
from pi_rootfs.machine import Machine, furnish, started
from pi_rootfs.ssh import SshServer, children, is_sshd

_START_SECONDS = 120
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer")
"""Units that would do at a random time what no test asked for: they install updates."""


class BootedMachine(Machine):
    """A running copy of a root that has been booted; use `BootedMachine.open`.

    The network is this machine's, so that its services listen on this machine's ports. Of the kernel's
    resources its control group only counts what the host's hierarchy of version 2 has controllers for.
    """

    server: BootedServer
    """Its ssh.service, on a loopback port."""

    @classmethod
    @contextmanager
    def open(
        cls, name: str, scratch: Path, *, size_mb: int | None = None, key: Path | None = None
    ) -> Iterator[BootedMachine]:
        """Boot the root `name`, as `Machine.open`; `key` as in `Machine.sshd`."""
        with started(name, scratch, size_mb=size_mb, boot=True) as (recipe, pid, launcher):
            machine = cls(recipe, scratch, pid)
            furnish(machine.path, recipe)
            for unit in _MASKED:
                (machine.path / "etc/systemd/system" / unit).unlink(missing_ok=True)
                (machine.path / "etc/systemd/system" / unit).symlink_to("/dev/null")
            machine.server = BootedServer(machine, scratch / "ssh", key)
            machine.server.prepare()
            assert launcher.stdin is not None
            launcher.stdin.write("go\n")
            launcher.stdin.flush()
            machine._wait_until_up()
            yield machine

    def _wait_until_up(self) -> None:
        deadline = monotonic() + _START_SECONDS
        state = ""
        while state not in ("running", "degraded"):
            if monotonic() > deadline or not self.path.exists():
                raise RootError(f"systemd of {self.recipe.name} does not come up: {state or 'no answer'}")
            sleep(0.05)
            state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        self.server.wait_until_up()

    def command(self, argv: Sequence[object], *, cwd: str = "/", user: str = "root") -> list[str]:
        """As in Machine, and in its control groups."""
        return ["nsenter", "--cgroup", *super().command(argv, cwd=cwd, user=user)[1:]]


class BootedServer(SshServer):
    """The face of SshServer for a service that systemd runs."""

    _machine: BootedMachine

    def start(self) -> None:
        """Start the service."""
        self._machine.run(["systemctl", "start", "ssh"])
        self.wait_until_up()

    def stop(self) -> None:
        """Stop it; the connections there are live on (its unit has KillMode=process)."""
        self._machine.run(["systemctl", "stop", "ssh"])

    def _listener(self) -> list[int]:
        """Of the children of systemd the one that is sshd; sessions are children of that."""
        return [pid for pid in children(self._machine.pid) if is_sshd(pid)]
