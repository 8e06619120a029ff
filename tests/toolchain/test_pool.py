import ctypes
import errno
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from edge_ad.errors import ConverterCrashedError, ConverterTimeoutError, TrainingError
from edge_ad.toolchain import build, pool
from edge_ad.toolchain.pool import WorkerCrashedError, WorkerFileError, WorkerTimeoutError, run_tasks


def work(task):
    """What the tasks of these tests do, in another process."""
    match task:
        case "segfault":
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            np.empty(2**50)
        case "nameless":
            os.kill(os.getpid(), signal.SIGRTMIN + 2)
        case "exit":
            os._exit(7)
        case "hang":
            time.sleep(600)
        case "refuse":
            raise TrainingError("no use")
        case "network":
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), "/mnt/plant/a.csv")
        case "silence":
            raise TimeoutError
        case "bug":
            raise ZeroDivisionError
    return task.upper()


def outcomes(*tasks, jobs=1, time_limit_s=120.0):
    found = run_tasks(work, tasks, jobs=jobs, time_limit_s=time_limit_s, describe=lambda task: f"task {task}")
    return {outcome.task: outcome for outcome in found}


def test_results_come_back():
    found = outcomes("a", "b", "c", jobs=2)
    assert {task: outcome.result for task, outcome in found.items()} == {"a": "A", "b": "B", "c": "C"}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("segfault", "task segfault: the process was killed by SIGSEGV"),
        ("killed", "task killed: the process was killed by SIGKILL (out of memory?)"),
        ("memory", "task memory: out of memory"),
        ("nameless", f"task nameless: the process was killed by signal {signal.SIGRTMIN + 2}"),
        ("exit", "task exit: the process ended with exit code 7"),
    ],
)
def test_a_crash_is_an_outcome_and_the_rest_goes_on(task, words):
    found = outcomes("before", task, "after")
    assert isinstance(found[task].error, WorkerCrashedError)
    assert str(found[task].error) == words
    assert (found["before"].result, found["after"].result) == ("BEFORE", "AFTER")


def test_a_task_that_hangs_is_ended():
    found = outcomes("hang", "after", time_limit_s=2.0)
    assert isinstance(found["hang"].error, WorkerTimeoutError)
    assert "no answer within 2 s" in str(found["hang"].error)
    assert found["after"].result == "AFTER"


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("network", "/mnt/plant/a.csv: Connection timed out"),
        ("silence", "TimeoutError"),
    ],
)
def test_a_file_system_that_times_out_is_not_the_time_limit(task, words):
    found = outcomes(task, "after")
    assert isinstance(found[task].error, WorkerFileError)
    assert str(found[task].error) == f"task {task}: {words}"
    assert found["after"].result == "AFTER"


def tasks_whose_worker_is_killed_at_its_start():
    yield "a"
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)
    yield "b"


@pytest.mark.parametrize("most_waiting", [None, 2])
def test_a_worker_that_dies_before_its_first_task_costs_none(most_waiting):
    tasks = tasks_whose_worker_is_killed_at_its_start()
    found = list(run_tasks(work, tasks, jobs=1, time_limit_s=120.0, most_waiting=most_waiting))
    assert sorted((outcome.task, outcome.result) for outcome in found) == [("a", "A"), ("b", "B")]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_where_workers_only_ever_die_it_ends_in_words(monkeypatch):
    monkeypatch.setattr(pool, "_leave_interrupts_to_parent", die)  # what every worker begins with
    found = outcomes("a", "b")
    assert sorted(found) == ["a", "b"]
    assert all(isinstance(outcome.error, WorkerCrashedError) for outcome in found.values())
    assert str(found["b"].error).startswith("task b: the worker processes die before they begin")


def test_deliberate_errors_are_outcomes_and_bugs_are_raised():
    assert isinstance(outcomes("refuse")["refuse"].error, TrainingError)
    with pytest.raises(ZeroDivisionError):
        outcomes("bug")


class Quiet:
    """Progress that nobody watches."""

    def start(self, step, total, skipped):
        pass

    def advance(self, name, detail):
        pass

    def finish(self):
        pass


class NamedTask:
    """The least a step needs to know of a task."""

    def __init__(self, name):
        self.name = name


def convert_badly(task):
    return work(task.name)


@pytest.mark.parametrize(
    ("how", "limit_s", "error", "words"),
    [
        ("segfault", 120.0, ConverterCrashedError, "the process was killed by SIGSEGV"),
        ("hang", 2.0, ConverterTimeoutError, "no answer within 2 s; the process was ended"),
    ],
)
def test_a_converter_that_dies_is_a_conversion_error(how, limit_s, error, words):
    seen = []

    def explain(problem):
        seen.append(build.converter_error(problem))
        return seen[-1]

    tasks = [(NamedTask(how), False), (NamedTask("fine"), False)]
    found = f"1 of 2 failed, the others are done and kept:\n  {how}: {words}$"
    with pytest.raises(build.StepError, match=found):
        build.run_step("convert", convert_badly, tasks, 1, limit_s, Quiet(), explain)
    assert type(seen[0]) is error
