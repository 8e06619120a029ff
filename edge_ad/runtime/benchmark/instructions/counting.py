"""Instructions per window: of many windows less of few, so that starting drops out."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edge_ad import errors
from edge_ad.bench.machine import MachineFacts
from edge_ad.bench.results import InstructionCount
from edge_ad.errors import ConfigurationError, EdgeAdError, MissingDependencyError
from edge_ad.runtime.benchmark.instructions.counter import Counter
from edge_ad.runtime.benchmark.instructions.perf import Perf
from edge_ad.runtime.benchmark.instructions.qemu import Qemu
from edge_ad.runtime.benchmark.instructions.valgrind import Valgrind
from edge_ad.runtime.benchmark.plan import Configuration, configurations, wanted_engines
from edge_ad.runtime.journal import FLUSH_EVERY

DEFAULT_WINDOWS = FLUSH_EVERY
"""What is done every so many windows is then in both counts as often as it should be."""
REPEATS = 2
_ENGINES = "import json; from edge_ad.runtime.engine import available_engines as f; print(json.dumps(f()))"
_DECIDING = "edge_ad.runtime.benchmark.instructions.deciding"


def find_counter(machine: MachineFacts, rootfs: Path | None, python: str) -> Counter:
    """What can count here: for a root file system qemu, else the processor, else valgrind.

    Raises ConfigurationError, and MissingDependencyError with what to install.
    """
    if machine.translator:
        raise ConfigurationError(
            f"this program is itself translated ({machine.translator}), and nothing counts within that. "
            "Count from outside, on the workstation: edge-ad bench BUNDLE --instructions --rootfs ROOT"
        )
    if rootfs is not None:
        return Qemu(rootfs, python)
    try:
        return Perf()
    except MissingDependencyError as no_perf:
        try:
            return Valgrind()
        except MissingDependencyError as no_valgrind:
            raise MissingDependencyError(
                f"nothing counts instructions here. {no_perf}. {no_valgrind}"
            ) from None


def engines_of(counter: Counter) -> list[str]:
    """The engines of the Python that is counted, the preferred one first. Raises MissingDependencyError."""
    try:
        said = json.loads(counter.count([counter.python(), "-c", _ENGINES]).stdout)
    except (EdgeAdError, ValueError) as error:
        raise MissingDependencyError(f"edge_ad cannot be used by {counter.python()}: {error}") from error
    return [str(name) for name in said]


def count_instructions(
    counter: Counter,
    bundle: str,
    store: str | None,
    variants: Sequence[str],
    engines: Sequence[str] = (),
    *,
    windows: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[list[InstructionCount], list[EdgeAdError]]:
    """A count for each variant on each engine (on all of the counted Python for none), and what failed.

    Raises ConfigurationError, MissingDependencyError.
    """
    plan = configurations(wanted_engines(engines, engines_of(counter)), variants, (1,))
    session = InstructionSession(counter, bundle, store, windows or DEFAULT_WINDOWS, say=say)
    return session.count(plan), session.failures


@dataclass
class InstructionSession:
    """Counts for one configuration after the other, in as many processes at once as there are processors."""

    counter: Counter
    bundle: str
    store: str | None
    windows: int = DEFAULT_WINDOWS
    """By which many are more than few; rounded up to whole flushes of the journal."""
    repeats: int = REPEATS
    say: Callable[[str], None] = lambda text: None
    failures: list[EdgeAdError] = field(default_factory=list)
    """Of configurations that could not be counted, in order."""

    def count(self, configurations: Sequence[Configuration]) -> list[InstructionCount]:
        """A count for each; one that cannot be counted says why, and its error is in `failures`."""
        # How long it takes does not matter, so nothing is disturbed by company.
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = []
            for number, configuration in enumerate(configurations, 1):
                self.say(f"counting {number}/{len(configurations)} {configuration.title} …")
                found.append(self._count(configuration, pool))
        return found

    def _count(self, configuration: Configuration, pool: ThreadPoolExecutor) -> InstructionCount:
        few = FLUSH_EVERY
        many = few + FLUSH_EVERY * math.ceil(self.windows / FLUSH_EVERY)
        plan = [few, many] * self.repeats
        problem, counts = "", list[int]()
        said: dict[str, str] = {}
        try:
            for count, said in pool.map(lambda windows: self._process(configuration, windows), plan):  # noqa: B007
                counts.append(count)
        except EdgeAdError as error:
            problem, counts = str(error), []
            self.failures.append(type(error)(f"{configuration.title}: {error}"))
        return InstructionCount(
            counter=self.counter.name,
            architecture=said.get("architecture", ""),
            engine=configuration.engine,
            engine_version=said.get("version", configuration.engine),
            variant=configuration.variant,
            few_windows=few,
            many_windows=many,
            few=tuple(counts[::2]),
            many=tuple(counts[1::2]),
            problem=problem,
        )

    def _process(self, configuration: Configuration, windows: int) -> tuple[int, dict[str, str]]:
        """Instructions of one process, and what it said."""
        bundle = self.bundle if self.bundle.startswith("@") else str(Path(self.bundle).absolute())
        arguments = [bundle, self.store or "", configuration.engine, configuration.variant, str(windows)]
        counted = self.counter.count([self.counter.python(), "-m", _DECIDING, *arguments])
        try:
            said = json.loads(counted.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise EdgeAdError(f"the counted process did not answer: {counted.stdout[-200:]!r}") from error
        if "error" in said:
            raise getattr(errors, str(said["error"]), EdgeAdError)(str(said.get("text", "")))
        return counted.instructions, {str(key): str(value) for key, value in said.items()}
