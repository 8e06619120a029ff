"""What the agent's drills and benchmarks are made of: processes on loopback, and streams to feed them."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from getpass import getuser
from pathlib import Path
from time import monotonic, sleep

from edge_ad.bundle import bundle as bundles

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "data" / "toy.edgead"
_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def wait_for(condition: Callable[[], object], what: str, within_s: float = 60.0) -> None:
    """Return once something is so. Raises TimeoutError."""
    deadline = monotonic() + within_s
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        sleep(0.01)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ToyStream:
    """Samples of the toy bundle: calm, with an anomaly of 12 samples in every hundred or so."""

    def __init__(self, path: Path = TOY, every: int = 97) -> None:
        manifest = bundles.read(path).manifest
        self.columns = [manifest.input.time_column, *(channel.name for channel in manifest.channels)]
        self._offset, self._scale = manifest.scaler.offset, manifest.scaler.scale
        self._separator = manifest.input.separator
        self._every = every
        self.header = self._separator.join(self.columns) + "\n"

    def values(self, number: int) -> list[float]:
        """The values of a sample."""
        is_wrong = number % self._every >= self._every - 12
        wave = [math.sin(number / 3 + channel) / 2 for channel in range(len(self._offset))]
        wrong = 6.0 + number % 5 if is_wrong else 0.0
        return [
            offset + scale * (wave_ + wrong)
            for offset, scale, wave_ in zip(self._offset, self._scale, wave, strict=True)
        ]

    def line(self, number: int, stamp: str | None = None) -> str:
        """A sample as a line of text; without `stamp`, one of a clock that ticks a second per sample."""
        if stamp is None:
            stamp = (_START + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
        return self._separator.join([stamp, *(f"{value:.6f}" for value in self.values(number))]) + "\n"


def unit_environment() -> dict[str, str]:
    """What the systemd unit sets for the agent."""
    unit = (ROOT / "firmware_configs" / "edge-ad-agent.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("Environment=")]
    return dict(entry.split("=") for entry in line.removeprefix("Environment=").split())


class Listener:
    """The service manager's end of the notification socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify.sock"
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.messages: list[str] = []

    def heard(self, word: str) -> bool:
        """Whether a message with this line has come so far."""
        while True:
            try:
                self.messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return any(word in message.split("\n") for message in self.messages)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


class AgentProcess:
    """An `edge-ad agent` of its own process, as a service manager would run it."""

    def __init__(
        self, folder: Path, config: str, *, store: Path | None = None, watchdog_s: float = 0
    ) -> None:
        self.folder = folder
        self.store = store or folder / "store"
        self.log_path = folder / "agent.log"
        self._watchdog_s = watchdog_s
        self.write_config(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.listener: Listener | None = None

    def write_config(self, config: str) -> None:
        """Replace the configuration; for the next start."""
        (self.folder / "agent.toml").write_text(config)

    def start(self, *, wait: bool = True) -> AgentProcess:
        """Start it; with `wait`, until it says that it is ready."""
        if self.listener is not None:
            self.listener.close()
        self.listener = Listener(self.folder)
        environment = os.environ | unit_environment() | {"NOTIFY_SOCKET": str(self.listener.path)}
        if self._watchdog_s:
            environment["WATCHDOG_USEC"] = str(int(self._watchdog_s * 1e6))
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_ad", "agent", self.folder / "agent.toml", "--store", self.store],
                stderr=log,
                stdout=log,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=self.folder,
            )
        if wait:
            wait_for(lambda: self.is_ready() or self.process.poll() is not None, "the agent is ready")
            if self.process.poll() is not None:
                raise RuntimeError(f"the agent ended with {self.process.returncode}:\n{self.log()}")
        return self

    def is_ready(self) -> bool:
        """Whether it has said so."""
        return self.listener is not None and self.listener.heard("READY=1")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, within_s: float = 30.0) -> int:
        """End it in good order; its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        return code

    def log(self) -> str:
        """All that it said."""
        return self.log_path.read_text(errors="replace")

    def is_heeding_hangups(self) -> bool:
        """Whether SIGHUP would not end it, since it is caught or ignored; see proc(5)."""
        masks = int(self._status("SigIgn"), 16) | int(self._status("SigCgt"), 16)
        return bool(masks >> (signal.SIGHUP - 1) & 1)

    def resident_kb(self) -> int:
        """Resident set size."""
        return int(self._status("VmRSS").split()[0])

    def cpu_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, key: str) -> str:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return line.partition(":")[2].strip()
        raise KeyError(key)


class Mosquitto:
    """A broker on loopback that keeps its state on disk."""

    def __init__(self, folder: Path, lines: str = "") -> None:
        self.port = free_port()
        self.folder = folder
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {getuser()}\npersistence true\n"
            f"persistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n{lines}"
        )
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        """Where it is installed; None where it is not."""
        return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")

    def start(self) -> Mosquitto:
        """Start it, until it takes connections."""
        log = (self.folder / "mosquitto.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [self.program() or "mosquitto", "-c", str(self._config)], stdout=log, stderr=log
            )
        wait_for(self._takes_connections, "mosquitto takes connections")
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def _takes_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def records(path: Path) -> Iterator[dict[str, object]]:
    """Whole lines of a file of JSON lines, of its rotated ones first."""
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda p: -int(p.suffix[1:]))
    for part in [*older, path]:
        if part.exists():
            for line in part.read_bytes().split(b"\n")[:-1]:
                yield json.loads(line)
