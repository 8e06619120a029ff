"""The work of a fleet on a Ray cluster, or on one that is started for it on this machine alone.

Ray runs whatever its clients send, so a cluster of ours asks for a token, listens on the loopback interface
only, has no dashboard and reports nothing to anybody. Results come back to the process that builds: workers
need the recordings (by URL, or on a file system that all share), but not the fleet's folder.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from edge_ad.errors import ConfigurationError, ConnectionFailedError, MissingDependencyError
from edge_ad.toolchain.fleet.engines import TASKS_PER_WORKER, Finished
from edge_ad.toolchain.fleet.work import FleetTask, build_assets

_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # it is about to change, and warns of that
}
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
_PATIENCE_S = 10.0
_OBJECT_STORE = 128 << 20  # bytes: the results are some tens of kilobytes each


@dataclass(frozen=True)
class RayEngine:
    """Tasks on `address`, or on `workers` processes of a cluster that lives as long as the build."""

    address: str | None
    """`host:port` of a cluster's head; None for a cluster of this machine's own."""
    workers: int
    """Tasks at a time."""

    def check(self) -> None:
        """What can be told before any work. Raises as `run` does."""
        _prepare(self.address)
        if self.address is not None:
            _knock(self.address)

    def run(self, tasks: Sequence[FleetTask]) -> Iterator[Finished]:
        """See `Engine`. Raises MissingDependencyError, ConnectionFailedError, ConfigurationError."""
        with _cluster(self.address, self.workers) as ray:
            remote = ray.remote(max_calls=TASKS_PER_WORKER, max_retries=0, num_cpus=1)(build_assets)
            waiting, running = deque(tasks), dict[Any, FleetTask]()
            while waiting or running:
                while waiting and len(running) < self.workers:
                    task = waiting.popleft()
                    running[remote.remote(task)] = task
                [ready], _ = ray.wait(list(running), num_returns=1)
                task = running.pop(ready)
                try:
                    yield Finished(task, ray.get(ready))
                except ray.exceptions.RayTaskError:
                    raise  # no error that is raised on purpose: see `build_assets`
                except ray.exceptions.RayError as error:
                    yield Finished(task, [], str(error).strip().partition("\n")[0])


def _prepare(address: str | None) -> Any:
    """The library, with its settings. Raises ConfigurationError, MissingDependencyError."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if os.environ["RAY_AUTH_MODE"] != "token":
        raise ConfigurationError("RAY_AUTH_MODE is set to something else than 'token': unset it")
    if address is None:
        # Where Ray makes no clusters of several machines, its servers bind to the loopback interface; given
        # 127.0.0.1 as the node's address, it looks for one that others can reach.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # known to this cluster alone, and gone with it
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependencyError("--engine ray needs: pip install 'edge-ad[distributed]'") from error
    return ray


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[Any]:
    ray = _prepare(address)
    own: dict[str, Any] = {"address": address}
    if address is None:
        own = {
            "address": "local",
            "num_cpus": workers,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
            "_node_ip_address": "127.0.0.1",
        }
    on_sigterm = signal.getsignal(signal.SIGTERM)  # which Ray would replace by its own
    try:
        ray.init(
            **own,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": _ONE_THREAD},
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = address or "this machine"
        raise ConnectionFailedError(
            f"no Ray cluster at {where}: {str(error).strip().partition(chr(10))[0]}; is its token in "
            "RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token?"
        ) from error
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        # Ray tells of lost workers on standard output, which is for data.
        with redirect_stdout(sys.stderr):
            yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Is anybody there? Ray would try for minutes. Raises ConfigurationError, ConnectionFailedError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(f"--address {address!r} is not HOST:PORT, such as 10.0.0.5:6379")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S):
            pass
    except (OSError, OverflowError) as error:
        raise ConnectionFailedError(f"no Ray cluster at {address}: {error}") from error
