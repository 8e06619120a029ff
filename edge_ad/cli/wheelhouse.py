"""`edge-ad wheelhouse`: packages for boards that have no network."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.options import PATH


@click.command()
@click.option("--target", required=True, help="Kind of board and system, such as rpi4-bookworm.")
@click.option("-o", "--output", type=PATH, help="Folder.  [default: wheelhouse-TARGET]")
@click.option("--gpio", is_flag=True, help="With what lamps and relays on GPIO pins need.")
def wheelhouse(target: str, output: Path | None, gpio: bool) -> None:
    """Collect all packages that boards of one kind need, for `edge-ad deploy --wheelhouse`.

    A target is PROFILE-OS: rpi-4b-bookworm, rpi4-trixie, rpi-3b-bookworm-32bit; a wrong one lists them all.
    32-bit systems take numpy from Debian: put the .deb files of python3-numpy and python3-cryptography, with
    what they need, into the folder if the boards cannot fetch them.
    """
    from edge_ad.profiles import target as parse_target
    from edge_ad.toolchain.deploy.requirements import BoardPython
    from edge_ad.toolchain.deploy.wheelhouse import collect

    chosen = parse_target(target)
    system = chosen.system
    board = BoardPython(system.architecture, system.python_version, system.glibc_version)
    folder = output or Path(f"wheelhouse-{chosen.name}")
    click.echo(f"collecting packages for {chosen.profile.title}, {system.os}, {board.text()} …", err=True)
    found = collect(chosen.name, board, folder, gpio=gpio)
    size = sum((folder / name).stat().st_size for name in found.files)
    click.echo(f"{folder}: {len(found.files)} wheels, {size / 1e6:.1f} MB")
    if found.debian:
        click.echo(f"the board must have, of Debian: {', '.join(found.debian)}", err=True)
