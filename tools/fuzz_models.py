"""What becomes of bundles whose models were changed by chance: which line of defence stops how many.

Every mutant goes through three doors: with the digests as they were, with digests made right behind a
signature, and with digests made right where no signature is asked for. What gets through the last one is
scored on the golden windows, in a process that may die of it. Ends with 1 if a mutant came further than it
may, or anything but an error of edge_ad's own was raised.

Usage: fuzz_models.py [--bundle FILE] [--count 2000] [--seed 1] [--real 24] [--json FILE] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import select
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the helpers of the tests

from edge_ad.bundle.archive import SIGNATURE, serialize
from edge_ad.bundle.bundle import Bundle, unpack
from edge_ad.bundle.flatbuffer_reader import Reader
from edge_ad.bundle.secret_key import new_key
from edge_ad.bundle.signing import sign
from edge_ad.bundle.tflite_schema import IDENTIFIER, Buffer, Model
from edge_ad.bundle.trust import TrustPolicy
from edge_ad.errors import (
    BundleDigestError,
    BundleGoldenError,
    BundleModelError,
    BundleSignatureError,
    EdgeAdError,
)
from edge_ad.runtime.selftest import require_golden_scores, self_test
from tests.forge import members_of, with_member, with_signature

TOY = Path(__file__).resolve().parents[1] / "tests" / "data" / "toy.edgead"
ANSWER_S = 60
"""A worker that says nothing for so long is ended."""
BATCH = 200
"""Mutants per worker."""

SAME, CLOSE, DIFFERS = "same scores", "scores within tolerance", "golden scores differ"
REFUSED, DIED, SILENT = "interpreter refuses", "interpreter died", "interpreter hangs"
THROUGH = (SAME, CLOSE)
_HEAD = struct.Struct("<BI")


@dataclass(frozen=True)
class Mutant:
    """A model with something changed."""

    variant: str
    kind: str
    """How it was changed."""
    region: str
    """`weights` for bytes of constants, `structure` for all others."""
    content: bytes


# --- making them -----------------------------------------------------------------------------------


def mutants(bundle: Bundle, count: int, seed: int) -> Iterator[Mutant]:
    """So many mutants, by turns of the variants; half of them changed outside of the constants."""
    source = random.Random(seed)
    variants = [entry.name for entry in bundle.manifest.variants]
    places = {name: _places(bundle.model(name)) for name in variants}
    for number in range(count):
        name = variants[number % len(variants)]
        region = ("structure", "weights")[number // len(variants) % 2]
        kind = source.choice(list(_KINDS))
        content = bundle.model(name)
        while content == bundle.model(name):
            changed = bytearray(bundle.model(name))
            _KINDS[kind](changed, source.choice(places[name][region]), source)
            content = bytes(changed)
        yield Mutant(name, kind, region, content)


def _places(content: bytes) -> dict[str, list[int]]:
    """Positions of the constants' bytes, and of all others."""
    reader = Reader(content)
    inside: set[int] = set()
    for at in reader.root(Model, IDENTIFIER).buffers:
        data = reader.table(Buffer, at).data
        if data is not None:
            start = content.index(data.tobytes(), at)
            inside.update(range(start, start + len(data)))
    return {"weights": sorted(inside), "structure": [n for n in range(len(content)) if n not in inside]}


def _bit(data: bytearray, at: int, source: random.Random) -> None:
    data[at] ^= 1 << source.randrange(8)


def _byte(data: bytearray, at: int, source: random.Random) -> None:
    data[at] = source.randrange(256)


def _extreme(data: bytearray, at: int, source: random.Random) -> None:
    at -= at % 4
    word = source.choice(
        (0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4, 0x7F800000, 0x7FC00000, 0x7F7FFFFF)
    )
    data[at : at + 4] = word.to_bytes(4, "little")


def _step(data: bytearray, at: int, source: random.Random) -> None:
    at -= at % 4
    word = int.from_bytes(data[at : at + 4], "little") + source.choice((-8, -4, -2, -1, 1, 2, 4, 8, 16))
    data[at : at + 4] = (word % 2**32).to_bytes(4, "little")


def _several(data: bytearray, at: int, source: random.Random) -> None:
    data[at] ^= source.randrange(1, 256)
    for _ in range(source.randrange(1, 8)):
        data[source.randrange(len(data))] ^= source.randrange(1, 256)


def _run(data: bytearray, at: int, source: random.Random) -> None:
    end = min(len(data), at + source.randrange(2, 65))
    data[at:end] = source.randbytes(end - at)


def _swap(data: bytearray, at: int, source: random.Random) -> None:
    at -= at % 4
    other = source.randrange(0, len(data) - 3, 4)
    data[at : at + 4], data[other : other + 4] = data[other : other + 4], data[at : at + 4]


_KINDS = {
    "bit": _bit,
    "byte": _byte,
    "extreme word": _extreme,
    "word a step off": _step,
    "2-8 bytes": _several,
    "run of 2-64 bytes": _run,
    "two words swapped": _swap,
}


# --- scoring them in a process that may die ----------------------------------------------------------


class Scorer:
    """A process that scores one mutant after the other, and is replaced when it dies of one."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        self._path = path
        self._variants = [entry.name for entry in bundle.manifest.variants]
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self.unconfirmed = 0
        """Deaths that did not happen again in a fresh process."""

    def outcome(self, mutant: Mutant) -> str:
        """What the interpreter makes of it. A death counts if it happens to a fresh process as well."""
        fresh = self._asked == 0
        found = self._ask(mutant)
        if found.startswith((DIED, SILENT)) and not fresh:
            again = self._ask(mutant)
            self.unconfirmed += again != found
            return again
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process, self._asked = None, 0

    def _ask(self, mutant: Mutant) -> str:
        if self._asked >= BATCH:
            self.close()
        if self._process is None:
            command = [sys.executable, __file__, "--worker", "--bundle", str(self._path)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked += 1
        head = _HEAD.pack(self._variants.index(mutant.variant), len(mutant.content))
        try:
            process.stdin.write(head + mutant.content)
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], ANSWER_S)
            line = process.stdout.readline().decode() if ready else None
        except BrokenPipeError:
            line = ""
        if line and line.endswith("\n"):
            return line.strip()
        if line is None:
            self.close()
            return SILENT
        code = process.wait()
        self.close()
        return f"{DIED} of {signal.Signals(-code).name}" if code < 0 else f"{DIED} with code {code}"


def _work(path: Path) -> None:
    """The scoring process: mutants on stdin, a line for each on stdout."""
    bundle = unpack(path.read_bytes())
    variants = bundle.manifest.variants
    untouched = {entry.name: self_test(bundle, entry.name) for entry in variants}
    while head := sys.stdin.buffer.read(_HEAD.size):
        index, length = _HEAD.unpack(head)
        entry, content = variants[index], sys.stdin.buffer.read(length)
        changed = dataclasses.replace(bundle, members={**bundle.members, entry.file: content})
        try:
            result = self_test(changed, entry.name)
            same = (result.error, result.score) == (untouched[entry.name].error, untouched[entry.name].score)
            print(SAME if same else CLOSE if result.passed else DIFFERS, flush=True)
        except BundleModelError:
            print(REFUSED, flush=True)
        except Exception as error:  # noqa: BLE001  to be counted, whatever it is
            print(f"raised {type(error).__name__}: {error}".splitlines()[0], flush=True)


# --- the three doors -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Doors:
    """A signed bundle, and the same one without its signature."""

    signed: bytes
    plain: bytes
    trust: TrustPolicy

    def stale(self, name: str, content: bytes) -> str:
        """The name of the error where digests were left as they were."""
        return _verdict(serialize({**members_of(self.signed), name: content}), TrustPolicy())

    def resealed(self, name: str, content: bytes) -> str:
        """The same where digests were made right behind the signature."""
        changed = with_member(self.signed, name, content)
        return _verdict(with_signature(changed, members_of(self.signed)[SIGNATURE]), self.trust)

    def unsigned(self, name: str, content: bytes) -> bytes:
        """A bundle with digests made right and no signature."""
        return with_member(self.plain, name, content)


def _verdict(data: bytes, trust: TrustPolicy) -> str:
    try:
        unpack(data, trust)
    except Exception as error:  # noqa: BLE001  to be counted, whatever it is
        return type(error).__name__ if isinstance(error, EdgeAdError) else f"raised {error!r}"
    return "taken"


def _real(data: bytes) -> str:
    """What an installer would make of it: the outcomes of a scorer, in its words."""
    try:
        require_golden_scores(unpack(data))
    except BundleGoldenError:
        return DIFFERS
    except BundleModelError as error:
        return DIED if "died of" in str(error) else REFUSED
    return "taken"


def _agrees(outcome: str, real: str) -> bool:
    return real == "taken" if outcome in THROUGH else outcome.startswith(real)


def experiment(path: Path, count: int, seed: int, n_real: int, keep: Path | None) -> dict[str, Any]:
    """Send so many mutants of a bundle's models through all doors; the figures."""
    plain = path.read_bytes()
    bundle, key = unpack(plain), new_key()
    doors = Doors(sign(plain, key), plain, TrustPolicy((key.public,), require_signature=True))
    assert unpack(doors.signed, doors.trust).signature.trusted
    files = {entry.name: entry.file for entry in bundle.manifest.variants}
    stale: Counter[str] = Counter()
    resealed: Counter[str] = Counter()
    table: Counter[tuple[str, str, str, str]] = Counter()
    scored: dict[str, list[bytes]] = {}
    scorer = Scorer(path, bundle)
    for number, mutant in enumerate(mutants(bundle, count, seed)):
        name = files[mutant.variant]
        stale[doors.stale(name, mutant.content)] += 1
        resealed[doors.resealed(name, mutant.content)] += 1
        data = doors.unsigned(name, mutant.content)
        outcome = _verdict(data, TrustPolicy())
        if outcome == "taken":
            outcome = scorer.outcome(mutant)
            scored.setdefault(outcome, []).append(data)
        table[mutant.variant, mutant.kind, mutant.region, outcome] += 1
        if keep is not None and outcome.startswith((DIED, SILENT, "raised")):
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{number}-{mutant.variant}.tflite").write_bytes(mutant.content)
        if sys.stderr.isatty() and number % 50 == 0:
            print(f"\r{number} of {count}", end="", file=sys.stderr, flush=True)
    scorer.close()
    checked = _check_real(scored, n_real)
    rows = [
        {"variant": v, "kind": k, "region": r, "outcome": o, "count": n}
        for (v, k, r, o), n in sorted(table.items())
    ]
    return {
        "bundle": path.name,
        "mutants": count,
        "seed": seed,
        "stale_digests": dict(stale),
        "stale_signature": dict(resealed),
        "outcomes": rows,
        "deaths_not_confirmed": scorer.unconfirmed,
        "by_the_installer": checked,
    }


def _check_real(scored: dict[str, list[bytes]], n_real: int) -> list[dict[str, Any]]:
    """Some of every outcome once more, as an installer does it."""
    rows = []
    for outcome, found in sorted(scored.items()):
        sample = found[: max(1, n_real // len(scored))] if n_real else []
        agreeing = sum(_agrees(outcome, _real(data)) for data in sample)
        rows.append({"outcome": outcome, "tried": len(sample), "agreeing": agreeing})
    return rows


# --- telling ---------------------------------------------------------------------------------------


def sound(figures: dict[str, Any]) -> bool:
    """Whether every mutant was stopped where it had to be, and nothing but typed errors was raised."""
    outcomes = {row["outcome"] for row in figures["outcomes"]}
    return (
        set(figures["stale_digests"]) == {BundleDigestError.__name__}
        and set(figures["stale_signature"]) == {BundleSignatureError.__name__}
        and not any(outcome.startswith("raised") for outcome in outcomes)
        and all(row["tried"] == row["agreeing"] for row in figures["by_the_installer"])
    )


def report(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{figures['mutants']} mutants of {figures['bundle']}, seed {figures['seed']}", ""]
    for title, key in (
        ("digests as they were", "stale_digests"),
        ("digests made right behind a signature", "stale_signature"),
    ):
        counts = ", ".join(f"{name} {n}" for name, n in sorted(figures[key].items()))
        lines.append(f"{title}: {counts}")
    lines += ["", "digests made right, no signature asked for:"]
    totals: Counter[str] = Counter()
    regions: Counter[tuple[str, str]] = Counter()
    for row in figures["outcomes"]:
        totals[row["outcome"]] += row["count"]
        regions[row["outcome"], row["region"]] += row["count"]
    width = max(map(len, totals))
    lines.append(f"  {'outcome':{width}}  {'structure':>9}  {'weights':>7}  {'all':>6}  {'share':>6}")
    for outcome, n in totals.most_common():
        first, second = regions[outcome, "structure"], regions[outcome, "weights"]
        share = 100 * n / figures["mutants"]
        lines.append(f"  {outcome:{width}}  {first:9}  {second:7}  {n:6}  {share:5.1f}%")
    tried = sum(row["tried"] for row in figures["by_the_installer"])
    agreeing = sum(row["agreeing"] for row in figures["by_the_installer"])
    lines += ["", f"as an installer does it: {agreeing} of {tried} with the same outcome"]
    return "\n".join(lines)


def main() -> int:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=TOY, help="an unsigned one (tests/data/toy.edgead)")
    parser.add_argument("--count", type=int, default=2000, help="mutants (2000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (1)")
    parser.add_argument("--real", type=int, default=24, help="how many to install once more (24)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--keep", type=Path, help="a folder for the models that end an interpreter")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        _work(arguments.bundle)
        return 0
    figures = experiment(arguments.bundle, arguments.count, arguments.seed, arguments.real, arguments.keep)
    print(report(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if sound(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
