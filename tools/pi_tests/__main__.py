"""Run with `python tools/pi_tests`.

Needs root and binfmt_misc for the root file systems; where these are missing it says so and leaves them out.
Ends with the exit code of the first failure. Logs and figures are left in build/pi.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import pi_rootfs  # noqa: E402

from pi_tests import report, workstation  # noqa: E402
from pi_tests.environments import Environment, environments  # noqa: E402
from pi_tests.place import Place, StepFailed  # noqa: E402
from pi_tests.report import Result  # noqa: E402
from pi_tests.run import Supplies, listener, run, say  # noqa: E402
from pi_tests.suite import fetch_pytest  # noqa: E402

FOLDER = ROOT / "build" / "pi"
WANTED_WHEEL_KB = 300
"""What our own wheel was meant to take, 1000 bytes each. It is told how far off that is."""
LARGEST_WHEEL_KB = 1100
"""What it must not exceed unnoticed."""


def main() -> int:
    """Run everything; the exit code of the first failure."""
    parser = argparse.ArgumentParser(prog="pi_tests", description="Tests where only a device's packages are.")
    parser.add_argument("names", nargs="*", metavar="ENVIRONMENT", help="only these (default: all)")
    parser.add_argument("--no-tests-pi", action="store_true", help="without the tests of tests/pi")
    options = parser.parse_args()
    there = environments()
    unknown = set(options.names) - {environment.name for environment in there}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(e.name for e in there)}")
    chosen = [e for e in there if e.name in options.names or not options.names]
    missing = pi_rootfs.unavailable()
    logs = FOLDER / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    try:
        wheel = _build_wheel()
        results, problems = _run_all(chosen, wheel, missing, logs)
    except StepFailed as error:
        print(error, file=sys.stderr)
        return error.code
    _tell(results, wheel)
    problems += [(r.code, f"{r.environment.name}: {text}") for r in results for text in r.complaints]
    problems += _too_large(wheel) + _may_be_missing(missing)
    for _, text in problems:
        print(f"FAILED {text}", file=sys.stderr)
    if not options.no_tests_pi and not options.names:
        code = _tests_pi(missing)
        problems += [(code, "")] if code else []
    return problems[0][0] if problems else 0


def _build_wheel() -> Path:
    folder = FOLDER / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    place = Place(FOLDER, FOLDER / "logs" / "wheel.log")
    place.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT])
    (wheel,) = folder.glob("edge_ad-*.whl")
    return wheel


def _too_large(wheel: Path) -> list[tuple[int, str]]:
    size = wheel.stat().st_size / 1000
    if size <= LARGEST_WHEEL_KB:
        return []
    return [(1, f"{wheel.name} has {size:.0f} KB, and may have {LARGEST_WHEEL_KB}")]


def _may_be_missing(missing: str | None) -> list[tuple[int, str]]:
    """In CI, only what cannot be installed."""
    if missing is None or not os.environ.get("CI") or not pi_rootfs.missing_packages():
        return []
    return [(1, f"{missing}: CI must not skip the root file systems")]


def _run_all(
    chosen: list[Environment], wheel: Path, missing: str | None, logs: Path
) -> tuple[list[Result], list[tuple[int, str]]]:
    pytest = FOLDER / "pytest"
    if not pytest.is_dir():
        fetch_pytest(pytest)
    here = Place(FOLDER, logs / "workstation.log")
    hear = listener("workstation")
    skab = workstation.recordings()
    if skab is None:
        say("workstation", "SKIPPED the SKAB recordings: name the folder of skab/ in EDGE_AD_TEST_DATA")
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        # One more than processors: some download meanwhile. What others wait for is submitted first.
        pairs = pool.submit(workstation.prepare_pairs, skab, here, hear)
        answers = pool.submit(
            lambda: workstation.decide(here, Path(sys.executable), pairs.result(), (), hear)
        )
        supplies = Supplies(wheel, pytest, logs, pairs, answers)
        futures = [pool.submit(_one, environment, supplies, missing) for environment in chosen]
        results = [future.result() for future in futures]
        error = answers.exception()
    return results, [(getattr(error, "code", 1), f"workstation: {error}")] if error else []


def _one(environment: Environment, supplies: Supplies, missing: str | None) -> Result:
    if environment.root is not None and missing is not None:
        say(environment.name, f"SKIPPED: {missing}")
        return Result(environment, skipped=missing)
    if environment.python is None:
        reason = "it needs Python 3.11, which this machine does not have"
        say(environment.name, f"SKIPPED: {reason}")
        return Result(environment, skipped=reason)
    return run(environment, supplies)


def _tell(results: list[Result], wheel: Path) -> None:
    report.write(FOLDER / "results.json", wheel.stat().st_size, results)
    print(f"\n{report.table(results)}\n\n{report.LEGEND}")
    size = wheel.stat().st_size / 1000
    print(f"{wheel.name}: {size:.0f} KB, wanted: {WANTED_WHEEL_KB}{' (MISSED)' * (size > WANTED_WHEEL_KB)}")
    for line in report.notes(results):
        print(line)
    print(f"all figures: {FOLDER / 'results.json'}, logs: {FOLDER / 'logs'}", flush=True)


def _tests_pi(missing: str | None) -> int:
    if missing is not None:
        say("tests/pi", f"SKIPPED: {missing}")
        return 0
    say("tests/pi", "deploying to root file systems")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/pi", "-n", "2", "--dist", "loadfile", "--durations", "12"],
        cwd=ROOT,
        env=os.environ | {"EDGE_AD_PI_TESTS": "1"},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
