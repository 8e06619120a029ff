"""PID 1 of a machine, and the process outside that watches over it. A program of its own: see machine.py.

    python launcher.py SPEC

SPEC is JSON: `lower` (the cached root), `disk` (folder that keeps what the machine writes), `size_mb` (null,
or the size of a disk in memory), `hostname`, `cpuinfo` (what /proc/cpuinfo says; null: what the kernel says),
`boot` (the root's init becomes PID 1; otherwise a process that only collects the dead). The watcher says
`ready PID` on stdout, or `error TEXT`, and ends the machine as soon as its stdin is closed, which the death
of whoever started it also does. An init starts once a line came on stdin, so that files can be put in its
place before.

All mounts lie in a mount namespace and all processes in a PID namespace of their own. When PID 1 ends, the
kernel ends every other process inside and takes the mounts apart (pid_namespaces(7), mount_namespaces(7)). So
nothing is left behind however a run ends, and nothing has to be swept.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import NoReturn

_libc = ctypes.CDLL(None, use_errno=True)

# linux/sched.h
_NEW_MOUNTS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_NEW_PIDS = 0x20000000
# sys/mount.h
_READ_ONLY, _NO_SUID, _NO_DEV, _NO_EXEC, _REMOUNT, _BIND, _REC, _PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
_DETACH = 2
# linux/prctl.h and linux/capability.h
_SET_DEATH_SIGNAL, _DROP_FROM_BOUNDING_SET = 1, 24
_DROPPED = {"SYS_MODULE": 16, "SYS_RAWIO": 17, "SYS_TIME": 25, "MAC_OVERRIDE": 32, "MAC_ADMIN": 33}
"""Capabilities that nothing inside gets: they reach past the namespaces."""
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "armv7l": 218}
"""Number of the system call, for which the C library has no function (the kernel's tables)."""

_NODES = ("null", "zero", "full", "random", "urandom", "tty")
_HIDDEN = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
"""Where writing would change the host. Made read-only."""


def main(text: str) -> int:
    """Start the machine and watch over it."""
    spec = json.loads(text)
    try:
        _call(_libc.unshare(_NEW_MOUNTS | _NEW_UTS | _NEW_IPC), "unshare")
        _mount("none", "/", None, _REC | _PRIVATE)
        root = _disk(Path(spec["lower"]), Path(spec["disk"]), spec["size_mb"])
        cgroup = _cgroup(Path(spec["disk"]) / "cgroup") if spec["boot"] else None
        reader, writer = os.pipe()
        go_reader, go_writer = os.pipe()
        _call(_libc.unshare(_NEW_PIDS), "unshare")  # of which the next child will be PID 1
        inside = os.fork()
        if inside == 0:
            os.close(reader)
            os.close(go_writer)
            _inside(root, spec, cgroup, writer, go_reader)
    except OSError as error:
        print(f"error {error}", flush=True)
        return 1
    os.close(writer)
    os.close(go_reader)
    with os.fdopen(reader) as answer:
        trouble = answer.read()
    if trouble:
        print(f"error {trouble}", flush=True)
    else:
        print(f"ready {inside}", flush=True)
        _watch(inside, go_writer)
    os.waitpid(inside, 0)
    if cgroup is not None:
        _remove(cgroup)
    return 1 if trouble else 0


def _watch(inside: int, go: int) -> None:
    """Return once stdin is closed; PID 1 is then told to die, if it still lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for whoever started us, who then closes stdin
    if sys.stdin.buffer.readline():
        os.write(go, b"g")
    sys.stdin.buffer.read()
    os.kill(inside, signal.SIGKILL)


def _disk(lower: Path, disk: Path, size_mb: int | None) -> Path:
    """What the machine sees as its file system: the cached root below, its own writes above."""
    root = disk / "root"
    root.mkdir(parents=True, exist_ok=True)
    above = disk / "above"
    above.mkdir(exist_ok=True)
    if size_mb is not None:
        _mount("tmpfs", above, "tmpfs", 0, f"size={size_mb}m,mode=755")
    for name in ("upper", "work"):
        (above / name).mkdir(mode=0o755, exist_ok=True)
    try:
        _mount("overlay", root, "overlay", 0, f"lowerdir={lower},upperdir={above}/upper,workdir={above}/work")
    except OSError:
        if size_mb is not None:
            raise
        # An overlay does not go on top of every file system, another overlay among them: a copy does.
        copy = disk / "copy"
        if not copy.exists():
            partial = disk / "copy.partial"
            subprocess.run(["rm", "-rf", partial], check=True)
            subprocess.run(["cp", "-a", "--reflink=auto", lower, partial], check=True)
            partial.rename(copy)
        _mount(copy, root, None, _BIND)
    return root


def _cgroup(folder: Path) -> Path:
    """A control group for the machine, in a mount of version 2 that only this process sees."""
    folder.mkdir(exist_ok=True)
    _mount("cgroup2", folder, "cgroup2", _NO_SUID | _NO_DEV | _NO_EXEC)
    for other in folder.glob("pi-rootfs-*"):
        if not Path("/proc", other.name.rpartition("-")[2]).exists():  # its watcher was killed
            _remove(other)
    own = folder / f"pi-rootfs-{os.getpid()}"
    own.mkdir()
    return own


def _remove(cgroup: Path) -> None:
    """Once the last process has ended, the kernel may take a moment to let go of it."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        for _ in range(50):
            try:
                os.rmdir(folder)
                break
            except OSError:
                sleep(0.02)


def _inside(root: Path, spec: dict, cgroup: Path | None, writer: int, go: int) -> NoReturn:
    """PID 1. `writer` stays empty where all went well."""
    try:
        _call(_libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
        os.setsid()
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            _call(_libc.unshare(_NEW_CGROUP), "unshare")
        _call(_libc.unshare(_NEW_MOUNTS), "unshare")  # the watcher keeps a root of its own
        hostname = spec["hostname"].encode()
        _call(_libc.sethostname(hostname, len(hostname)), "sethostname")
        _kernel_folders(root, cgroup is not None)
        _show(root, "proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")  # the journal goes by it
        if spec["cpuinfo"] is not None:
            _show(root, "proc/cpuinfo", spec["cpuinfo"])
        _pivot(root)
        for number in _DROPPED.values():
            _libc.prctl(_DROP_FROM_BOUNDING_SET, number, 0, 0, 0)
        nothing = os.open("/dev/null", os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.close(writer)
        if spec["boot"] and os.read(go, 1):
            # To systemd, `container` says that udev, kernel modules and the like are not its business:
            # https://systemd.io/CONTAINER_INTERFACE/
            environment = {"container": "pi-rootfs", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            os.execve("/sbin/init", ["/sbin/init"], environment)
    except OSError as error:
        with suppress(OSError):
            os.write(writer, str(error).encode())
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            signal.sigtimedwait([signal.SIGCHLD], 3600)


def _kernel_folders(root: Path, cgroup: bool) -> None:
    """The file systems that are the kernel's: /proc, /sys, /dev, /run."""
    plain = _NO_SUID | _NO_DEV | _NO_EXEC
    _mount("proc", root / "proc", "proc", plain)
    _mount("sysfs", root / "sys", "sysfs", plain | _READ_ONLY)
    for path in _HIDDEN:
        target = root / path.lstrip("/")
        if target.exists():
            _mount(target, target, None, _BIND)
            _mount("none", target, None, _REMOUNT | _BIND | _READ_ONLY | plain)
    if cgroup:
        _mount("cgroup2", root / "sys/fs/cgroup", "cgroup2", plain)
    devices = root / "dev"
    _mount("tmpfs", devices, "tmpfs", _NO_SUID | _NO_EXEC, "mode=755,size=4m")
    for name in _NODES:
        (devices / name).touch()
        _mount(f"/dev/{name}", devices / name, None, _BIND)
    for name, options in (("pts", "newinstance,ptmxmode=0666,mode=620,gid=5"), ("shm", "mode=1777")):
        (devices / name).mkdir()
        kind = "devpts" if name == "pts" else "tmpfs"
        _mount(kind, devices / name, kind, _NO_SUID | _NO_EXEC | (_NO_DEV if kind == "tmpfs" else 0), options)
    (devices / "ptmx").symlink_to("pts/ptmx")
    (devices / "fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (devices / name).symlink_to(f"/proc/self/fd/{number}")
    _mount("tmpfs", root / "run", "tmpfs", _NO_SUID | _NO_DEV, "mode=755")
    for name, mode in (("lock", 0o1777), ("sshd", 0o755)):
        (root / "run" / name).mkdir()
        (root / "run" / name).chmod(mode)


def _show(root: Path, name: str, text: str) -> None:
    """Another text in a file of the kernel's."""
    source = root / "run/pi-rootfs-text"
    source.write_text(text)
    _mount(source, root / name, None, _BIND)
    source.unlink()


def _pivot(root: Path) -> None:
    """Make `root` the root of this mount namespace and let go of the host's."""
    os.chdir(root)
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"this program does not know the processor {platform.machine()}")
    _call(_libc.syscall(number, b".", b"."), "pivot_root")
    _call(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _mount(source: object, target: object, kind: str | None, flags: int, options: str | None = None) -> None:
    _call(
        _libc.mount(
            os.fsencode(str(source)),
            os.fsencode(str(target)),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            options.encode() if options else None,
        ),
        f"mounting {source} on {target}",
    )


def _call(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{doing}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
