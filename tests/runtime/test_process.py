import subprocess
import sys

from edge_ad.runtime.process import peak_resident_bytes, resident_bytes

REPORT = "from edge_ad.runtime.process import *; print(resident_bytes(), peak_resident_bytes())"


def test_the_peak_is_at_least_what_is_there_now():
    before = resident_bytes()
    held = bytearray(b"x" * 50_000_000)
    assert resident_bytes() >= before + 45_000_000
    del held
    assert peak_resident_bytes() >= before + 45_000_000


def test_a_large_parent_is_not_counted():
    held = bytearray(b"x" * 200_000_000)
    result = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, text=True, check=True)
    now, peak = map(int, result.stdout.split())
    assert now <= peak < len(held) / 2
