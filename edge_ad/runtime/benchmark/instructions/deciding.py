"""The program whose instructions are counted: decide on so many windows, and do nothing else.

Usage: python -m edge_ad.runtime.benchmark.instructions.deciding BUNDLE STORE ENGINE VARIANT WINDOWS
(STORE may be empty: the machine's own.) One line of JSON tells how it went.
"""

from __future__ import annotations

import json
import platform
import struct
import sys
from pathlib import Path

from edge_ad.bench.architecture import python_architecture
from edge_ad.errors import EdgeAdError
from edge_ad.runtime.benchmark.measure import Stream
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.interpreter import interpreter_version, use_interpreter
from edge_ad.runtime.store.open import find_bundle


def main() -> None:
    """Decide."""
    reference, store, engine, variant, windows = sys.argv[1:]
    said = {"architecture": python_architecture(platform.machine(), 8 * struct.calcsize("P"))}
    try:
        bundle = find_bundle(reference, Path(store) if store else None).bundle
        use_interpreter(engine)
        stream = Stream(bundle, Detector.load(bundle, variant))
        said["version"] = interpreter_version()
        stream.first_decision()
        for _ in range(int(windows)):
            stream.push()
        stream.durations_ns()
    except EdgeAdError as error:
        said |= {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
