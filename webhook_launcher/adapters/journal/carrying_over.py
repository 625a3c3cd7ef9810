"""Carry over from a newer journal to its older copy what describes and protects the host.

Releases, quarantine, pauses, the order of deploy events and first sights are carried over; what was
open in the copy and has ended since does not begin again. Deliveries, deployments and receipts stay
in the newer journal: their records may have a shape that the older version does not read.
"""

import json
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

_log = logging.getLogger(__name__)
_CODE = "set-aside"
# Of each table, the columns that both files have.
_CARRIED = ("workloads", "accepted", "quarantine", "quarantined_manifests", "sightings")
# The keys of a release that every version since the first reads. A record that lacks one is left
# out: the launcher then learns the release from the engine, as after the loss of the journal.
_RELEASE = {"reference", "digest", "manifest", "config", "media_type", "parts", "platform"}
_END_INTENTS = """
UPDATE main.intents SET status = 'inactive', code = ?, detail = ?, lane = NULL, not_before = NULL
WHERE status IN ('queued', 'in_progress')
AND id NOT IN (SELECT id FROM newer.intents WHERE status IN ('queued', 'in_progress'))
"""
# The end and the receipt are in the newer journal; every ended attempt must have its receipt.
_DROP_DEPLOYMENTS = """
DELETE FROM main.deployments WHERE status = 'in_progress'
AND id NOT IN (SELECT id FROM newer.deployments WHERE status = 'in_progress')
"""


def carry_over(newer: Path, prepared: Path, aside: str) -> tuple[str, ...]:
    """Write what must hold into the prepared copy, synced; return the tables that were not read.

    `aside` is the name that the newer journal will have, for those who ask what became of a wish.
    """
    missing = []
    with closing(sqlite3.connect(prepared.as_uri(), uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("ATTACH ? AS newer", (f"{newer.as_uri()}?immutable=1",))
        connection.execute("BEGIN IMMEDIATE")
        for table in _CARRIED:
            connection.execute("SAVEPOINT one")
            try:
                _replace_rows(connection, table)
            except sqlite3.Error as error:
                connection.execute("ROLLBACK TO one")
                missing.append(table)
                _log.warning("not carried over", extra={"table": table, "detail": str(error)})
            connection.execute("RELEASE one")
        _leave_out_unreadable(connection)
        _end_what_ended(connection, f"ended before the journal was restored; see {aside}")
        connection.execute("COMMIT")
        connection.execute("DETACH newer")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with prepared.open("rb") as file:
        os.fsync(file.fileno())
    return tuple(missing)


def _replace_rows(connection: sqlite3.Connection, table: str) -> None:
    """Replace a table's rows by the newer file's, so that released quarantines stay released."""
    both = [
        [row[1] for row in connection.execute(f"PRAGMA {name}.table_info({table})")]
        for name in ("main", "newer")
    ]
    columns = ", ".join(column for column in both[0] if column in both[1])
    connection.execute(f"DELETE FROM main.{table}")  # noqa: S608 - names of this file and of ours
    connection.execute(
        f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}"  # noqa: S608
    )


def _leave_out_unreadable(connection: sqlite3.Connection) -> None:
    """Forget releases that an older version cannot read; it learns them from the engine."""
    rows = connection.execute("SELECT name, current, previous FROM main.workloads").fetchall()
    unreadable = [name for name, *texts in rows if not all(map(_is_release, texts))]
    connection.executemany(
        "UPDATE main.workloads SET current = NULL, previous = NULL, tracked = NULL, seen = NULL "
        "WHERE name = ?",
        [(name,) for name in unreadable],
    )


def _is_release(text: str | None) -> bool:
    if text is None:
        return True
    try:
        record = json.loads(text)
        return all(set(one) >= _RELEASE for one in (record, *record["parts"]))
    except (ValueError, TypeError, KeyError):
        return False


def _end_what_ended(connection: sqlite3.Connection, detail: str) -> None:
    """End what ended since the copy: an old wish must not replace a newer deployment."""
    connection.execute(_END_INTENTS, (_CODE, detail))
    connection.execute(_DROP_DEPLOYMENTS)
