"""A copy of a root to work in: what is written lies beside the cached root and never in it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pi_rootfs import build, cache, host, processor
from pi_rootfs.errors import RootError
from pi_rootfs.recipes import ROOTS, Recipe
from pi_rootfs.ssh import SshServer

USER = "pi"
"""The ordinary user, who may do everything by sudo without a password."""
USER_ID = 1000
HOSTNAME = "raspberrypi"

_LAUNCHER = Path(__file__).with_name("launcher.py")


class Process(subprocess.Popen):
    """A process inside a machine. Signals go to it and to what it started in its session."""

    def send_signal(self, sig: int) -> None:
        """To all but nsenter, which waits for the program and ends as that does."""
        if self.poll() is None:
            others = [pid for pid in _group(self.pid) if pid != self.pid]
            for pid in others or [self.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, sig)

    def terminate(self) -> None:
        """SIGTERM, as `send_signal`."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)


def _group(leader: int) -> list[int]:
    """Processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(ProcessLookupError):
                if os.getpgid(int(entry.name)) == leader:
                    found.append(int(entry.name))
    return found


class Machine:
    """A running copy of a root: own files, processes, host name; the network is this machine's.

    Use `Machine.open`. When the block ends, every process inside has ended and nothing is mounted. The same
    happens when the program that opened it is killed: see launcher.py.
    """

    def __init__(self, recipe: Recipe, disk: Path, pid: int) -> None:
        self.recipe = recipe
        self.disk = disk
        """Folder of this machine's own writes, among them `disk / "logs"`."""
        self.pid = pid
        """Of its PID 1, as this side sees it."""

    @classmethod
    @contextmanager
    def open(cls, name: str, scratch: Path, *, size_mb: int | None = None) -> Iterator[Machine]:
        """A machine made from the root `name`, which is built if it is missing.

        Args:
            name: one of `pi_rootfs.ROOTS`.
            scratch: a folder for what the machine writes. Opened once more with the same folder, it is the
                same machine after its power was cut.
            size_mb: the space left on the machine's disk, in MiB; it is then held in memory and forgotten
                at the end. None: as much as there is.

        Raises:
            RootError: the root cannot be had, or the machine not started; the message says why.
        """
        with started(name, scratch, size_mb=size_mb, boot=False) as (recipe, pid, _):
            machine = cls(recipe, scratch, pid)
            furnish(machine.path, recipe)
            yield machine

    @property
    def path(self) -> Path:
        """Its root folder, to read and write files from outside. Links that begin with / lead outside."""
        return Path(f"/proc/{self.pid}/root")

    def run(
        self,
        argv: Sequence[object],
        *,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002
        check: bool = True,
        timeout: float | None = None,
        cwd: str = "/",
        user: str = "root",
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end.

        Args:
            argv: the program and its arguments.
            env: added to a plain login's variables.
            input: for its standard input, which is empty otherwise.
            check: raise RootError, with what it printed, where it does not exit with 0.
            timeout: seconds after which it and everything it started in its session is killed and
                subprocess.TimeoutExpired raised.
            cwd: working folder inside.
            user: "root" or "pi".
        """
        streams = {
            "stdin": subprocess.DEVNULL if input is None else subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        with self.popen(argv, env=env, cwd=cwd, user=user, text=True, **streams) as process:
            try:
                stdout, stderr = process.communicate(input, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode != 0:
            command = shlex.join(map(str, argv))
            said = f"{stdout}{stderr}"
            raise RootError(f"{self.recipe.name}: {command} ended with {process.returncode}\n{said}")
        return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)

    def popen(
        self,
        argv: Sequence[object],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        user: str = "root",
        **options: Any,
    ) -> Process:
        """Start a program inside, in a session of its own; `options` are those of subprocess.Popen."""
        command = self.command(argv, cwd=cwd, user=user)
        variables = {**self.environment(user), **(env or {})}
        return Process(command, env=variables, start_new_session=True, **options)

    def command(self, argv: Sequence[object], *, cwd: str = "/", user: str = "root") -> list[str]:
        """What to execute on this side, with `environment(user)`, to run a program inside."""
        identity = [f"--setuid={USER_ID}", f"--setgid={USER_ID}"] if user == USER else []
        namespaces = ["--mount", "--uts", "--ipc", "--pid", "--root", f"--wdns={cwd}"]
        return ["nsenter", f"--target={self.pid}", *namespaces, *identity, "--", *map(str, argv)]

    def environment(self, user: str = "root") -> dict[str, str]:
        """Variables of a plain login, with the proxies of this side and the emulator's."""
        if user not in ("root", USER):
            raise RootError(f"there is no user {user!r} in a root; there are root and {USER}")
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root" if user == "root" else f"/home/{user}",
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            **settings(self.recipe),
        }

    @contextmanager
    def sshd(self, *, key: Path | None = None) -> Iterator[SshServer]:
        """Debian's OpenSSH server on a free loopback port.

        Args:
            key: the private key that may log in; its public half lies beside it as `.pub`. None: one is made.
        """
        server = SshServer(self, self.disk / "ssh", key)
        server.prepare()
        server.start()
        try:
            yield server
        finally:
            server.stop()
            server.kill_sessions()


@contextmanager
def started(
    name: str, scratch: Path, *, size_mb: int | None, boot: bool
) -> Iterator[tuple[Recipe, int, subprocess.Popen[str]]]:
    """The launcher with a machine in it: the recipe, PID 1 and the launcher."""
    lower = build.ensure(name)
    recipe = ROOTS[name]
    host.check(recipe.architecture)
    scratch.mkdir(parents=True, exist_ok=True)
    emulated = processor.emulated(recipe.architecture)
    spec = {
        "lower": str(lower.resolve()),
        "disk": str(scratch.resolve()),
        "size_mb": size_mb,
        "hostname": HOSTNAME,
        "cpuinfo": emulated.cpuinfo() if emulated else None,
        "boot": boot,
    }
    with cache.used(lower):
        launcher = subprocess.Popen(
            [sys.executable, "-I", _LAUNCHER, json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert launcher.stdout is not None
            word, _, rest = launcher.stdout.readline().strip().partition(" ")
            if word != "ready":
                raise RootError(f"{name} does not start in {scratch}: {rest or 'the launcher died'}")
            yield recipe, int(rest), launcher
        finally:
            _close(launcher.stdin)
            launcher.wait()
            _close(launcher.stdout)


def _close(stream: IO[str] | None) -> None:
    if stream is not None:
        stream.close()


def settings(recipe: Recipe) -> dict[str, str]:
    """Variables that every program inside needs: the proxies of this side, the emulator's model."""
    emulated = processor.emulated(recipe.architecture)
    return host.proxies() | ({processor.VARIABLE: emulated.model} if emulated else {})


def furnish(root: Path, recipe: Recipe) -> None:
    """What a board gets from its network and its first start: name servers, authorities, an identity."""
    etc = root / "etc"
    resolver = Path("/etc/resolv.conf")
    if resolver.exists():
        _replace(etc / "resolv.conf", resolver.read_text())
    _replace(etc / "hosts", f"127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{HOSTNAME}\n")
    machine_id = etc / "machine-id"
    if not machine_id.exists() or not machine_id.read_text().strip():
        _replace(machine_id, uuid.uuid4().hex + "\n")
    pip = host.pip_settings()
    authorities = host.certificates()
    if authorities is not None:
        shutil.copyfile(authorities, etc / "ssl/certs/ca-certificates.crt")
        pip["cert"] = "/etc/ssl/certs/ca-certificates.crt"
    _replace(etc / "pip.conf", "\n".join(["[global]", *(f"{k} = {v}" for k, v in pip.items()), ""]))
    variables = settings(recipe)
    if variables:  # for sessions by ssh, for services, and through sudo
        _replace(etc / "environment", "".join(f"{name}={value}\n" for name, value in variables.items()))
        listed = " ".join(f'"{name}={value}"' for name, value in variables.items())
        manager = etc / "systemd/system.conf.d"
        manager.mkdir(exist_ok=True)
        _replace(manager / "pi-rootfs.conf", f"[Manager]\nDefaultEnvironment={listed}\n")
        _replace(etc / "sudoers.d/020_pi-rootfs", f'Defaults env_keep += "{" ".join(variables)}"\n')


def _replace(file: Path, text: str) -> None:
    """Write a file anew, also where a link to another place stands."""
    file.unlink(missing_ok=True)
    file.write_text(text)
