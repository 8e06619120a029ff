"""Look for inputs on which the readers of bundles fail with anything but an error of their own.

Guided by coverage where the package atheris is installed, by chance where it is not. Every exception
outside of edge_ad's own errors is a finding, as are a reader that takes long or much memory; the inputs
are kept, made as short as they get. Ends with 1 if there is one.

Usage: fuzz_bundle.py [--seconds 600] [--targets archive,model] [--folder build/fuzz] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import random
import re
import subprocess
import sys
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz_targets import Target

NAMES = ("archive", "manifest", "bundle", "model", "signature", "overlay")
MEMORY_MB = 2048
_FLUSH_EVERY = 200


def main() -> int:
    """Run every target in a process of its own, then say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together (600)")
    parser.add_argument("--targets", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/fuzz"), help="corpus and findings (build/fuzz)"
    )
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (1)")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # what the process of one target is told
    arguments = parser.parse_args()
    if arguments.only:
        _fuzz(arguments.only, arguments.folder, arguments.seconds, arguments.seed)
        return 0
    names = arguments.targets.split(",")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(NAMES)}")
    engine = "atheris" if find_spec("atheris") else "chance"
    if engine == "chance":
        print("atheris is not installed: mutations by chance, without coverage", file=sys.stderr)
    share = max(1, arguments.seconds // len(names))
    rows = [_run(name, arguments.folder, share, arguments.seed) for name in names]
    print(f"{'target':10} {'inputs':>9} {'taken':>9} {'refused':>9} {'findings':>8}")
    for row in rows:
        print("{target:10} {inputs:9} {taken:9} {refused:9} {findings:8}".format(**row))
    if arguments.json:
        figures = {"engine": engine, "seconds": share * len(names), "targets": rows}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    for row in rows:
        for file in row["files"]:
            print(f"finding: {file}")
    return 1 if any(row["findings"] for row in rows) else 0


def _run(name: str, folder: Path, seconds: int, seed: int) -> dict[str, Any]:
    """One target in a process of its own; its figures."""
    findings = folder / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    counts = folder / f"{name}.json"
    counts.unlink(missing_ok=True)
    print(f"{name}: {seconds} s …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--only", name, "--folder", str(folder), "--seed", str(seed)]
    with (folder / f"{name}.log").open("w") as log:
        code = subprocess.run(
            [*command, "--seconds", str(seconds)], stdout=log, stderr=log, check=False
        ).returncode
    figures: dict[str, int] = json.loads(counts.read_text()) if counts.exists() else {}
    done = re.findall(r"Done (\d+) runs", (folder / f"{name}.log").read_text(errors="replace"))
    if code or not figures:
        (findings / "process.txt").write_text(f"the process ended with {code}; see {folder / name}.log\n")
    files = sorted(
        str(path) for path in findings.iterdir() if path.suffix != ".txt" or path.stem == "process"
    )
    return {
        "target": name,
        "inputs": int(done[-1]) if done else figures.get("taken", 0) + figures.get("refused", 0),
        "taken": figures.get("taken", 0),
        "refused": figures.get("refused", 0),
        "findings": len(files),
        "files": files,
    }


def _fuzz(name: str, folder: Path, seconds: int, seed: int) -> None:
    """The process of one target."""
    if find_spec("atheris") is None:
        targets = importlib.import_module("fuzz_targets")
        _by_chance(_Recorder(name, targets, folder), targets.TARGETS[name], seconds, seed)
        return
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["edge_ad", "zipfile"]):
        targets = importlib.import_module("fuzz_targets")
    target = targets.TARGETS[name]
    corpus = folder / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for content in target.seeds():
        (corpus / f"seed-{hashlib.sha256(content).hexdigest()[:16]}").write_bytes(content)
    words = folder / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words()) or "# none\n")
    recorder = _Recorder(name, targets, folder)
    options = [
        *(f"-max_total_time={seconds}", f"-max_len={target.max_bytes}", f"-rss_limit_mb={MEMORY_MB}"),
        *(f"-dict={words}", f"-seed={seed}", f"-artifact_prefix={recorder.folder}/", "-timeout=60"),
        *("-print_final_stats=1", "-report_slow_units=10", "-verbosity=1"),
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], recorder.take)
    atheris.Fuzz()  # never returns


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


class _Recorder:
    """Feeds a target, counts, and keeps the first input of every kind of finding."""

    def __init__(self, name: str, targets: Any, folder: Path) -> None:
        self.name, self.folder = name, folder / "findings" / name
        self._targets, self._target = targets, targets.TARGETS[name]
        self._counts = {"taken": 0, "refused": 0, "escaped": 0}
        self._counts_file = folder / f"{name}.json"
        self._known: set[str] = set()

    def take(self, data: bytes) -> None:
        """Feed one input."""
        error = self._targets.outcome(self._target, data)
        kind = "taken" if error is None else "escaped" if self._targets.is_finding(error) else "refused"
        self._counts[kind] += 1
        if kind == "escaped":
            self._keep(data, error)
        if sum(self._counts.values()) % _FLUSH_EVERY == 1:
            self.flush()

    def flush(self) -> None:
        """Write the counts: the process may end at any time."""
        self._counts_file.write_text(json.dumps(self._counts))

    def _keep(self, data: bytes, error: Exception) -> None:
        key = _place_of(error)
        if key in self._known:
            return
        self._known.add(key)
        short = self._shortened(data, key)
        final = self._targets.outcome(self._target, short) or error
        path = self.folder / hashlib.sha256(key.encode()).hexdigest()[:12]
        path.write_bytes(short)
        path.with_suffix(".txt").write_text("".join(traceback.format_exception(final)))

    def _shortened(self, data: bytes, key: str) -> bytes:
        """The input without what it does not need for the same finding."""
        end = time.monotonic() + 20
        size = len(data) // 2
        while size and time.monotonic() < end:
            at = 0
            while at < len(data) and time.monotonic() < end:
                shorter = data[:at] + data[at + size :]
                error = self._targets.outcome(self._target, shorter)
                if self._targets.is_finding(error) and _place_of(error) == key:
                    data = shorter
                else:
                    at += size
            size //= 2
        return data


def _place_of(error: Exception) -> str:
    """What makes two findings the same: the class, and the line of ours that it left."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "edge_ad" in frame.filename]
    last = frames[-1] if frames else None
    return f"{type(error).__name__} {last.filename}:{last.lineno}" if last else type(error).__name__


def _by_chance(recorder: _Recorder, target: Target, seconds: int, seed: int) -> None:
    """Mutations of the seeds until the time is over."""
    source, end = random.Random(seed), time.monotonic() + seconds
    seeds, words = target.seeds(), target.words()
    for content in seeds:
        recorder.take(content)
    while time.monotonic() < end:
        data = bytearray(source.choice(seeds))
        for _ in range(source.choice((1, 1, 1, 2, 3, 5, 10))):
            _mutate(data, source, seeds, words)
        recorder.take(bytes(data[: target.max_bytes]))
    recorder.flush()


def _mutate(data: bytearray, source: random.Random, seeds: list[bytes], words: list[bytes]) -> None:
    at = source.randrange(len(data) + 1)
    end = at + source.choice((1, 1, 2, 4, 8, 64))
    match source.randrange(7):
        case 0:
            data[at : at + 1] = source.randbytes(1)
        case 1:
            del data[at:end]
        case 2:
            data[at:at] = data[at:end]
        case 3:
            data[at:end] = source.randbytes(end - at)
        case 4 if words:
            word = source.choice(words)
            data[at : source.choice((at, at + len(word)))] = word
        case 5:
            other = source.choice(seeds)
            start = source.randrange(len(other) + 1)
            data[at:end] = other[start : start + end - at]
        case _:
            data[at : at + 4] = source.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(4, "little")


if __name__ == "__main__":
    sys.exit(main())
