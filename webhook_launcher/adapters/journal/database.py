"""The SQLite file: opened once, locked against a second launcher, written in transactions.

WAL with `synchronous=FULL`: a commit has reached the disk when it returns (sqlite.org/wal.html,
`PRAGMA synchronous`), so what was acknowledged to a sender survives a power cut. Changes that come
at the same moment from several threads share a commit (`writer`), and so the wait for the disk.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from webhook_launcher.adapters.journal.schema import bring_up_to_date
from webhook_launcher.adapters.journal.writer import Result, Writer
from webhook_launcher.core.errors import JournalError, StateLockedError

T = TypeVar("T")
P = ParamSpec("P")

FILE = "journal.sqlite3"
_BROKEN = "a part of this change failed before, so all of it was undone"
SCHEMA = """
-- Written to find out whether it can be: a transaction that changes nothing asks no disk.
CREATE TABLE probe (only INTEGER PRIMARY KEY, count INTEGER NOT NULL);
"""


class Store(Protocol):
    """Where rows are read and written; `snapshot` has one that only reads."""

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A look."""

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """A change."""


class Database:
    """One connection, shared by the threads under a lock; SQLite allows one writer anyway."""

    def __init__(self, state: Path, tables: Sequence[str]) -> None:
        self._mutex = threading.RLock()
        self._depth = 0
        self._whole = 1  # the depth whose transaction is undone as a whole; 2 inside a batch
        self._failed = False
        self._owner: int | None = None  # the thread that is in a transaction
        with ExitStack() as opened:
            self._lock_file = _lock(state)
            opened.callback(os.close, self._lock_file)
            try:
                self._connection = sqlite3.connect(
                    state / FILE, isolation_level=None, check_same_thread=False
                )
                opened.callback(self._connection.close)
                self._connection.row_factory = sqlite3.Row
                # Takes effect in a new file alone: what retention frees goes back to the disk.
                self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=FULL")
                bring_up_to_date(self._connection, tables)
            except sqlite3.Error as error:
                raise JournalError(f"cannot open the journal in {state}: {error}") from error
            self._opened = opened.pop_all()
        self._writer = Writer(self.transaction, self._batch)

    def write(self, change: Callable[[], T]) -> T:
        """Run a change in the writer's thread; what it returns or raises, after the commit.

        Inside a transaction it is a part of that one, and committed with it.
        """
        if self._owner == threading.get_ident():
            return change()
        return self._writer.write(change)

    def submit(self, change: Callable[[], T], told: Callable[[Result[T]], None]) -> None:
        """Like `write`, without waiting: `told` hears of it after the commit (`Writer.submit`)."""
        self._writer.submit(change, told)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is committed together, or not at all. May be nested.

        An error inside a nested one undoes all of it, whatever the outer one makes of the error.
        """
        with self._mutex:
            self._depth += 1
            self._owner = threading.get_ident()
            try:
                self._begin()
                yield self._connection
                self._complete()
            except sqlite3.Error as error:
                self._undo()
                raise JournalError(f"the journal cannot be written: {error}") from error
            except BaseException:
                self._undo()
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._owner = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent look, without a write lock."""
        with self._mutex:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise JournalError(f"the journal cannot be read: {error}") from error

    def close(self) -> None:
        """Fold the WAL back into the file and give the state directory free."""
        self._writer.stop()
        with self._mutex:
            self._opened.close()

    @contextmanager
    def _batch(self) -> Iterator[None]:
        """A commit for several changes, each of which can fail by itself."""
        with self.transaction():
            self._whole = 2
            try:
                yield
            finally:
                self._whole = 1

    def _begin(self) -> None:
        if self._depth == 1:
            self._connection.execute("BEGIN IMMEDIATE")
        elif self._failed or not self._connection.in_transaction:
            raise JournalError(_BROKEN)
        elif self._depth == self._whole:
            self._connection.execute("SAVEPOINT change")

    def _complete(self) -> None:
        if self._depth == self._whole:
            if self._failed:
                raise JournalError(_BROKEN)
            self._connection.execute("COMMIT" if self._depth == 1 else "RELEASE change")

    def _undo(self) -> None:
        self._failed = self._depth > self._whole
        # SQLite undoes some by itself (disk full), and a connection that is closed has no more.
        with suppress(sqlite3.Error):
            if self._depth == 1:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            elif self._depth == self._whole:
                self._connection.execute("ROLLBACK TO change")
                self._connection.execute("RELEASE change")


class _Table(Protocol):
    """What has methods that write."""

    _database: Database


S = TypeVar("S", bound=_Table)


def written(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A method that many threads call at once: each call is a change for the writer."""

    @wraps(method)
    def through_writer(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._database.write(partial(method, self, *args, **kwargs))

    return through_writer


def _lock(state: Path) -> int:
    """Hold `state/lock` for the life of the process; the kernel gives it free on any exit."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"cannot use state directory {state}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateLockedError(f"another launcher uses the state directory {state}") from error
    return descriptor
