"""`edge-ad verify`: whether a bundle is whole, and scores here as it did where it was built."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.options import PATH


@click.command()
@click.argument("bundle", type=PATH)
def verify(bundle: Path) -> None:
    """Check BUNDLE and replay its golden windows on this machine; exit 3 where scores differ."""
    from edge_ad.bundle.bundle import read
    from edge_ad.errors import BundleMismatchError
    from edge_ad.runtime.interpreter import interpreter_version
    from edge_ad.runtime.selftest import self_test

    loaded = read(bundle)
    results = [self_test(loaded, variant.name) for variant in loaded.manifest.variants]
    for result in results:
        click.echo(
            f"{result.variant}: {'ok' if result.passed else 'FAILED'}, {result.windows} windows, largest "
            f"relative error {result.error:.2g} (window {result.worst_window}), "
            f"tolerance {result.tolerance:g}"
        )
    failed = [result.variant for result in results if not result.passed]
    if failed:
        raise BundleMismatchError(
            f"{bundle}: {', '.join(failed)} does not score here as it did where it was built "
            f"({interpreter_version()})"
        )
