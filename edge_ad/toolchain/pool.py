"""Running a step's tasks side by side in worker processes that may crash."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from typing import Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from edge_ad.errors import EdgeAdError
from edge_ad.runtime.process import signal_name

Task = TypeVar("Task")
Result = TypeVar("Result")


_PR_SET_PDEATHSIG = 1
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
"""There is a process per processor: threads of numpy's own would only get in each other's way."""
_MOST_POOLS_IN_VAIN = 5
_LOOK_EVERY_S = 5.0
_NEVER_BEGAN = (
    "the worker processes die before they begin (is there enough memory? fewer at a time take less: -j or "
    "--workers)"
)


class WorkerCrashedError(EdgeAdError):
    """A worker process died: by a signal, or without an answer."""


class WorkerTimeoutError(EdgeAdError):
    """A worker process did not answer within the time limit and was ended."""


class WorkerFileError(EdgeAdError):
    """A task could not read or write something: a file, a file system over the network, a connection."""


@dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """What became of a task: a result, or the error that ended it."""

    task: Task
    result: Result | None
    error: EdgeAdError | None


class Workers:
    """Fresh processes that take tasks until the block ends; at once where it ends by an exception.

    Processes are spawned, not forked: TensorFlow's threads do not survive a fork.
    """

    def __init__(self, jobs: int, tasks_per_process: int = 0) -> None:
        """With `tasks_per_process`, each makes room for a new one after so many tasks; 0: never."""
        for variable in _ONE_THREAD:
            os.environ.setdefault(variable, "1")  # inherited by the workers
        self._jobs = jobs
        self._tasks_per_process = tasks_per_process
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self._jobs,
            max_tasks=self._tasks_per_process,
            context=multiprocessing.get_context("spawn"),
            initializer=_leave_interrupts_to_parent,
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._pool.close()  # type: ignore[no-untyped-call]  # pebble states no types
            self._pool.join()
        else:
            self._stop()

    def _stop(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble states no types
        self._pool.join()

    def run(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        time_limit_s: float,
        describe: Callable[[Task], str] | None = None,
        most_waiting: int | None = None,
    ) -> Iterator[Outcome[Task, Result]]:
        """Run `function` on every task; yield outcomes as they come. See `run_tasks`."""

        def named(task: Task) -> str:
            return f"{describe(task)}: " if describe else ""

        waiting, pools_in_vain = iter(tasks), 0
        while pools_in_vain < _MOST_POOLS_IN_VAIN:
            pools_in_vain += 1
            left: list[Task] = []
            for outcome in self._until_broken(function, waiting, left, time_limit_s, most_waiting, named):
                pools_in_vain = 0
                yield outcome
            if not left:
                return
            waiting = chain(left, waiting)
            self._stop()
            self._pool = self._new_pool()
        for task in waiting:
            yield Outcome(task, None, WorkerCrashedError(f"{named(task)}{_NEVER_BEGAN}"))

    def _until_broken(
        self,
        function: Callable[[Task], Result],
        waiting: Iterator[Task],
        left: list[Task],
        time_limit_s: float,
        most_waiting: int | None,
        named: Callable[[Task], str],
    ) -> Iterator[Outcome[Task, Result]]:
        """Outcomes until no task is waiting, or until the pool breaks: then those it had taken are in `left`.

        pebble gives a whole pool up where a process dies while none of them has a task.
        """
        pool, futures = self._pool, dict[Future[Result], Task]()

        def begin(most: int | None) -> None:
            for task in islice(waiting, most):
                try:
                    future = pool.schedule(_in_words, args=[function, task], timeout=time_limit_s)
                    futures[future] = task
                except RuntimeError:  # it broke meanwhile
                    left.append(task)
                    return

        begin(most_waiting)
        while futures and not left:
            done, _ = wait(futures, _LOOK_EVERY_S, return_when=FIRST_COMPLETED)
            if not done and not pool.active:  # of what it had not looked at yet, a broken pool says nothing
                break
            for future in done:
                task = futures.pop(future)
                try:
                    yield Outcome(task, future.result(), None)
                except BrokenProcessPool:
                    left.append(task)
                except TimeoutError:  # pebble's own: a task's would be in words
                    yield Outcome(task, None, _too_slow(named(task), time_limit_s))
                except ProcessExpired as error:
                    yield Outcome(task, None, _crashed(named(task), error.exitcode))
                except WorkerFileError as error:
                    yield Outcome(task, None, WorkerFileError(f"{named(task)}{error}"))
                except EdgeAdError as error:
                    yield Outcome(task, None, error)
                except MemoryError:
                    yield Outcome(task, None, WorkerCrashedError(f"{named(task)}out of memory"))
            if not left:
                begin(len(done))
        left += futures.values()


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int,
    time_limit_s: float,
    describe: Callable[[Task], str] | None = None,
    most_waiting: int | None = None,
    tasks_per_process: int = 0,
) -> Iterator[Outcome[Task, Result]]:
    """Run `function` on every task in `jobs` fresh processes; yield outcomes as they come.

    A task that crashes its process or exceeds the time limit becomes an Outcome with an error, and
    the rest go on in a new process; so they do after `tasks_per_process` tasks, where that is not 0. A task
    that ends with an OSError becomes such an Outcome, too. A process that dies before it has taken a task
    costs its start and no task; where nothing else ever happens, what is left becomes Outcomes with that
    error. Tasks are taken from the iterable as they are begun, at most `most_waiting` ahead of the outcomes;
    without that, all at once. `describe` names the task in such an error, for whoever reads it without the
    Outcome's own task. Other errors that edge_ad does not raise on purpose are raised here.
    """
    with Workers(jobs, tasks_per_process) as workers:
        yield from workers.run(
            function, tasks, time_limit_s=time_limit_s, describe=describe, most_waiting=most_waiting
        )


def default_jobs() -> int:
    """One process per processor this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_words(function: Callable[[Task], Result], task: Task) -> Result:
    """In the worker, where a TimeoutError can only be the task's own: outside it means the time limit."""
    try:
        return function(task)
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        raise WorkerFileError(f"{where}{error.strerror or str(error) or type(error).__name__}") from error


def _leave_interrupts_to_parent() -> None:
    # Ctrl-C reaches the whole process group; the parent decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # and when it is killed, they must not go on behind its back
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _too_slow(what: str, limit_s: float) -> EdgeAdError:
    return WorkerTimeoutError(f"{what}no answer within {limit_s:g} s; the process was ended")


def _crashed(what: str, exit_code: int) -> EdgeAdError:
    if exit_code < 0:
        name = signal_name(-exit_code)
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return WorkerCrashedError(f"{what}the process was killed by {name}{hint}")
    return WorkerCrashedError(f"{what}the process ended with exit code {exit_code}")
