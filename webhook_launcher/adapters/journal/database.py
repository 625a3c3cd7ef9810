"""The SQLite file: opened once, locked against a second launcher, written in transactions.

WAL with `synchronous=FULL`: a commit has reached the disk when it returns (sqlite.org/wal.html,
`PRAGMA synchronous`), so what was acknowledged to a sender survives a power cut. Changes that come
at the same moment from several threads share a commit (`writer`), and so the wait for the disk.
"""

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from webhook_launcher.adapters.journal.damage import (
    NAME,
    check,
    is_damage,
    is_foreign,
    mark,
    marked,
    move_aside,
    take_over,
)
from webhook_launcher.adapters.journal.privacy import check_directory
from webhook_launcher.adapters.journal.schema import STEPS, Step, bring_up_to_date
from webhook_launcher.adapters.journal.upgrade import refuse_newer, upgrade
from webhook_launcher.adapters.journal.writer import Result, Writer
from webhook_launcher.core.errors import JournalDamagedError, JournalError, StateLockedError

_log = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

FILE = NAME
# Bytes. More than the WAL has without a reader: it is not cut and written anew all the time.
_WAL_LEFT = 16 * 1024**2
_BROKEN = "a part of this change failed before, so all of it was undone"


class Store(Protocol):
    """Where rows are read and written; `snapshot` has one that only reads."""

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A look."""

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """A change."""


class Database:
    """One connection, shared by the threads under a lock; SQLite allows one writer anyway."""

    def __init__(self, state: Path, tables: Sequence[str], steps: Sequence[Step] = STEPS) -> None:
        self._mutex = threading.RLock()
        self._depth = 0
        self._whole = 1  # the depth whose transaction is undone as a whole; 2 inside a batch
        self._failed = False
        self._owner: int | None = None  # the thread that is in a transaction
        self._state = state
        self._damage: str | None = None
        # True after a failure, False once that was examined, None after a success.
        self._doubted: bool | None = None
        with ExitStack() as opened:
            self._lock_file = lock(state)
            opened.callback(os.close, self._lock_file)
            try:
                self._connection = _sound_or_new(state, tables, steps)
            except (sqlite3.Error, OSError) as error:
                raise JournalError(f"cannot open the journal in {state}: {error}") from error
            opened.callback(self._connection.close)
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
                self._doubted = None
            except sqlite3.Error as error:
                self._undo()
                raise self._failure("written", error) from error
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
        with self._mutex, self._telling("read"):
            yield self._connection

    @property
    def damage(self) -> str | None:
        """What was found to be damaged in use: this file should get no more commits."""
        return self._damage

    def vacuum(self, pages: int) -> bool:
        """Give so many free pages back to the disk; False when there are no more."""
        with self._mutex, self._telling("written"):
            [free] = self._connection.execute("PRAGMA freelist_count").fetchone()
            if free:
                # `execute` would stop after one: the statement gives rows without columns.
                self._connection.executescript(f"PRAGMA incremental_vacuum({pages});")
            return bool(free > pages)

    def fold(self) -> bool:
        """Write the WAL into the file and empty it; False when somebody else reads or writes."""
        with self._mutex, self._telling("written"):
            self._connection.execute("PRAGMA busy_timeout = 0")
            try:
                row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._connection.execute("PRAGMA busy_timeout = 5000")
            return not row[0]

    def examine(self) -> None:
        """After a failure, look whether it is damage: of a bad header, SQLite says "full".

        Once for each row of failures; nothing is done while commits succeed. If the disk is full,
        folding the WAL into the file may give it room.
        """
        if not self._doubted:
            return
        with self._mutex:
            self._doubted = False
            try:
                found = check(self._connection)
                if found is None:
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                found = str(error) if is_damage(error) else None
            if found is not None:
                self._give_up(found)

    def close(self) -> None:
        """Fold the WAL back into the file and give the state directory free."""
        self._writer.stop()
        with self._mutex, suppress(sqlite3.Error):  # a damaged one cannot be folded
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

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failure(what, error) from error

    def _failure(self, what: str, error: sqlite3.Error) -> JournalError:
        if not is_damage(error):
            if self._doubted is None:
                self._doubted = True
            return JournalError(f"the journal cannot be {what}: {error}")
        self._give_up(str(error))
        return JournalDamagedError(f"the journal is damaged: {error}")

    def _give_up(self, reason: str) -> None:
        if self._damage is None:
            self._damage = reason
            mark(self._state, reason)
            _log.critical("journal damaged", extra={"detail": reason})

    def _begin(self) -> None:
        if self._depth == 1:
            if self._damage is not None:  # it would be lost with the file
                raise JournalDamagedError(f"the journal is damaged: {self._damage}")
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


def _sound_or_new(state: Path, tables: Sequence[str], steps: Sequence[Step]) -> sqlite3.Connection:
    """The journal, checked and upgraded; a damaged one is moved aside, and a new one begins."""
    damage = marked(state) or ("it is no SQLite file" if is_foreign(state) else None)
    if damage is None:
        try:
            with ExitStack() as opened:
                connection = _connect(state)
                opened.callback(_close, connection)
                refuse_newer(connection, state, steps)
                damage = check(connection)
                if damage is None:
                    upgrade(connection, state, tables, steps)
                    opened.pop_all()
                    return connection
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            damage = str(error)
    aside = move_aside(state, damage)
    with ExitStack() as opened:
        connection = _connect(state)
        opened.callback(_close, connection)
        bring_up_to_date(connection, tables, steps)
        take_over(aside, connection)
        opened.pop_all()
    return connection


def _connect(state: Path) -> sqlite3.Connection:
    _private(state / NAME)
    connection = sqlite3.connect(state / NAME, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
            # What retention frees goes back to the disk. It is set once: setting it is a write.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # What a reader made it grow to is given back as soon as it begins at its start again.
        connection.execute(f"PRAGMA journal_size_limit={_WAL_LEFT}")
    except BaseException:
        connection.close()
        raise
    return connection


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # a damaged one cannot be folded
        connection.close()


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


def _private(path: Path) -> None:
    """Make the file, or its modes, such that only we read it; SQLite gives its others the same.

    The directory may be one that was there before, open to all; the journal has containers' logs.
    """
    for suffix in ("", "-wal", "-shm"):
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if suffix else os.O_CREAT)
        with suppress(FileNotFoundError):
            descriptor = os.open(f"{path}{suffix}", flags, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)


def lock(state: Path) -> int:
    """Hold `state/lock` for the life of the process; the kernel gives it free on any exit."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_directory(state)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"cannot use state directory {state}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateLockedError(f"another launcher uses the state directory {state}") from error
    return descriptor
