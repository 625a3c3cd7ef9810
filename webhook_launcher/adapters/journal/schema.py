"""The tables: made in a new file, brought up to date in an old one, compared with what we expect.

To add a table, declare `SCHEMA` in the module that owns it (statements that begin with CREATE,
tables before their indexes) and name that module in `journal.TABLES`. A journal that lacks the
table gets it at the next start; nothing else is to be done.

To change a table that was released, change its `SCHEMA`, so that a new file is right, and append to
`STEPS` what makes the old one the same (`ALTER TABLE … ADD COLUMN …`, at the end of the table).
Never edit or reorder steps that were released: `user_version` counts those that a file has had.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from webhook_launcher.core.errors import JournalError

# Each brings a released journal from version n to n + 1; the first release is version 1.
STEPS: tuple[str, ...] = ()

_FIRST = 1
_COMMENT = re.compile(r"--[^\n]*")
_ADVICE = "Run the launcher version that wrote it, or move the state directory aside."


def bring_up_to_date(
    connection: sqlite3.Connection, tables: Iterable[str], steps: Sequence[str] = STEPS
) -> None:
    """Make the schema of the open file what `tables` declare, in one transaction.

    Raises JournalError, with the file untouched, when a newer version wrote it or a table of it
    has another shape than ours.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        _take_steps(connection, steps)
        _complete(connection, _objects(tables))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _take_steps(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Those that the file has not had; a new file needs none."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = _FIRST + len(steps)
    if version > newest:
        raise JournalError(
            f"the journal has schema {version}, this version reads {newest}", advice=_ADVICE
        )
    for step in steps[version - _FIRST :] if version else ():
        connection.execute(step)
    if version != newest:  # a start writes nothing that need not be: the disk may be full
        connection.execute(f"PRAGMA user_version = {newest}")


def _complete(connection: sqlite3.Connection, wanted: Mapping[str, str]) -> None:
    """Create what is missing; what is there must be what we would create."""
    found = _found(connection)
    for name, statement in wanted.items():
        if name not in found:
            connection.execute(statement)
        elif _shape(found[name]) != _shape(statement):
            raise JournalError(
                f"the journal's {name!r} has another shape than this version reads", advice=_ADVICE
            )


def _objects(tables: Iterable[str]) -> dict[str, str]:
    """The statements by the name of what they create."""
    statements = [
        statement.strip()
        for table in tables
        for statement in _COMMENT.sub("", table).split(";")
        if statement.strip()
    ]
    return {_name(statement): statement for statement in statements}


def _name(statement: str) -> str:
    """`CREATE [UNIQUE] TABLE|INDEX name …`."""
    words = statement.replace("(", " ").split()
    return words[3 if words[1] == "UNIQUE" else 2]


def _found(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {row["name"]: row["sql"] for row in rows}


def _shape(statement: str) -> str:
    """Without the space, which ALTER TABLE writes otherwise than we do."""
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(statement.split()))
