"""`edge-ad verify`: whether a bundle is whole, and scores here as it did where it was built."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_ad.cli.options import bundle_argument, store_option


@click.command()
@bundle_argument
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify(bundle: str, store: Path | None, as_json: bool) -> None:
    """Check BUNDLE and replay its golden windows on every engine of this machine.

    Engines are the TFLite interpreters that are installed, and numpy.

    Exit 3 where the bundle is refused or a score differs from what it was where the bundle was built.
    """
    from edge_ad.bundle.codec import encode
    from edge_ad.errors import BundleGoldenError
    from edge_ad.runtime.selftest import replay_on_interpreters
    from edge_ad.runtime.store.open import find_bundle
    from edge_ad.text import printable

    found = find_bundle(bundle, store)
    tests = replay_on_interpreters(found.bundle)
    for key in found.bundle.manifest.unknown_keys:
        click.echo(f"ignored, from a newer edge_ad: {printable(key)}", err=True)
    if as_json:
        report = {
            "bundle_id": found.bundle.manifest.bundle_id,
            "signature": encode(found.bundle.signature),
            "interpreters": [encode(test) | {"passed": test.passed} for test in tests],
        }
        click.echo(json.dumps(report))
    else:
        click.echo(f"whole; {found.bundle.signature.text()}")
        for test in tests:
            click.echo(f"{test.interpreter}:")
            for result in test.results:
                click.echo(f"  {result.text()}")
            if test.problem:
                click.echo(f"  FAILED: {test.problem}")
    problems = [test.complaint() for test in tests if not test.passed]
    if problems:
        raise BundleGoldenError(f"{found.name}: {' '.join(problems)}")
