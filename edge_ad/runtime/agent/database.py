"""A SQLite file that one process has to itself: a transaction is on disk when it returns, or never was."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_ad.errors import ConfigurationError, OutputError, StoreBusyError
from edge_ad.files import sync_folder

PAGE = 4096
"""Bytes."""
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite calls its files beside the database."""
# The cache is small, since the whole agent has to be. SECURE_DELETE, the default of Debian's library, would
# overwrite what is deleted with zeros: more writes for an SD card.
_SETTINGS = (
    f"page_size = {PAGE}",
    "auto_vacuum = INCREMENTAL",
    "cache_size = -256",
    "mmap_size = 0",
    "temp_store = MEMORY",
    "secure_delete = OFF",
    "cell_size_check = ON",
    "trusted_schema = OFF",
    "synchronous = FULL",
    "wal_autocheckpoint = 256",
    "journal_size_limit = 1048576",
)
_CHECKED_UP_TO = 32 << 20
"""Bytes: a larger file is not read through at the start. What is damaged in it shows when it is read."""
_MOST_SET_ASIDE = 3


class CannotUse(Exception):
    """The disk does not take or give it for now; the text says why."""


class Damaged(Exception):
    """What is in the file makes no sense, or the file is gone; the text says which."""


class Database:
    """Its methods raise CannotUse, and Damaged: then there is nothing to be done but `set_aside`."""

    def __init__(
        self, path: Path, schema: str, tables: set[str], *, application_id: int, version: int, most_pages: int
    ) -> None:
        """`schema` makes the `tables`; both the id and the version are written into the file's header."""
        self._path = path
        self._schema = schema
        self._tables = tables
        self._application_id = application_id
        self._version = version
        self._most_pages = most_pages
        self._lock = -1
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> None:
        """Make the file ready, create it where there is none.

        Raises ConfigurationError for what is another program's or of a newer version, StoreBusyError where
        another process has it open, OutputError where this account may not.
        """
        self._take_lock()
        with self._translated():
            # Opened and closed before SQLite has it open: to close it later would release SQLite's locks.
            os.close(_open(self._path))
            sync_folder(self._path.parent)
            self._identity = self._identity_now()
            self._db = sqlite3.connect(self._path, timeout=1.0, isolation_level=None, check_same_thread=False)
            self._db.text_factory = lambda text: text.decode(errors="replace")
            # With no other process to share with, SQLite keeps the index of its log in memory.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            is_new = self._is_new()
            for setting in _SETTINGS:
                self.rows(f"PRAGMA {setting}")
            if self.one("PRAGMA journal_mode = WAL") != "wal":
                raise CannotUse("SQLite can keep no write-ahead log there")
            self.rows(f"PRAGMA max_page_count = {self._most_pages}")
            if is_new:
                self._create()
            elif self._path.stat().st_size <= _CHECKED_UP_TO:
                found = self.one("PRAGMA quick_check(1)")
                if found != "ok":
                    raise Damaged(found)

    def close(self) -> None:
        """Let others have it."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def set_aside(self) -> Path | None:
        """Rename the file and what belongs to it, and close; the new name, None where it was gone.

        The oldest of more than three such files is removed.
        """
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self._path.with_name(f"{self._path.name}.damaged-{stamp}")
        if not self.is_own():
            self.close()
            return None
        try:
            # Before it is closed: what SQLite tidies up then, it looks for under the old names.
            for suffix in (*_BESIDE, ""):
                source = self._path.with_name(self._path.name + suffix)
                if source.exists():
                    source.rename(aside.with_name(aside.name + suffix))
            former = sorted(self._path.parent.glob(f"{self._path.name}.damaged-*Z"))
            for path in former[:-_MOST_SET_ASIDE]:
                for suffix in (*_BESIDE, ""):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
            sync_folder(self._path.parent)
        except OSError as error:
            raise CannotUse(f"it is damaged, and cannot be set aside: {error.strerror}") from error
        finally:
            self.close()
        return aside

    def is_own(self) -> bool:
        """Whether what is there under the name is still the file that was opened."""
        return self._identity_now() == self._identity

    # --- use ----------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within, or nothing."""
        if not self.is_own():
            raise Damaged("it was removed or replaced while it was in use")
        with self._translated():
            db = self._connection
            db.execute("BEGIN IMMEDIATE")
            try:
                yield
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                raise

    def rows(self, sql: str, *values: object) -> list[Any]:
        """The rows that a statement finds."""
        with self._translated():
            return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: object) -> Any:
        """The value that a statement is for."""
        return self.rows(sql, *values)[0][0]

    def do(self, sql: str, *values: object) -> int:
        """How many rows a statement changed."""
        with self._translated():
            return self._connection.execute(sql, values).rowcount

    def n_used_pages(self) -> int:
        """Pages that hold something."""
        n: int = self.one("PRAGMA page_count") - self.n_free_pages()
        return n

    def give_back(self, n_pages: int) -> None:
        """Make the file shorter by pages that hold nothing, where there are as many."""
        with self._translated():
            # A statement that has no columns is carried on by executescript alone, page after page.
            self._connection.executescript(f"PRAGMA incremental_vacuum({n_pages})")
            self._connection.execute("PRAGMA wal_checkpoint").fetchall()

    def n_free_pages(self) -> int:
        """Pages of the file that hold nothing."""
        n: int = self.one("PRAGMA freelist_count")
        return n

    # --- the file -----------------------------------------------------------------------------------

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise CannotUse("it is not open")
        return self._db

    def _take_lock(self) -> None:
        try:
            self._lock = _open(self._path.with_name(f"{self._path.name}.lock"))
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreBusyError(
                f"another process has {self._path} open: is an agent running already? Stop it first, or name "
                "for each agent a spool of its own"
            ) from error
        except OSError as error:
            raise self._os_error(error) from error

    def _is_new(self) -> bool:
        """Whether nothing is in it yet. Looks before anything is written: it may be somebody else's."""
        tables = {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        id_, version = self.one("PRAGMA application_id"), self.one("PRAGMA user_version")
        if not tables and id_ in (0, self._application_id):
            return True
        if id_ != self._application_id and not tables >= self._tables:
            raise ConfigurationError(
                f"{self._path} is another program's database; name another file as spool"
            )
        if id_ == self._application_id and version > self._version:
            raise ConfigurationError(
                f"{self._path} was written by a newer edge-ad (format {version}, this one knows "
                f"{self._version}): update edge-ad, or name another file as spool"
            )
        if (id_, version) != (self._application_id, self._version) or not tables >= self._tables:
            raise Damaged("its header is none of edge-ad's")
        return False

    def _create(self) -> None:
        with self.transaction():
            # executescript would commit
            for statement in self._schema.split(";"):
                self.rows(statement)
            self.rows(f"PRAGMA application_id = {self._application_id}")
            self.rows(f"PRAGMA user_version = {self._version}")

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors in the words of the person who cares for the machine."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is None:  # of Python's own making: a mistake in this program
                raise
            code &= 0xFF
            if code in _DAMAGED:
                raise Damaged(str(error)) from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreBusyError(
                    f"another program has {self._path} open; end it, then try again"
                ) from error
            raise CannotUse(_ADVICE.get(code, str(error))) from error
        except OSError as error:
            raise self._os_error(error) from error

    def _os_error(self, error: OSError) -> Exception:
        if error.errno in (errno.EACCES, errno.EPERM):
            return OutputError(
                f"cannot use {self._path}: {error.strerror}; the agent's account must be able to write: "
                f"chown -R ACCOUNT {self._path.parent}"
            )
        if error.errno in (errno.EISDIR, errno.ENOTDIR):
            return ConfigurationError(f"cannot use {self._path}: {error.strerror}; name a file as spool")
        text = error.strerror or str(error)
        code = _CODES.get(error.errno or 0)
        return CannotUse(text if code is None else _ADVICE[code])


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


# The last one is an unknown table or column: there is nothing wrong with the statements.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_ADVICE = {
    sqlite3.SQLITE_FULL: "no space left on the disk; free some",
    sqlite3.SQLITE_READONLY: "the file system is read-only; dmesg may tell why",
    sqlite3.SQLITE_CANTOPEN: "it or its log (-wal) cannot be opened; may the agent's account write both?",
    sqlite3.SQLITE_IOERR: "input/output error; the disk may be failing, dmesg may tell more",
}
_CODES = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EIO: sqlite3.SQLITE_IOERR,
}
