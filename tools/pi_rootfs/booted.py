"""A machine whose PID 1 is systemd, as on a board: real units, journal, watchdogs, restarts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from pi_rootfs.errors import RootError
from pi_rootfs.machine import Machine, furnish, started
from pi_rootfs.ssh import SshServer, inside

_START_SECONDS = 120
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer")
"""Units that would do at a random time what no test asked for: they install updates."""
_WITHOUT_CREDENTIALS = (
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-sysctl.service",
    "systemd-udev-load-credentials.service",
    "systemd-journald.service",
)
"""Units that take optional credentials from outside. There are none, and qemu 7.2 lacks the system calls."""


class BootedMachine(Machine):
    """A running copy of a root that has been booted; use `BootedMachine.open`.

    The network is this computer's, so that its services listen on this computer's ports. Its control groups
    limit what the host's hierarchy of version 2 has controllers for, which may be nothing: then MemoryMax=
    and the like are without effect. Roots of bookworm boot under qemu 7.2 too. That of trixie does not: none
    of the services of its systemd (257) starts there.
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
            _settle(machine.path / "etc/systemd/system")
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
        if self.run(["systemctl", "is-active", "ssh"], check=False).returncode != 0:
            failed = self.run(["systemctl", "--failed", "--no-legend", "--plain"], check=False).stdout
            raise RootError(f"units of {self.recipe.name} do not start:\n{failed}")
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

    def listener(self) -> list[int]:
        """The main process of the service. Sessions that outlived a restart of it are children of systemd."""
        show = ["systemctl", "show", "--property=MainPID", "--value", "ssh"]
        number = self._machine.run(show).stdout.strip()
        return [pid for pid in inside(self._machine.pid) if _number_inside(pid) == number]

    def stop(self) -> None:
        """Stop it; the connections there are live on (its unit has KillMode=process)."""
        self._machine.run(["systemctl", "stop", "ssh"])


def _settle(units: Path) -> None:
    """Have no units that do something unasked, and none that need what qemu cannot do."""
    for name in _MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    for name in _WITHOUT_CREDENTIALS:
        folder = units / f"{name}.d"
        folder.mkdir(exist_ok=True)
        (folder / "pi-rootfs.conf").write_text("[Service]\nLoadCredential=\nImportCredential=\n")


def _number_inside(pid: int) -> str:
    """What a process is called in the innermost of its PID namespaces (proc(5), NSpid)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return line.split()[-1]
    return ""
