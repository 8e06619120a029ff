"""A real mosquitto of a test's own, on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

WITHIN_S = 30.0
"""For what must happen at some time."""


class Broker:
    """Started, killed and started again with the same files."""

    def __init__(self, folder: Path, *lines: str, is_durable: bool = False) -> None:
        """`lines` belong to the one listener; with `is_durable` every change is on disk at once."""
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            pytest.skip("needs mosquitto")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        self._is_durable = is_durable
        self._program = program
        self._config = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(*lines)

    def configure(self, *lines: str, anonymous: bool = True) -> None:
        """Write the configuration; `lines` belong to the one listener."""
        settings = [
            "user root",  # the files are ours; without meaning where the tests are run by somebody else
            "persistence true",
            f"persistence_location {self.folder}/",
            *(["autosave_interval 1", "autosave_on_changes true"] if self._is_durable else []),
            f"log_dest file {self.folder / 'mosquitto.log'}",
            "log_type all",
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'true' if anonymous else 'false'}",
            *lines,
        ]
        self._config.write_text("\n".join(settings) + "\n")

    def start(self) -> Broker:
        assert self._process is None
        self._process = subprocess.Popen(
            [self._program, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + WITHIN_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.folder / "mosquitto.log"
                pytest.fail(f"mosquitto does not start: {log.read_text() if log.exists() else ''}")
            time.sleep(0.01)

    def kill(self) -> None:
        """As a power cut would."""
        self._end("kill")

    def stop(self) -> None:
        """As its service manager would: it writes down what it holds."""
        self._end("terminate")

    def reload(self) -> None:
        """Read password and access files again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def pause(self) -> None:
        """Let it hang: connections stay, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: str) -> None:
        if self._process is not None:
            getattr(self._process, how)()
            self._process.send_signal(signal.SIGCONT)  # it may be paused
            self._process.wait(WITHIN_S)
            self._process = None

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def has_seen_off(self, client_id: str) -> bool:
        """Whether the newest connection of a client has ended, and all that was sent over it is worked on."""
        *_, after = self.log.rpartition(f" as {client_id} (")
        return f"Client {client_id} disconnected" in after

    def add_user(self, name: str, password: str) -> Path:
        program = shutil.which("mosquitto_passwd")
        if program is None:
            pytest.skip("needs mosquitto_passwd")
        path = self.folder / "passwords"
        path.touch(mode=0o644)
        subprocess.run([program, "-b", path, name, password], check=True, capture_output=True)
        path.chmod(0o644)
        return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
