"""What systemd wants to hear from a service of `Type=notify`; see sd_notify(3)."""

from __future__ import annotations

import os
import socket
from time import CLOCK_MONOTONIC, clock_gettime_ns

_PATIENCE_S = 0.1
"""With a manager that does not read what it is told."""


class ServiceManager:
    """The other end of `NOTIFY_SOCKET`; without one, nothing is said to nobody."""

    def __init__(self) -> None:
        # Taken out: what a sink starts is not the service, and must not speak for it.
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        micros = os.environ.pop("WATCHDOG_USEC", "")
        pid = os.environ.pop("WATCHDOG_PID", str(os.getpid()))
        is_ours = micros.isdecimal() and pid == str(os.getpid())
        self.watchdog_s = int(micros) / 1e6 if is_ours else None
        """How long the manager waits for `alive` before it restarts the service; None: for ever."""

    def ready(self, status: str) -> None:
        """The service is up."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """It is doing what SIGHUP asked for; `ready` tells that it is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={clock_gettime_ns(CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """It is about to end."""
        self._send("STOPPING=1")

    def alive(self, status: str) -> None:
        """Everything has gone round once more."""
        self._send(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_PATIENCE_S)
                sender.connect(address)
                sender.send(message.encode())
        except OSError:
            pass  # a manager that does not listen restarts the service by its own rules


def _line(text: str) -> str:
    return " ".join(text.split())
