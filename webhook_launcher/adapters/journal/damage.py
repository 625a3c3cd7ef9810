"""A damaged journal: how it is found, moved aside, and what is still read from it.

SQLite says SQLITE_CORRUPT or SQLITE_NOTADB (sqlite.org/rescode.html) when what it reads cannot be.
Such a file gets no more commits: it is kept for whoever wants to look, and a new one takes its
place. What runs is learned anew from the engine and the registry; of the old file, only what
protects is read, as far as it can be: quarantine, pauses, and the order of signed events.

A WAL that lost its end is no damage: SQLite takes the transactions up to there, as after a crash.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from webhook_launcher.core.errors import InvalidReferenceError
from webhook_launcher.core.reference import Digest

_log = logging.getLogger(__name__)
NAME = "journal.sqlite3"
_ASIDE = f"{NAME}.corrupt-"
_MARK = f"{NAME}.damaged"
_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MAGIC = b"SQLite format 3\0"  # sqlite.org/fileformat2.html, 1.3
_PRIMARY = 0xFF  # an extended result code has the primary one in its low byte
# So many are kept. A disk that damages one after the other must not be filled by them.
_KEPT = 3
# A start must not wait for a check of gigabytes: what is not looked at by then is found in use.
_SECONDS = 5.0
_STEPS = 10_000  # of SQLite's machine, between two looks at the time

# What is read from a damaged file, with what each value must be.
_READ: Mapping[str, Mapping[str, Callable[[str], object]]] = {
    "quarantine": {
        "workload": str,
        "digest": Digest,
        "since": datetime.fromisoformat,
        "reason": str,
    },
    "quarantined_manifests": {"workload": str, "digest": Digest, "manifest": Digest},
    "workloads": {"name": str, "paused": int, "signed_at": datetime.fromisoformat},
}


def is_damage(error: sqlite3.Error) -> bool:
    """True when the file is damaged, and not just full, locked or read-only."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _CODES


def check(connection: sqlite3.Connection, seconds: float = _SECONDS) -> str | None:
    """What `PRAGMA quick_check` finds within the time; None when that is nothing."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT:
            raise
        _log.info("journal not checked to its end", extra={"seconds": seconds})
        return None
    finally:
        connection.set_progress_handler(None, 0)
    return None if found == "ok" else str(found)


def is_foreign(state: Path) -> bool:
    """True when the file has content and not SQLite's header.

    Asked before SQLite opens it, which would take its WAL away.
    """
    try:
        with (state / NAME).open("rb") as file:
            return file.read(len(_MAGIC)) not in (b"", _MAGIC)
    except FileNotFoundError:
        return False


def mark(state: Path, reason: str) -> None:
    """Have the next start move the journal aside, whatever a quick check of it says."""
    with suppress(OSError):  # it will be found again
        (state / _MARK).write_text(reason)


def marked(state: Path) -> str | None:
    """Why the journal is to be moved aside, if it is."""
    try:
        return (state / _MARK).read_text("utf-8", "replace") or "found damaged in use"
    except FileNotFoundError:
        return None


def move_aside(state: Path, reason: str) -> Path:
    """Rename the journal with its WAL; its new path. Raises OSError."""
    now = time.time_ns()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
    aside = state / f"{_ASIDE}{stamp}.{now % 10**9:09}Z"  # in the order of their times
    wal = state / f"{NAME}-wal"
    if wal.exists():  # first: a journal never stands beside the WAL of another one
        wal.rename(f"{aside}-wal")
    (state / NAME).rename(aside)
    for left in (state / f"{NAME}-shm", state / _MARK):
        left.unlink(missing_ok=True)
    _sync(state)
    for old in moved_aside(state)[:-_KEPT]:
        for part in (old, Path(f"{old}-wal"), Path(f"{old}-shm")):
            part.unlink(missing_ok=True)
    _log.critical(
        "journal moved aside",
        extra={
            "file": str(aside),
            "detail": reason,
            "advice": "Check the disk. What was acknowledged and had not been done is lost with "
            "that file; what runs is learned from the engine and the registry.",
        },
    )
    return aside


def moved_aside(state: Path) -> list[Path]:
    """The damaged journals that are kept, oldest first."""
    found = (path for path in state.glob(f"{_ASIDE}*") if not path.name.endswith(("-wal", "-shm")))
    return sorted(found)


def take_over(aside: Path, connection: sqlite3.Connection) -> None:
    """Read what protects from a damaged file, as far as it can be read, into a new one."""
    for table, columns in _READ.items():
        names = ", ".join(columns)
        rows: list[list[object]] = []
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{aside.as_uri()}?mode=ro", uri=True)) as damaged,
        ):
            for row in damaged.execute(f"SELECT {names} FROM {table}"):  # noqa: S608 - of this file
                if _is_sane(row, columns):
                    rows.append(list(row))  # noqa: PERF401 - those before an error count
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - ditto
            rows,
        )
        _log.warning("read from the damaged journal", extra={"table": table, "rows": len(rows)})


def _is_sane(row: tuple[object, ...], columns: Mapping[str, Callable[[str], object]]) -> bool:
    """Each value can be what it has to be; only the last one may be missing."""
    try:
        for value, kind in zip(row, columns.values(), strict=True):
            if value is not None:
                kind(value)  # type: ignore[arg-type] # another type raises
    except (ValueError, TypeError, InvalidReferenceError):
        return False
    return None not in row[:-1]


def _sync(directory: Path) -> None:
    """Have the renames on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
