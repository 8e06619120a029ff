"""Who may read and change what: the store, secrets, serial ports, GPIO."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from edge_ad.runtime.doctor.account import READ, SEARCH, WRITE, Account, group_name
from edge_ad.runtime.doctor.agent_files import AgentFiles
from edge_ad.runtime.doctor.finding import Finding, Level, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine

_SERIAL = ("/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*", "/dev/serial0")
_GPIO = "/dev/gpiochip0"
_MOST_KEYS = 100


def permissions(
    machine: Machine, account: Account, folders: Mapping[str, Path], files: AgentFiles | None
) -> Iterator[Finding]:
    """Folders and secrets, then devices, as `account` finds them: that of the service where there is one."""
    store = folders["store"]
    yield from _store(account, store)
    yield from _spool(account, folders["spool"])
    yield from _secrets(account, files)
    yield from _private_keys(store, files)
    yield from _serial(machine, account, files)
    yield from _gpio(machine, account, files)


def _store(account: Account, store: Path) -> Iterator[Finding]:
    status = _status(store)
    if status is None:
        return
    path = shlex.quote(str(store))
    if not account.may(READ | SEARCH, status):
        yield fail(
            "store-access",
            f"{account.name} may not read {store}",
            f"sudo chown -R {shlex.quote(account.name)}: {path}  # or run as the account that it belongs to",
        )
        return
    parts = [(each, _status(each)) for each in (store, store / "trust", store / "assets")]
    open_to_all = [str(each) for each, found in parts if found is not None and found.st_mode & stat.S_IWOTH]
    if open_to_all:
        yield fail(
            "store-access",
            f"every account of this machine may write {', '.join(open_to_all)}, and so decide what runs "
            "and which keys are trusted",
            f"sudo chmod -R o-w {path}",
        )
        return
    yield ok("store-access", f"{account.name} may read {store}, and not everybody may write it")
    owned = [store / "lock", *_folders(store / "assets")]
    closed = [each for each in owned if (found := _status(each)) and not account.may(WRITE, found)]
    if closed:
        yield warn(
            "store-trials",
            f"{account.name} may not write {closed[0]}: a service of this account cannot write down how a "
            "new bundle's trial goes, nor roll it back",
            f"sudo chown -R {shlex.quote(account.name)}: {path}  # or run as the account that it belongs to",
        )


def _folders(assets: Path) -> list[Path]:
    """The store's folders of assets, as far as they can be seen."""
    try:
        return sorted(assets.iterdir())
    except OSError:
        return []


def _spool(account: Account, folder: Path) -> Iterator[Finding]:
    status = _status(folder)
    if status is not None and not account.may(WRITE | SEARCH, status):
        yield fail(
            "spool-access",
            f"{account.name} may not write {folder}: events would be lost with the agent's end",
            f"sudo chown -R {shlex.quote(account.name)}: {shlex.quote(str(folder))}",
        )


def _secrets(account: Account, files: AgentFiles | None) -> Iterator[Finding]:
    for path in files.secrets if files else ():
        quoted = shlex.quote(str(path))
        try:
            status = path.stat()
        except PermissionError:
            yield skip("secret", f"{path} lies where only others can look")
            continue
        except OSError as error:
            yield fail(
                "secret",
                f"{path}: {error.strerror}",
                f"sudo install -m 600 -o {shlex.quote(account.name)} /dev/stdin {quoted}  # paste it, Ctrl-D",
            )
            continue
        if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield fail(
                "secret", f"every account of this machine may read {path}", f"sudo chmod o-rwx {quoted}"
            )
        elif not account.may(READ, status):
            yield fail(
                "secret",
                f"{account.name} may not read {path}",
                f"sudo chown {shlex.quote(account.name)}: {quoted}",
            )
        else:
            yield ok("secret", f"{account.name} may read {path}, and not everybody")


def _private_keys(store: Path, files: AgentFiles | None) -> Iterator[Finding]:
    """Private signing keys that lie about where none belongs: on the device."""
    folders = {store, files.path.parent} if files else {store}
    for folder in sorted(folders):
        for path in islice(sorted(folder.glob("*.key")) if folder.is_dir() else (), _MOST_KEYS):
            if _is_minisign_key(path):
                yield warn(
                    "private-key",
                    f"{path} is a private signing key: whoever takes this machine can sign bundles for all "
                    "others. It belongs on the workstation",
                    f"shred -u {shlex.quote(str(path))}  # once there is a copy elsewhere",
                )


def _is_minisign_key(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.readline(1024)
    except OSError:
        return False
    return first.startswith(b"untrusted comment:") and b"secret key" in first


def _serial(machine: Machine, account: Account, files: AgentFiles | None) -> Iterator[Finding]:
    named = files.devices if files else ()
    for device in named:
        if machine.exists(device):
            yield _device(machine, account, "serial-port", device, "fail")
        else:
            look = "ls -l /dev/serial/by-id/  # these names stay the same"
            yield fail("serial-port", f"{device} is not there", look)
    if not named:
        for device in (found for pattern in _SERIAL for found in machine.matches(pattern)):
            yield _device(machine, account, "serial-port", device, "warn")


def _gpio(machine: Machine, account: Account, files: AgentFiles | None) -> Iterator[Finding]:
    wanted = files is not None and "gpio" in files.kinds
    if machine.exists(_GPIO):
        yield _device(machine, account, "gpio", _GPIO, "fail" if wanted else "warn")
    elif wanted:
        yield fail("gpio", f"{_GPIO} is not there, and a sink of kind gpio needs it", "ls -l /dev/gpio*")
    else:
        yield skip("gpio", "no GPIO here")


def _device(machine: Machine, account: Account, check: str, device: str, level: Level) -> Finding:
    """Whether the account may use a device; `level` is that of the finding where it may not."""
    status = machine.status(device)
    if status is None:
        return skip(check, f"{device} has gone")
    group = group_name(status.st_gid)
    if account.may(READ | WRITE, status):
        return ok(check, f"{account.name} may use {device}")
    return Finding(
        check,
        level,
        f"{account.name} may not use {device} (group {group})",
        (f"sudo usermod -aG {shlex.quote(group)} {shlex.quote(account.name)}  # then start or log in anew",),
    )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
