"""A command of ours on a board, in an environment that is made there where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle import bundle as bundles
from edge_ad.errors import DeployError
from edge_ad.toolchain.deploy.board import Board
from edge_ad.toolchain.deploy.deploy import Say, Wishes, apply, prepare
from edge_ad.toolchain.deploy.ssh import Connection


@dataclass(frozen=True)
class RemoteOutput:
    """What the command printed on stdout."""

    code: int
    text: str


def run_there(
    connection: Connection,
    command: str,
    bundle: str,
    options: Sequence[str],
    wishes: Wishes,
    say: Say,
    *,
    sudo_password: str | None = None,
) -> RemoteOutput:
    """`edge-ad COMMAND BUNDLE OPTIONS` on a board; its stderr comes through as it is.

    BUNDLE is a file here, which is brought there, or `@ASSET` of the board's own store, which runs on what is
    installed there. Nothing that serves there is touched: a missing environment is made for the account that
    logs in. Raises BundleError, DeployError, ConnectionFailedError.
    """
    board = Board(connection, sudo_password=sudo_password)
    if bundle.startswith("@"):
        facts = board.facts()
        if facts.release is None:
            raise DeployError(f"nothing is installed on {board.name}: edge-ad deploy BUNDLE {board.name}")
        program = f"{facts.prefix}/bin/edge-ad"
        words = (program, command, bundle, *options, "--store", facts.store)
        return RemoteOutput(*board.show(*words, as_root=True))
    bundles.read(Path(bundle))
    prepared = prepare(board, None, wishes)
    if prepared.order.runtime.release not in prepared.facts.releases:
        board = Board(connection, as_user=True)
        prepared = prepare(board, None, wishes)
        if prepared.order.runtime.release not in prepared.facts.releases:
            apply(board, prepared, say)
    program = f"{prepared.facts.prefix}/releases/{prepared.order.runtime.release}/bin/edge-ad"
    file = board.upload("bench.edgead", bundles.read_bytes(Path(bundle)))
    # The board's own store is of no concern to a file that was checked here, and may not be readable for the
    # account that logs in.
    no_store = f"{board.login.uploads}/no-store"
    return RemoteOutput(*board.show(program, command, file, *options, "--store", no_store))
