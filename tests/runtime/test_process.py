import os
import subprocess
import sys
import time

import pytest

from edge_ad.runtime.process import cold_start_s, cpu_seconds, peak_resident_bytes, resident_bytes

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


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return result.stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="from Linux's process status")
def test_the_cold_start_is_the_age_of_the_process():
    before = time.monotonic()
    code = "import time; time.sleep(0.3); from edge_ad.runtime.process import *; print(cold_start_s())"
    (age,) = map(float, run(code))
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert 0.3 - tick <= age <= time.monotonic() - before + tick


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="from Linux's process status")
def test_the_programs_name_does_not_matter():
    code = (
        "from pathlib import Path; Path('/proc/self/comm').write_text('a) 1 (b');"
        "from edge_ad.runtime.process import *; print(cold_start_s())"
    )
    (age,) = map(float, run(code))
    assert 0 <= age < 60


def test_there_is_no_cold_start_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "nonsense")
    assert cold_start_s() is None


def test_processor_time_counts_work_and_not_sleep():
    before = cpu_seconds()
    time.sleep(0.2)
    assert cpu_seconds() - before < 0.1
    while cpu_seconds() < before + 0.2:
        pass
