"""A bundle that is to take over, on trial beside the one in service."""

from __future__ import annotations

from edge_ad.detect.decision import Decision
from edge_ad.errors import InterpreterError
from edge_ad.runtime.agent.bundle_run import BundleRun
from edge_ad.runtime.sources.source import Line


class Candidate:
    """Decides on the same lines as the bundle in service, unheard, until it comes to a score."""

    def __init__(self, run: BundleRun) -> None:
        self.run = run
        self._n_outdone = 0
        """Samples that the one in service scored and this one did not."""
        self._patience = 10 * run.window_length + 100

    def decides_on(self, line: Line, present: Decision | None) -> bool:
        """Take in a line on which the one in service decided `present`; whether this one has scored it, too.

        Raises InterpreterError where its model fails, or where it has been outdone for too long.
        """
        for _ in self.run.decide(line):
            pass
        newest = self.run.newest
        if newest is not None and newest.score is not None:
            return True
        if present is not None and present.score is not None:
            self._n_outdone += 1
        if self._n_outdone > self._patience:
            why = "no line could be read" if newest is None else newest.reason
            raise InterpreterError(
                f"no score for {self._n_outdone} samples that the bundle in service scored ({why})"
            )
        return False
