import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_ad.runtime.agent.undelivered import Undelivered
from tests.runtime.agent.support import Log, ids

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
N_KILLS = 60


@pytest.fixture
def memory_disk(tmp_path):
    """A folder on a disk that is fast, where there is one."""
    fast = Path("/dev/shm")
    if not os.access(fast, os.W_OK):
        yield tmp_path
        return
    folder = fast / f"edge-ad-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_the_spool_survives_every_interruption(tmp_path, memory_disk):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler for the shim that interrupts: apt-get install gcc")
    shim = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, HERE / "shim.c", "-ldl"], check=True)
    result = subprocess.run(
        [sys.executable, "-m", "tests.crash.spool_scenario", memory_disk],
        cwd=ROOT,
        env=os.environ | {"LD_PRELOAD": str(shim), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    counts = json.loads(result.stdout)
    print(counts)
    assert counts["killed"] >= 300
    assert counts["torn"] >= 300
    assert counts["full"] >= 300
    assert counts["power cuts"] >= 2000


LIFE = """
import os, sys
from pathlib import Path
from edge_ad.runtime.agent.undelivered import Undelivered
from tests.runtime.agent.support import event, ids

def tell(*words):
    os.write(1, (" ".join(words) + "\\n").encode())

def live(path):
    subject = Undelivered(path, ("a",), note=print, say=print)
    number = int(subject.checkpoints.get("pump-1", "-1"))
    tell("started")
    while True:
        number += 1
        if subject.add([event(number, number % 3, size=number % 700)], {"pump-1": str(number)}):
            tell("added", str(number))
        if number % 5 == 0:
            some = ids(subject.pending("a", 3))
            tell("delivering", *some)
            subject.done("a", some)

# One process that loads all it takes, and many that are killed.
while sys.stdin.readline():
    child = os.fork()
    if not child:
        live(Path(sys.argv[1]))
    tell("child", str(child))
    os.waitpid(child, 0)
    tell("ended")
"""


def test_processes_that_are_killed_at_any_moment(tmp_path):
    path = tmp_path / "spool.db"
    rng = random.Random(1)
    added, delivering = set(), set()
    command = [sys.executable, "-c", LIFE, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        for _ in range(N_KILLS):
            process.stdin.write("go\n")
            process.stdin.flush()
            child, has_started = None, False
            while child is None or not has_started:
                word, *rest = process.stdout.readline().split()
                if word == "child":
                    child = int(rest[0])
                has_started |= word == "started"
                added |= set(rest) if word == "added" else set()
                delivering |= set(rest) if word == "delivering" else set()
            time.sleep(rng.uniform(0, 0.03))  # it is killed in the middle of whatever it is at
            os.kill(child, 9)
            for line in iter(process.stdout.readline, "ended\n"):
                word, *rest = line.split()
                added |= set(rest) if word == "added" else set()
                delivering |= set(rest) if word == "delivering" else set()
        process.stdin.close()
    log = Log()
    subject = Undelivered(path, ("a",), note=log.note, say=log.say)
    pending = ids(subject.pending("a", 10**6))
    newest = int(subject.checkpoints["pump-1"])
    subject.close()
    assert len(added) > N_KILLS
    assert added <= set(pending) | delivering
    assert pending == sorted(set(pending), key=int)
    # The state of the stream and the events before it went together.
    assert {str(n) for n in range(newest + 1)} == set(pending) | delivering
    assert not log.notes
