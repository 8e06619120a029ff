"""The board's end of `edge-ad deploy`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from edge_ad.bundle.codec import decode, encode
from edge_ad.errors import EdgeAdError
from edge_ad.runtime.install.deployment import Deployment
from edge_ad.runtime.install.facts import collect
from edge_ad.runtime.install.layout import Layout
from edge_ad.runtime.install.order import SCHEMA, Order
from edge_ad.runtime.install.progress import Event, InstallError, to_line
from edge_ad.runtime.install.remove import remove
from edge_ad.runtime.install.worker import abandon_output, carry_out


def main() -> NoReturn:
    """`facts`, `plan ORDER`, `apply ORDER` or `remove [--purge]`; answers are lines of JSON."""
    os.umask(0o022)  # the service's account must be able to read what root installs
    try:
        code = _command(sys.argv[1:])
    except BrokenPipeError:
        abandon_output()
        code = 0
    except EdgeAdError as error:
        print(to_line(Event("", "end", str(error), error.exit_code)), flush=True)
        code = error.exit_code
    sys.exit(code)


def _command(words: list[str]) -> int:
    layout = Layout.here()
    match words:
        case ["facts"]:
            print(json.dumps(encode(collect(layout))), flush=True)
            return 0
        case ["plan", path]:
            deployment = Deployment(read_order(Path(path)), layout, Path(path), lambda event: None)
            for step in deployment.steps():
                event = Event(step.name, "kept" if step.is_done() else "begin", step.text)
                print(to_line(event), flush=True)
            return 0
        case ["apply", path]:
            order = read_order(Path(path))
            return carry_out(
                layout.work,
                lambda say: Deployment(order, layout, Path(path), say).run(),
                sys.stdout,
            )
        case ["remove", *options]:
            purge = "--purge" in options
            return carry_out(layout.work, lambda say: remove(layout, say, purge=purge), sys.stdout)
    raise InstallError(f"unknown command: {' '.join(words)}")


def read_order(path: Path) -> Order:
    """The order; what it names lies beside it. Raises InstallError."""
    try:
        order = decode(Order, json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise InstallError(f"the order did not arrive: {error}") from error
    if order.schema != SCHEMA:
        raise InstallError(f"the order is of schema {order.schema}, and this is {SCHEMA}")
    return order
