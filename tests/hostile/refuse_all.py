"""Reads every bundle of the corpus that is refused by reading, in a process with nothing else in it.

Usage: python -m tests.hostile.refuse_all BUNDLE; prints a line of JSON: how many were refused, the modules
that were loaded, and the largest resident set size before and after.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from edge_ad.bundle.bundle import unpack
from edge_ad.errors import BundleError
from tests.hostile.corpus import REFUSED


def peak_bytes() -> int:
    """Largest resident set size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Read them all."""
    good = Path(sys.argv[1]).read_bytes()
    unpack(good)
    before, refused = peak_bytes(), 0
    for attack in REFUSED:
        try:
            unpack(attack.make(good), attack.trust())
        except BundleError:
            refused += 1
    modules = sorted({name.split(".")[0] for name in sys.modules})
    print(json.dumps({"refused": refused, "modules": modules, "before": before, "after": peak_bytes()}))


if __name__ == "__main__":
    main()
