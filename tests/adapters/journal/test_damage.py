"""A damaged journal: found at start or in use, moved aside, and what is saved of it."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import NOW, SIGNED, A, accept, ask, deploy, event, later, look
from webhook_launcher.adapters.journal import Journal, damage
from webhook_launcher.core.errors import JournalDamagedError, JournalError

PAGE = 4096
# By every index of the table, and by itself.
_READ_ALL = """
SELECT * FROM (SELECT id FROM deliveries ORDER BY id) UNION ALL
SELECT * FROM (SELECT sender_id FROM deliveries ORDER BY source, sender_id) UNION ALL
SELECT * FROM (SELECT received_at FROM deliveries ORDER BY received_at) UNION ALL
SELECT secret_id FROM deliveries NOT INDEXED
"""


def journal_file(state: Path) -> Path:
    """Where it is."""
    return state / "journal.sqlite3"


def filled(state: Path) -> None:
    """A journal of some hundred pages, closed, with everything in the file."""
    journal = Journal(state, LANES)
    for number in range(2000):
        accept(journal, f"n{number:05}" + "x" * 200, ignored="nothing to do")
    journal.workloads.quarantine("web", A, "it was unhealthy", NOW)
    journal.workloads.pause("blog", True)
    journal.deliveries.accept(event("signed", "ci"), [deploy()], None, NOW)
    journal.close()


def overwrite(path: Path, offset: int, length: int = PAGE) -> None:
    """What a dying disk does."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(os.urandom(length))


def header(state: Path) -> None:
    """It is not even recognised."""
    overwrite(journal_file(state), 0, 100)


def middle(state: Path) -> None:
    """A page somewhere in it."""
    size = journal_file(state).stat().st_size
    overwrite(journal_file(state), size // 2 // PAGE * PAGE)


def cut(state: Path) -> None:
    """Its end is gone."""
    os.truncate(journal_file(state), journal_file(state).stat().st_size // 2)


@pytest.mark.parametrize("harm", [header, middle, cut])
def test_a_damaged_journal_is_moved_aside_and_a_new_one_begins(
    state: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A launcher that does not start keeps nothing alive; and the file is evidence."""
    filled(state)
    harm(state)
    before = journal_file(state).read_bytes()
    journal = Journal(state, LANES)
    [aside] = damage.moved_aside(state)
    assert aside.read_bytes() == before
    assert accept(journal, "new", look()).intents
    journal.usable()
    told = next(record for record in caplog.records if record.message == "journal moved aside")
    assert told.__dict__["file"] == str(aside)
    assert str(aside) in (journal.note() or "")
    journal.close()
    again = Journal(state, LANES)
    assert len(damage.moved_aside(state)) == 1
    aside.unlink()
    assert again.note() is None
    again.close()


def test_what_protects_is_read_from_it(state: Path) -> None:
    """A digest that failed must not come back, a pause must hold, an old event must not count."""
    filled(state)
    middle(state)
    journal = Journal(state, LANES)
    assert journal.workloads.state("web").quarantined == {A}
    assert journal.workloads.state("blog").paused
    older = deploy(origin=replace(SIGNED, signed_at=later(-60)))
    late = journal.deliveries.accept(event("late", "ci"), [older], None, NOW)
    assert not late.intents
    journal.close()


def test_nonsense_in_it_is_not_read(state: Path) -> None:
    """A digest that is none would fail every later look at that workload."""
    filled(state)
    with sqlite3.connect(journal_file(state)) as connection:
        connection.execute("INSERT INTO quarantine VALUES ('api', 'sha256:zz', 'now', 'x')")
        connection.execute("UPDATE workloads SET signed_at = 'then' WHERE name = 'web'")
    connection.close()
    middle(state)
    journal = Journal(state, LANES)
    assert journal.workloads.state("api").quarantined == frozenset()
    ask(journal, deploy())
    journal.close()


def test_damage_that_a_start_did_not_see_is_found_in_use(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is not ready, says why, and the next start moves it aside whatever a check says."""
    filled(state)
    middle(state)
    with monkeypatch.context() as patch:
        patch.setattr("webhook_launcher.adapters.journal.database.check", lambda _: None)
        journal = Journal(state, LANES)
        journal.usable()
        with pytest.raises(JournalDamagedError), journal._database.reading() as connection:
            connection.execute(_READ_ALL).fetchall()
        with pytest.raises(JournalDamagedError, match="is damaged"):
            journal.usable()
        journal.close()
        again = Journal(state, LANES)
    again.usable()
    assert len(damage.moved_aside(state)) == 1
    again.close()


def test_a_wal_without_its_end_is_a_crash_not_damage(state: Path) -> None:
    """SQLite takes the transactions up to there; what was cut off cannot be known."""
    journal = Journal(state, LANES)
    with sqlite3.connect(journal_file(state)) as reader:
        for number in range(50):
            accept(journal, f"n{number}", look())
        names = ("journal.sqlite3", "journal.sqlite3-wal")
        taken = {name: (state / name).read_bytes() for name in names}
    reader.close()
    journal.close()
    for name, content in taken.items():
        (state / name).write_bytes(content)
    (state / "journal.sqlite3-shm").unlink(missing_ok=True)
    wal = state / "journal.sqlite3-wal"
    os.truncate(wal, wal.stat().st_size // 2)
    again = Journal(state, LANES)
    assert damage.moved_aside(state) == []
    kept = [number for number in range(50) if accept(again, f"n{number}", look()).duplicate]
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) < 50
    again.close()


def test_its_wal_goes_with_it(state: Path) -> None:
    """It has the newest transactions, and another journal's WAL is damage itself."""
    filled(state)
    (state / "journal.sqlite3-wal").write_bytes(b"the newest transactions")
    header(state)
    journal = Journal(state, LANES)
    [aside] = damage.moved_aside(state)
    assert Path(f"{aside}-wal").read_bytes() == b"the newest transactions"
    journal.close()


def test_only_the_newest_are_kept(state: Path) -> None:
    """A disk that damages one after the other must not be filled by them."""
    for number in range(5):
        Journal(state, LANES).close()
        journal_file(state).write_bytes(b"damage %d" % number * 100)
    Journal(state, LANES).close()
    found = [path.read_bytes()[:8] for path in damage.moved_aside(state)]
    assert found == [b"damage 2", b"damage 3", b"damage 4"]


def test_the_check_is_bounded(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A start must not wait for a check of gigabytes."""
    caplog.set_level("INFO")
    filled(state)
    with sqlite3.connect(journal_file(state)) as connection:
        assert damage.check(connection, seconds=60) is None
        assert "journal not checked to its end" not in caplog.messages
        assert damage.check(connection, seconds=-1) is None
        assert "journal not checked to its end" in caplog.messages
        assert connection.execute("SELECT count(*) FROM deliveries").fetchone() == (2001,)
    connection.close()


def test_a_full_or_locked_disk_is_no_damage(state: Path) -> None:
    """What passes by itself must not cost the journal."""
    Journal(state, LANES).close()
    with sqlite3.connect(journal_file(state), isolation_level=None) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE probe SET count = 1")
        with pytest.raises(JournalError, match="cannot open the journal"):
            Journal(state, LANES)
        other.execute("ROLLBACK")
    other.close()
    assert damage.moved_aside(state) == []
    Journal(state, LANES).close()
