"""The tables: created in a new file, upgraded in an old file, compared with what the code expects.

To add a table, declare `SCHEMA` in the module that owns it (statements that begin with CREATE,
tables before their indexes) and name that module in `journal.TABLES`. A journal that lacks the
table gets it at the next start; nothing else is to be done.

To change anything else that a released version wrote, append a step to `STEPS`:

1. For a column, change the table's `SCHEMA`, so that a new file is right, and append the statement
   that makes an old table the same: `"ALTER TABLE intents ADD COLUMN note TEXT"` (SQLite adds
   columns at the end).
2. For a JSON record, append a function that rewrites the old records:
   `def _add_note(connection): connection.execute("UPDATE deployments SET record =
   json_set(record, '$.note', NULL)")`. A new key, status or action is a change too, even if this
   version reads old records without it: the version before cannot read the new ones. If nothing
   has to be rewritten, append `"SELECT 1"`: the number alone makes the version before refuse the
   journal and say how to go back.
3. Run `tests/adapters/journal/test_written.py`: it opens the journals that released versions wrote.
   When the version is released, add the journal that it writes (`tests/adapters/journal/written`).

All steps of an upgrade run in one transaction, after a copy of the file (`upgrade`). A step can
therefore not commit. Never edit or reorder released steps: `user_version` counts the steps that a
file has had.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from webhook_launcher.core.errors import JournalError, JournalTooNewError

# One SQL statement, or a function over the open connection.
Step = str | Callable[[sqlite3.Connection], object]

# Each brings a released journal from version n to n + 1; the first release is version 1.
STEPS: tuple[Step, ...] = (
    "SELECT 1",  # 2: a deployment's record says which services had completed before it
)

_FIRST = 1
_COMMENT = re.compile(r"--[^\n]*")
_ADVICE = "Run the launcher version that wrote it, or move the state directory aside."


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of the open file; 0 for a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def newest(steps: Sequence[Step] = STEPS) -> int:
    """Return the schema version that these steps lead to, which is what this version reads."""
    return _FIRST + len(steps)


def bring_up_to_date(
    connection: sqlite3.Connection, tables: Iterable[str], steps: Sequence[Step] = STEPS
) -> None:
    """Make the schema of the open file what `tables` declare, in one transaction.

    Raises JournalError, with the file untouched, when a newer version wrote it or a table has
    another shape than the code expects.
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


def _take_steps(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    """Run the steps that the file has not had; a new file needs none."""
    version, wanted = version_of(connection), newest(steps)
    if version > wanted:
        raise JournalTooNewError(version, wanted, advice=_ADVICE)
    with _without_commits(connection):
        for step in steps[version - _FIRST :] if version else ():
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)
    if version != wanted:  # a start writes nothing that need not be: the disk may be full
        connection.execute(f"PRAGMA user_version = {wanted}")


@contextmanager
def _without_commits(connection: sqlite3.Connection) -> Iterator[None]:
    """Refuse BEGIN, COMMIT and ROLLBACK: half an upgrade could neither go on nor go back.

    `executescript` and `with connection:` commit, which is easily overlooked in a step.
    """

    def authorize(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK

    connection.set_authorizer(authorize)
    try:
        yield
    finally:
        connection.set_authorizer(None)


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
