"""New files, old files, files of another version."""

import sqlite3
from collections.abc import Iterator

import pytest

from webhook_launcher.adapters.journal import TABLES
from webhook_launcher.adapters.journal.schema import STEPS, bring_up_to_date
from webhook_launcher.core.errors import JournalError

OLD = """
CREATE TABLE things (
    id TEXT PRIMARY KEY,   -- a comment; with a semicolon
    UNIQUE (id)
);
"""
NEW = """
CREATE TABLE things (
    id TEXT PRIMARY KEY,
    colour TEXT,
    UNIQUE (id)
);
CREATE UNIQUE INDEX things_by_colour ON things(colour);
"""
STEP = "ALTER TABLE things ADD COLUMN colour TEXT"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An empty database."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.row_factory = sqlite3.Row
    yield made
    made.close()


def version(connection: sqlite3.Connection) -> int:
    """What the file says of itself."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_opening_twice_changes_nothing(connection: sqlite3.Connection) -> None:
    """Every start after the first finds the tables."""
    bring_up_to_date(connection, [table.SCHEMA for table in TABLES])
    before = connection.execute("PRAGMA schema_version").fetchone()[0]
    bring_up_to_date(connection, [table.SCHEMA for table in TABLES])
    assert connection.execute("PRAGMA schema_version").fetchone()[0] == before
    assert version(connection) == 1 + len(STEPS)


def test_a_table_that_is_missing_is_added(connection: sqlite3.Connection) -> None:
    """A journal from before the table existed keeps its rows and gets it."""
    bring_up_to_date(connection, [OLD])
    connection.execute("INSERT INTO things VALUES ('one')")
    bring_up_to_date(connection, [OLD, "CREATE TABLE more (id TEXT)"])
    assert connection.execute("SELECT count(*) FROM more").fetchone()[0] == 0
    assert connection.execute("SELECT id FROM things").fetchone()["id"] == "one"


def test_steps_bring_a_released_file_to_what_a_new_one_is(connection: sqlite3.Connection) -> None:
    """An upgrade keeps the rows, and is done once."""
    bring_up_to_date(connection, [OLD], steps=())
    connection.execute("INSERT INTO things VALUES ('one')")
    for _ in range(2):
        bring_up_to_date(connection, [NEW], steps=[STEP])
    assert version(connection) == 2
    assert dict(connection.execute("SELECT * FROM things").fetchone()) == {
        "id": "one",
        "colour": None,
    }


def test_a_new_file_takes_no_steps(connection: sqlite3.Connection) -> None:
    """Its tables are complete already."""
    bring_up_to_date(connection, [NEW], steps=[STEP])
    assert version(connection) == 2


def test_a_table_of_another_shape_is_told_and_left_alone(connection: sqlite3.Connection) -> None:
    """Else the first delivery would fail on a column that is not there."""
    bring_up_to_date(connection, [OLD], steps=())
    with pytest.raises(JournalError, match="'things' has another shape"):
        bring_up_to_date(connection, ["CREATE TABLE first (id TEXT)", NEW], steps=())
    assert not connection.in_transaction
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert [row["name"] for row in names] == ["things"]


def test_a_step_that_fails_leaves_the_file_as_it_was(connection: sqlite3.Connection) -> None:
    """Half an upgrade could neither go on nor go back."""
    bring_up_to_date(connection, [OLD], steps=())
    with pytest.raises(sqlite3.Error):
        bring_up_to_date(connection, [NEW], steps=[STEP, "ALTER TABLE nothing ADD COLUMN a TEXT"])
    assert version(connection) == 1
    bring_up_to_date(connection, [NEW], steps=[STEP])
    assert version(connection) == 2
