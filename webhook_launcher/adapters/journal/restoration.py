"""Back to the copy that an upgrade made: the newer journal is set aside, nothing of it is lost.

The copy is the journal of some time ago, while the host went on. So what describes the host and
what protects it is carried over from the newer journal: releases, quarantine, pauses, the order of
deploy events, first sights. What was open in the copy and has ended since does not begin again.

Order: fold the WAL, prepare the restored file under another name, link the newer journal to its
new name, rename the prepared file to the journal's name. At every moment there is a whole journal
under its name, so a kill leaves the newer journal or the restored one; running it again completes.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from webhook_launcher.adapters.journal.carrying_over import carry_over
from webhook_launcher.adapters.journal.copies import (
    copies,
    discard,
    require_space,
    size_of_database,
    sync,
    tidy,
    write_copy,
)
from webhook_launcher.adapters.journal.damage import NAME
from webhook_launcher.adapters.journal.database import lock
from webhook_launcher.adapters.journal.schema import newest, version_of
from webhook_launcher.core.errors import JournalError
from webhook_launcher.core.receipts import Head

_PREPARED = f"{NAME}.restored.part"
_COUNTS = {
    "deliveries": "SELECT count(*) FROM newer.deliveries "
    "WHERE id NOT IN (SELECT id FROM older.deliveries)",
    "deployments": "SELECT count(*) FROM newer.deployments "
    "WHERE id NOT IN (SELECT id FROM older.deployments)",
    "receipts": "SELECT count(*) FROM newer.receipts AS one WHERE NOT EXISTS (SELECT 1 FROM "
    "older.receipts AS kept WHERE kept.seq = one.seq AND kept.envelope = one.envelope)",
    "waiting": "SELECT count(*) FROM newer.intents WHERE status IN ('queued', 'in_progress') "
    "AND id NOT IN (SELECT id FROM older.intents)",
    "interrupted": "SELECT count(*) FROM newer.deployments WHERE status = 'in_progress' "
    "AND id NOT IN (SELECT id FROM older.deployments)",
}


@dataclass(frozen=True, slots=True)
class Restoration:
    """What `restore` would do, or did.

    `counts` are rows that only the newer journal has; None where they cannot be counted.
    """

    found: int  # the newer schema
    schema: int  # of the copy
    copy: Path
    copied_at: datetime
    aside: Path  # where the newer journal is
    counts: Mapping[str, int | None]
    head: Head | None  # of the receipts that are set aside
    head_left: Head | None  # of the restored chain
    not_carried: tuple[str, ...] = ()


def preview(state: Path, schema: int | None = None) -> Restoration | None:
    """Return what `restore` would do; changes nothing, and may run beside a launcher."""
    state = state.absolute()
    with _reading(state / NAME, "mode=ro") as connection:
        found = version_of(connection)
    return _planned(state, found, schema, "mode=ro")


def restore(state: Path, schema: int | None = None) -> Restoration | None:
    """Go back to the copy of a schema, by default the newest copy of an older one.

    None when the journal has this schema already. Raises StateLockedError while a launcher runs,
    JournalError when it cannot be done; then the journal is as it was.
    """
    state = state.absolute()
    held = lock(state)
    try:
        _fold(state)
        tidy(state)
        with _reading(state / NAME, "immutable=1") as connection:
            found = version_of(connection)
        plan = _planned(state, found, schema, "immutable=1")
        return None if plan is None else _carried_out(state, plan)
    except OSError as error:
        raise JournalError(f"cannot restore the journal in {state}: {error.strerror}") from error
    finally:
        os.close(held)


def set_aside(state: Path) -> list[Path]:
    """Return the journals that were set aside, oldest first."""
    return sorted(state.glob(f"{NAME}.schema-*.set-aside-*Z"), key=lambda path: path.name[-27:])


def _planned(state: Path, found: int, schema: int | None, way: str) -> Restoration | None:
    known = copies(state)
    if schema is None:
        # An older version that was installed too early can read its own copies only.
        most = found - 1 if found <= newest() else newest()
        schema = max((one for one in known if one <= most), default=None)
    elif schema == found:
        return None
    if schema is None or schema not in known or schema > found:
        before = [path.name for path in set_aside(state)]
        raise JournalError(
            f"there is no copy to go back to in {state}: the journal has schema {found}, copies "
            f"have {', '.join(map(str, known)) or 'none'}",
            advice="Only an upgrade makes a copy, of the schema before it."
            + (f" Set aside before: {before[-1]}." if before else ""),
        )
    copy = known[schema]
    _check(copy, schema)
    counts, head, left = _compared(state / NAME, copy, way)
    now = time.time_ns()
    stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now // 10**9))}.{now % 10**9:09}Z"
    return Restoration(
        found,
        schema,
        copy,
        datetime.fromtimestamp(copy.stat().st_mtime, UTC),
        state / f"{NAME}.schema-{found}.set-aside-{stamp}",
        counts,
        head,
        left,
    )


def _carried_out(state: Path, plan: Restoration) -> Restoration:
    journal, prepared = state / NAME, state / _PREPARED
    try:
        with _reading(plan.copy, "immutable=1") as connection:
            require_space(state, 2 * size_of_database(connection), "restore the journal")
            write_copy(connection, prepared)
        missing = carry_over(journal, prepared, plan.aside.name)
        _set_aside(journal, plan.aside)
        prepared.replace(journal)
        sync(state)
    except sqlite3.Error as error:
        raise JournalError(f"cannot restore the journal from {plan.copy}: {error}") from error
    finally:
        discard(prepared)
    return replace(plan, not_carried=missing)


def _fold(state: Path) -> None:
    """Write the WAL into the journal, and remove the files beside it: one file is set aside."""
    journal = state / NAME
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=rw", 1, uri=True)) as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        raise JournalError(f"the journal in {state} cannot be read: {error}") from error
    wal = Path(f"{journal}-wal")
    if busy or (wal.exists() and wal.stat().st_size):
        raise JournalError(
            f"another process reads the journal in {state}",
            advice=f"End it (`fuser {journal}-shm` names it), then run this again.",
        )
    for left in (wal, Path(f"{journal}-shm")):
        left.unlink(missing_ok=True)
    for link in set_aside(state):  # of a restoration that was killed right after making it
        if link.samefile(journal):
            link.unlink()


def _set_aside(journal: Path, aside: Path) -> None:
    """Link the newer journal to its new name; the old name stays until it is replaced."""
    try:
        os.link(journal, aside)
    except OSError:  # a file system without links
        with _reading(journal, "immutable=1") as connection:
            write_copy(connection, aside)
    sync(aside.parent)


def _check(copy: Path, schema: int) -> None:
    with _reading(copy, "immutable=1") as connection:
        found = version_of(connection)
        whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if (found, whole) != (schema, "ok"):
        raise JournalError(
            f"the copy {copy} cannot be used: it has schema {found}, and SQLite says {whole!r}",
            advice="Bring it back from a backup, or run the version that wrote the journal.",
        )


def _compared(
    newer: Path, older: Path, way: str
) -> tuple[dict[str, int | None], Head | None, Head | None]:
    """Count the rows that only the newer file has; also return the heads of both chains."""
    counts: dict[str, int | None] = {}
    with closing(sqlite3.connect(":memory:", uri=True)) as connection:
        connection.execute("ATTACH ? AS newer", (f"{newer.as_uri()}?{way}",))
        connection.execute("ATTACH ? AS older", (f"{older.as_uri()}?immutable=1",))
        for what, query in _COUNTS.items():
            try:
                counts[what] = connection.execute(query).fetchone()[0]
            except sqlite3.Error:  # a later version may store it in another table
                counts[what] = None
        heads = [_head(connection, name) for name in ("newer", "older")]
    return counts, heads[0], heads[1]


def _head(connection: sqlite3.Connection, name: str) -> Head | None:
    query = f"SELECT seq, CAST(envelope AS BLOB) FROM {name}.receipts ORDER BY seq DESC LIMIT 1"  # noqa: S608
    try:
        row = connection.execute(query).fetchone()
    except sqlite3.Error:
        return None
    return Head.of(*row) if row else None


@contextmanager
def _reading(path: Path, way: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
