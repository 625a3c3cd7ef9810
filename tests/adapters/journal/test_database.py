import errno
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import STABLE, A, B, accept, ask, attempt, deploy, look
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.errors import JournalError, StateLockedError


def fill(journal: Journal) -> None:
    """From here on the disk has no room: no page can be added to the file."""
    with journal._database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")


def empty(journal: Journal) -> None:
    """There is room again."""
    with journal._database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")


def fill_up(journal: Journal) -> int:
    """Write until nothing fits; how many deliveries were acknowledged."""
    fill(journal)
    for heard in range(10_000):
        try:
            accept(journal, f"n{heard}", look("blog"))
        except JournalError:
            return heard
    raise AssertionError("the disk never filled up")


def test_what_is_committed_is_on_the_disk(journal: Journal) -> None:
    """A 2xx is a promise that outlives a power cut: WAL with synchronous FULL."""
    with journal._database.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_second_journal_on_the_state_directory_is_refused(state: Path, journal: Journal) -> None:
    """Two launchers would deploy against each other; the second one must not start."""
    with pytest.raises(StateLockedError, match="another launcher"):
        Journal(state, LANES)
    assert accept(journal, "one").id


def test_the_lock_ends_with_the_process(state: Path) -> None:
    """A launcher that was killed must not keep its successor from starting."""
    program = (
        "import os, sys; from pathlib import Path; "
        "from webhook_launcher.adapters.journal import Journal; "
        "Journal(Path(sys.argv[1]), {}); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(state)], check=False)
    assert killed.returncode == -9
    Journal(state, LANES).close()


def test_the_state_directory_is_for_us_alone(state: Path, journal: Journal) -> None:
    """Overrides and inline documents in it may hold secrets."""
    assert journal.new_id()
    assert state.stat().st_mode & 0o077 == 0


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """Its path and the reason are what the operator needs."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=os.strerror(errno.ENOTDIR)):
        Journal(tmp_path / "file" / "state", LANES)


def test_a_journal_that_cannot_be_opened_is_told_and_the_lock_given_back(state: Path) -> None:
    """Else correcting it would need a new process."""
    (state / "journal.sqlite3").mkdir(parents=True)
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal(state, LANES)
    (state / "journal.sqlite3").rmdir()
    Journal(state, LANES).close()


def test_the_journal_of_another_version_is_not_touched(state: Path, journal: Journal) -> None:
    """A newer schema must not be half understood."""
    journal.close()
    with sqlite3.connect(state / "journal.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="schema 99") as raised:
        Journal(state, LANES)
    assert "version that wrote it" in raised.value.advice()
    with pytest.raises(JournalError, match="schema 99"):
        Journal(state, LANES)  # and not: locked


def test_a_closed_journal_raises_journal_errors(state: Path) -> None:
    """A worker that outlives the stop's grace must end in our own family of errors."""
    journal = Journal(state, LANES)
    journal.close()
    with pytest.raises(JournalError):
        journal.usable()
    with pytest.raises(JournalError):
        journal.intents.pending()


class TestAFullDisk:
    def test_a_delivery_that_does_not_fit_is_not_acknowledged(self, journal: Journal) -> None:
        """The sender gets a 503 and sends it again; half of it must not be there."""
        heard = fill_up(journal)
        assert heard
        empty(journal)
        again = accept(journal, f"n{heard}", look("blog"))
        assert not again.duplicate
        assert len(journal.intents.waiting("blog")) == 1

    def test_nested_changes_are_undone_together(self, journal: Journal) -> None:
        """The end of an attempt and the new current release are one change."""
        journal.deployments.begin(attempt())
        before = journal.workloads.state("web")
        fill_up(journal)
        done = replace(attempt(), output="x" * 100_000)
        with pytest.raises(JournalError):
            journal.deployments.succeed(done)
        assert journal.workloads.state("web") == before
        [left] = journal.deployments.interrupted("web")
        assert left.output is None
        empty(journal)
        journal.deployments.succeed(done)
        assert journal.deployments.get("d1") == done


class TestReadiness:
    def test_is_a_real_write(self, journal: Journal) -> None:
        """A transaction that changes nothing would be committed on a disk that is full."""
        with journal._database.reading() as connection:
            before = connection.total_changes
        journal.usable()
        with journal._database.reading() as connection:
            assert connection.total_changes == before + 1

    def test_says_no_while_nothing_can_be_written(self, journal: Journal) -> None:
        """And yes when it is over, with nobody's help."""
        with journal._database.reading() as connection:
            connection.execute("PRAGMA query_only = 1")
        with pytest.raises(JournalError, match="cannot be written"):
            journal.usable()
        with journal._database.reading() as connection:
            connection.execute("PRAGMA query_only = 0")
        journal.usable()


class TestTransactions:
    def test_an_error_in_the_outer_one_undoes_the_inner(self, journal: Journal) -> None:
        """Everything inside is committed together, or not at all."""

        def fail() -> None:
            with journal._database.transaction():
                journal.workloads.want("web", STABLE)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert journal.workloads.state("web").wanted is None

    def test_an_error_in_the_inner_one_cannot_be_ignored(self, journal: Journal) -> None:
        """Whoever swallows it would commit the other half."""

        def half() -> None:
            with journal._database.transaction():
                journal.workloads.want("web", STABLE)
                with pytest.raises(ZeroDivisionError), journal._database.transaction():
                    raise ZeroDivisionError
                with pytest.raises(JournalError, match="failed before"):
                    journal.workloads.acted_on("web", A)

        with pytest.raises(JournalError):
            half()
        assert journal.workloads.state("web").wanted is None
        journal.workloads.acted_on("web", B)
        assert journal.workloads.state("web").tracked == B

    def test_after_an_error_the_next_one_is_whole_again(self, journal: Journal) -> None:
        """The connection is shared for the life of the process."""

        def fail() -> None:
            with journal._database.transaction() as connection:
                connection.execute("INSERT INTO nonsense VALUES (1)")

        with pytest.raises(JournalError, match="nonsense"):
            fail()
        ask(journal, deploy())
        assert journal.intents.pending() == 1
