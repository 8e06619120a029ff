"""Optuna's study, in a file: the trials so far, and what to try next."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import ConfigurationError, EdgeAdError, OutputError
from edge_ad.files import sync_folder
from edge_ad.text import counted
from edge_ad.toolchain.search.record import TrialRow
from edge_ad.toolchain.search.space import Space
from edge_ad.toolchain.settings import BuildSettings

if TYPE_CHECKING:
    import optuna

_STUDY = "search"
_OF = "search"
"""Attribute of the study: which search it is of."""
_NEXT = "put back the one that was there, or search again into another folder"

_UNWRITABLE = {
    sqlite3.SQLITE_FULL: "no space left on the disk",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CANTOPEN: "it or its journal cannot be opened",
    sqlite3.SQLITE_IOERR: "input/output error",
    sqlite3.SQLITE_BUSY: "another program holds it",
    sqlite3.SQLITE_LOCKED: "another program holds it",
    sqlite3.SQLITE_PERM: "permission denied",
}
"""By SQLite's primary result code; of any other one, what is in the file is to blame."""


class Study:
    """The trials of one search.

    `digest` tells the search from others, and `n_ended` trials are known to have ended: a file that is of
    another search, or has fewer, is refused and left as it is. Where none has ended, and there is no file,
    one is made. Raises ConfigurationError; OutputError where the file cannot be written.
    """

    def __init__(self, path: Path, digest: str, seed: int, n_ended: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._path, self._seed, self._n_ended = optuna, path, seed, n_ended
        if not path.exists():
            if n_ended:
                raise self._refused("is gone")
            _create(path, digest)
        if not path.is_file():
            raise self._refused("is no file")
        with self._reading():
            storage = _storage(path, new=False)
            self._study = optuna.load_study(storage=storage, study_name=_STUDY)
            # those of earlier versions do not say
            is_other = self._study.user_attrs.get(_OF, digest) != digest
        if is_other:
            raise self._refused("is of another search")

    def rows(self) -> list[TrialRow]:
        """The trials that ended, in order. What was interrupted is put aside.

        Raises ConfigurationError where there are fewer than there must be, or they are damaged; OutputError.
        """
        state = self._optuna.trial.TrialState
        found: list[TrialRow] = []
        with self._reading():
            trials = self._study.trials
            for trial in trials:
                if trial.state.is_finished() and trial.state != state.FAIL:
                    found.append(_row(len(found), trial, has_value=trial.state == state.COMPLETE))
        if len(found) < self._n_ended:
            raise self._refused(f"has {counted(len(found), 'trial')}")
        with _in_words(self._path):
            for trial in trials:
                if not trial.state.is_finished():
                    self._study.tell(trial.number, state=state.FAIL)
        return found

    def ask(self, number: int, space: Space, base: BuildSettings) -> tuple[optuna.Trial, TrialRow]:
        """What to try next, so many trials having ended. Raises OutputError, ConfigurationError."""
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        with self._reading():
            trial = self._study.ask()
            return trial, TrialRow(number, space.suggest(trial, base), None, {}, "")

    def tell(self, trial: optuna.Trial, row: TrialRow) -> None:
        """What it came to. One that failed counts as worse than any other, so that it is kept away from.

        Raises OutputError, ConfigurationError.
        """
        with _in_words(self._path):
            trial.set_user_attr("figures", row.figures)
            trial.set_user_attr("error", row.error)
            if row.value is None:
                self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
            else:
                self._study.tell(trial, row.value)

    def _refused(self, flaw: str) -> ConfigurationError:
        known = f", and {counted(self._n_ended, 'trial')} ended before" if self._n_ended else ""
        return ConfigurationError(f"{self._path} {flaw}{known}: {_NEXT}")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whatever cannot be made sense of is damage."""
        try:
            with _in_words(self._path):
                yield
        except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise _damaged(self._path, error) from error


def _create(path: Path, digest: str) -> None:
    """An empty study, there as a whole or not at all. Raises OutputError."""
    import optuna

    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            new = Path(scratch, path.name)
            with _in_words(path):
                storage = _storage(new, new=True)
                study = optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize")
                study.set_user_attr(_OF, digest)
                storage.engine.dispose()
            os.replace(new, path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _storage(path: Path, *, new: bool) -> optuna.storages.RDBStorage:
    """Optuna's storage in a file, of which no other name than this is looked at."""
    import optuna

    # a path in the address would have to be quoted twice, and could only be UTF-8
    connect = partial(sqlite3.connect, path)
    return optuna.storages.RDBStorage(
        "sqlite:///study.db", engine_kwargs={"creator": connect}, skip_table_creation=not new
    )


def _row(number: int, trial: optuna.trial.FrozenTrial, *, has_value: bool) -> TrialRow:
    """Raises TypeError, ValueError for what no search has written."""
    value = trial.value if has_value else None
    figures, error = trial.user_attrs.get("figures"), trial.user_attrs.get("error")
    if has_value and value is None:
        raise ValueError(f"trial {trial.number} has no value")
    if not isinstance(error, str) or not isinstance(figures, dict):
        raise TypeError(f"trial {trial.number} has lost its figures or its error")
    if not all(figure is None or isinstance(figure, (int, float)) for figure in figures.values()):
        raise TypeError(f"trial {trial.number} has figures that are no numbers")
    return TrialRow(number, trial.params, value, figures, error)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """What optuna and SQLAlchemy raise becomes OutputError or ConfigurationError."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        raise _error(path, error) from error


def _error(path: Path, error: Exception) -> EdgeAdError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, sqlite3.Error):
        cause = cause.__cause__
    # the primary code is the lowest byte; errors that Python's module itself raises have none
    words = _UNWRITABLE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    if words is None:
        return _damaged(path, cause or error)
    return OutputError(
        f"cannot write {path}: {words}; once that is mended, --resume goes on where this ended"
    )


def _damaged(path: Path, error: BaseException) -> ConfigurationError:
    lines = str(error).splitlines() or [type(error).__name__]
    return ConfigurationError(f"{path} is damaged: {lines[0]}; {_NEXT}")
