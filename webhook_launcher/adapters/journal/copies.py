"""Copies of the journal in the state directory, by the schema version that they have.

`journal.sqlite3.schema-1` is the journal as it was before the upgrade from schema 1. Each version
has one copy, the newest: a later upgrade from the same version replaces it. Nothing else removes a
copy; docs/operations.md tells operators to.
"""

import os
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from webhook_launcher.adapters.journal.damage import NAME
from webhook_launcher.core.errors import JournalError

_COPY = re.compile(rf"{re.escape(NAME)}\.schema-([1-9][0-9]{{0,8}})")
# What a kill in the middle of writing a file leaves.
_PART = ".part"
_PAGES = 1024  # of one portion: 4 MiB
_MIB = 1024**2


def copy_path(state: Path, schema: int) -> Path:
    """Return where the copy of a schema version is, whether or not it exists."""
    return state / f"{NAME}.schema-{schema}"


def copies(state: Path) -> Mapping[int, Path]:
    """Return the copies that exist, by schema version, oldest version first."""
    found = {int(name[1]): path for path in state.iterdir() if (name := _COPY.fullmatch(path.name))}
    return dict(sorted(found.items()))


def size_of_database(connection: sqlite3.Connection) -> int:
    """Return the bytes that a copy of the open database needs, its WAL included."""
    [pages] = connection.execute("PRAGMA page_count").fetchone()
    [size] = connection.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(size)


def require_space(state: Path, needed: int, purpose: str) -> None:
    """Raise JournalError unless so many bytes can be written beside the journal."""
    space = os.statvfs(state)
    free = space.f_bavail * space.f_frsize
    if free < needed:
        raise JournalError(
            f"not enough disk space in {state} to {purpose}: {-(-needed // _MIB)} MiB are needed, "
            f"{free // _MIB} MiB are free",
            advice="Free that much space on the disk of `state`. Nothing was changed; the next "
            "try begins again.",
        )


def write_copy(source: sqlite3.Connection, target: Path) -> None:
    """Write a consistent copy of an open database, synced, in place of an older file or of none.

    Whatever happens in between, the target is the whole old file or the whole new one. Page by
    page, not by VACUUM: that may renumber the rows of tables without an INTEGER PRIMARY KEY
    (sqlite.org/lang_vacuum.html), whose order retention uses.
    """
    part = target.with_name(f"{target.name}{_PART}")
    discard(part)
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - the mode is right from the start
            _give_to_owner(descriptor, target.parent)
            with closing(sqlite3.connect(part, isolation_level=None)) as copy:
                # The file is synced as a whole below; a kill leaves the part only.
                copy.execute("PRAGMA journal_mode=MEMORY")
                copy.execute("PRAGMA synchronous=OFF")
                source.backup(copy, pages=_PAGES)
            os.fsync(file.fileno())
        for suffix in ("-wal", "-shm"):  # beside the older file, left by another program
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        part.replace(target)
    except BaseException:
        discard(part)
        raise
    sync(target.parent)


def _give_to_owner(descriptor: int, directory: Path) -> None:
    """Give a file that root writes to the owner of the state directory, who must read it."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def discard(path: Path) -> None:
    """Remove a database that is not needed, with what SQLite puts beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def tidy(state: Path) -> None:
    """Remove what a kill left of copies that were being written."""
    for part in state.glob(f"{NAME}.*{_PART}"):
        with suppress(OSError):
            discard(part)


def sync(directory: Path) -> None:
    """Sync the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
