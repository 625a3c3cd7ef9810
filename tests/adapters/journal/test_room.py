"""Somebody else reads the journal and does not stop: the WAL grows, and shrinks when he is gone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.adapters.journal.words import NOW, accept
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.journal.room import Room, readers
from webhook_launcher.core.retention import Retention

MIB = 1024**2
# What a backup that hangs does, or a shell in which somebody went home after BEGIN.
READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM deliveries").fetchall()
print("reads", flush=True)
sys.stdin.read()
"""


@contextmanager
def reader(state: Path) -> Iterator[int]:
    """Another process in a read transaction; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(state / "journal.sqlite3")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"reads\n"
        yield process.pid
        process.stdin.close()
        assert process.wait(30) == 0


def grow(journal: Journal, name: str, to: int) -> None:
    """Hear deliveries, each in a commit of its own, until the WAL has so many bytes."""
    number = 0
    while wal(journal) < to:
        hear(journal, f"{name}{number}")
        number += 1


def hear(journal: Journal, delivery: str) -> None:
    """A delivery, and some 100 KB that are written with it."""
    with journal._database.transaction() as connection:
        accept(journal, delivery, ignored="nothing")
        connection.execute("INSERT INTO evidence VALUES ('web', ?, ?)", (delivery, "x" * 100_000))


def wal(journal: Journal) -> int:
    """Bytes, as `/metrics` shows them."""
    return int(journal.figures.sizes()["wal",])


def test_the_wal_grows_behind_a_reader_and_is_emptied_after_it(
    state: Path, journal: Journal
) -> None:
    """Nothing that was heard meanwhile is lost, and the disk has its room again."""
    accept(journal, "first", ignored="nothing")
    with reader(state):
        grow(journal, "behind", 20 * MIB)
        journal.prune(NOW, Retention())
        assert wal(journal) >= 20 * MIB
    journal.prune(NOW, Retention())
    assert wal(journal) == 0
    assert accept(journal, "behind0").duplicate


def test_it_shrinks_by_the_next_deliveries_as_well(state: Path, journal: Journal) -> None:
    """A flood may fill the disk before the next look; so the first commits cut it."""
    with reader(state):
        grow(journal, "behind", 20 * MIB)
    for number in range(3):
        accept(journal, f"after{number}", ignored="nothing")
    assert wal(journal) == 16 * MIB


def test_without_a_reader_it_stays_small(journal: Journal) -> None:
    """Some 4 MiB, and a commit: it is folded at every thousand pages."""
    for number in range(200):
        hear(journal, f"n{number}")
    assert MIB < wal(journal) < 5 * MIB


class TestTheWarning:
    @pytest.fixture
    def room(self, state: Path, journal: Journal) -> Room:
        """That of the journal, which warns early."""
        return Room(journal._database, state, warn_from=MIB)

    def test_names_cause_process_and_fix_once(
        self, state: Path, journal: Journal, room: Room, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A look comes every minute: the log must not be full of it either."""
        with reader(state) as process:
            grow(journal, "behind", MIB)
            room.give_back()
            room.give_back()
        [told] = caplog.records
        assert told.getMessage() == "journal held open"
        assert told.levelname == "WARNING"
        found = vars(told)
        assert found["processes"] == [process]
        assert MIB <= found["bytes"] < 2 * MIB
        assert "a read transaction that another process holds open" in found["detail"]
        assert f"fuser {state / 'journal.sqlite3-shm'}" in found["advice"]

    def test_is_taken_back_and_comes_again(
        self, state: Path, journal: Journal, room: Room, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The next one that hangs is another case."""
        caplog.set_level("INFO")
        for case in ("one", "two"):
            with reader(state):
                grow(journal, case, MIB)
                room.give_back()
            room.give_back()
            room.give_back()
        told = [record.getMessage() for record in caplog.records]
        assert told == ["journal held open", "journal folded"] * 2

    def test_is_not_given_for_a_look(
        self, state: Path, journal: Journal, room: Room, caplog: pytest.LogCaptureFixture
    ) -> None:
        """`verify` and a backup that goes on read as well, and do no harm."""
        with reader(state):
            accept(journal, "one", ignored="nothing")
            room.give_back()
        assert caplog.records == []


def test_a_reader_is_found_by_its_locks_and_we_are_not(state: Path, journal: Journal) -> None:
    """Who has it open and does not read is not to blame."""
    index = state / "journal.sqlite3-shm"
    accept(journal, "one", ignored="nothing")
    assert readers(index) == []
    with reader(state) as process:
        assert readers(index) == [process]
    assert readers(index) == []
    assert readers(state / "none") == []
