import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_ad.bundle.secret_key import new_key
from edge_ad.bundle.signing import sign
from tests.forge import edited

HERE = Path(__file__).parent


def test_the_store_survives_every_interruption(tmp_path, toy_bundle_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler for the shim that interrupts: apt-get install gcc")
    shim = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, HERE / "shim.c", "-ldl"], check=True)
    bundles, work = tmp_path / "bundles", tmp_path / "work"
    bundles.mkdir()
    work.mkdir()
    key = new_key()
    (bundles / "me.pub").write_text(key.public.text())
    data = toy_bundle_path.read_bytes()
    for number in (1, 2, 3):
        other = edited(data, lambda manifest, n=number: manifest.update(build_number=n))
        (bundles / f"{number}.edgead").write_bytes(sign(other, key))
    result = subprocess.run(
        [sys.executable, "-m", "tests.crash.scenario", work, bundles],
        cwd=HERE.parents[1],
        env=os.environ | {"LD_PRELOAD": str(shim), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    counts = json.loads(result.stdout)
    print(counts)
    assert counts["killed"] >= 200
    assert counts["torn"] >= 40
    assert counts["full"] >= 200
