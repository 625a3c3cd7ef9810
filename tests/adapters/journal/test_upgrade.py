"""Upgrades of the journal: a copy first, then all steps or none."""

import os
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import A, accept, look
from tests.adapters.journal.written import make
from webhook_launcher.adapters.journal import Journal, copies, schema, upgrade
from webhook_launcher.adapters.journal.schema import Step
from webhook_launcher.core.errors import JournalError, JournalTooNewError

ONE: Step = "UPDATE deliveries SET ignored = 'by the first step'"
NAME = "journal.sqlite3"


def two(connection: sqlite3.Connection) -> None:
    """A step that is a function, over several statements."""
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.execute("INSERT INTO notes SELECT id FROM deliveries")


STEPS: tuple[Step, ...] = (*schema.STEPS, ONE, two)
BEFORE, AFTER = schema.newest(), schema.newest(STEPS)


@pytest.fixture
def old(state: Path) -> Path:
    """A state directory with a journal of today, closed; its path."""
    journal = Journal(state, LANES)
    for number in range(20):
        accept(journal, f"n{number}", look())
    journal.workloads.quarantine("web", A, "it was unhealthy", make.NOW)
    journal.close()
    return state


def opened(state: Path, steps: Sequence[Step] = STEPS) -> None:
    """A start and a stop."""
    Journal(state, LANES, steps=steps).close()


def reading(path: Path) -> closing[sqlite3.Connection]:
    """A look that leaves nothing beside a copy."""
    way = "mode=ro" if path.name == NAME else "immutable=1"
    return closing(sqlite3.connect(f"{path.as_uri()}?{way}", uri=True))


def asked(path: Path, query: str) -> list[Any]:
    """The first column of a query."""
    with reading(path) as connection:
        return [row[0] for row in connection.execute(query)]


def version(path: Path) -> int:
    """The schema of a file."""
    return int(asked(path, "PRAGMA user_version")[0])


def content(path: Path) -> str:
    """All of it, as SQL."""
    with reading(path) as connection:
        return "\n".join(connection.iterdump())


def names(state: Path) -> set[str]:
    """The journal's files in the state directory."""
    return {path.name for path in state.iterdir()} - {f"{NAME}-wal", f"{NAME}-shm"}


def test_the_file_is_copied_before_the_first_step(old: Path) -> None:
    """It is the way back: whole, private, and what the version before reads."""
    before = content(old / NAME)
    opened(old)
    copy = old / f"{NAME}.schema-{BEFORE}"
    assert (version(old / NAME), version(copy)) == (AFTER, BEFORE)
    assert content(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    assert asked(copy, "PRAGMA integrity_check") == ["ok"]
    assert set(asked(old / NAME, "SELECT ignored FROM deliveries")) == {"by the first step"}
    assert names(old) == {NAME, copy.name, "lock", "receipts.key", "receipts.pub"}


def test_without_a_step_nothing_is_copied(old: Path) -> None:
    """Every start would write the file once more."""
    opened(old, schema.STEPS)
    assert not copies.copies(old)
    opened(old)
    [copy] = copies.copies(old).values()
    written = copy.stat()
    opened(old)
    assert copy.stat().st_mtime_ns == written.st_mtime_ns


def test_a_new_journal_has_no_copy(state: Path) -> None:
    """There is nothing to go back to."""
    opened(state)
    assert not copies.copies(state)
    assert version(state / NAME) == AFTER


def test_the_copy_has_what_is_in_the_wal_only(old: Path) -> None:
    """After a kill, the newest deliveries are there and not in the file."""
    journal = Journal(old, LANES)
    accept(journal, "the newest", look())
    taken = {name: (old / name).read_bytes() for name in (NAME, f"{NAME}-wal")}
    journal.close()
    for name, bytes_of in taken.items():
        (old / name).write_bytes(bytes_of)
    opened(old)
    copy = copies.copy_path(old, BEFORE)
    assert "the newest" in asked(copy, "SELECT sender_id FROM deliveries")
    assert not Path(f"{copy}-wal").exists()


def test_each_version_has_one_copy_the_newest(old: Path) -> None:
    """Upgrades again and again must not fill the disk; the older copy is what the newer has."""
    opened(old)
    (old / NAME).write_bytes(copies.copy_path(old, BEFORE).read_bytes())
    journal = Journal(old, LANES)
    accept(journal, "after going back", look())
    journal.close()
    opened(old)
    assert list(copies.copies(old)) == [BEFORE]
    copy = copies.copy_path(old, BEFORE)
    assert "after going back" in asked(copy, "SELECT sender_id FROM deliveries")


def test_versions_are_passed_through_one_after_the_other(old: Path) -> None:
    """Whoever upgrades at every release can go back to each."""
    opened(old, STEPS[:-1])
    opened(old)
    assert list(copies.copies(old)) == [BEFORE, BEFORE + 1]


def test_without_room_for_the_copy_nothing_is_changed(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how much is needed; the next start, with room, does it."""
    before, there = content(old / NAME), names(old)
    real = os.statvfs
    with monkeypatch.context() as patch:

        def full(path: Any) -> os.statvfs_result:
            found = list(real(path))
            found[4] = 0  # f_bavail
            return os.statvfs_result(found)

        patch.setattr(os, "statvfs", full)
        with pytest.raises(JournalError, match=r"1 MiB are needed, 0 MiB are free") as raised:
            opened(old)
    assert "Nothing was changed" in raised.value.advice()
    assert (content(old / NAME), names(old)) == (before, there)
    opened(old)
    assert version(old / NAME) == AFTER


def test_a_copy_that_cannot_be_written_leaves_the_old_one(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may take the room in the middle of it."""
    opened(old)
    copy = copies.copy_path(old, BEFORE)
    (old / NAME).write_bytes(copy.read_bytes())
    before, there = copy.read_bytes(), names(old)
    with monkeypatch.context() as patch:

        def failing(_: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", failing)
        with pytest.raises(JournalError, match=r"cannot copy the journal.*No space left"):
            opened(old)
    assert copy.read_bytes() == before
    assert names(old) == there
    assert version(old / NAME) == BEFORE


@pytest.mark.parametrize(
    "step",
    [
        "ALTER TABLE nothing ADD COLUMN a TEXT",
        lambda connection: connection.execute("INSERT INTO nothing VALUES (1)"),
        lambda connection: connection.commit(),
        lambda connection: connection.executescript("CREATE TABLE a (b TEXT);"),
        lambda connection: connection.execute("ROLLBACK"),
    ],
    ids=["statement", "function", "commit", "script", "rollback"],
)
def test_a_step_that_fails_or_commits_changes_nothing(old: Path, step: Step) -> None:
    """Half an upgrade could neither go on nor go back; the advice says how to go on."""
    before = content(old / NAME)
    with pytest.raises(JournalError, match=f"schema {BEFORE} to {BEFORE + 3}") as raised:
        opened(old, (*STEPS, step))
    assert "former version" in raised.value.advice()
    assert content(old / NAME) == before
    opened(old, schema.STEPS)
    opened(old)
    assert version(old / NAME) == AFTER


def test_a_journal_of_a_newer_version_is_refused_with_the_way_back(old: Path) -> None:
    """Whoever installed the older version by mistake, or on purpose, must not have to search."""
    opened(old)
    before = (old / NAME).read_bytes()
    with pytest.raises(JournalTooNewError) as raised:
        opened(old, schema.STEPS)
    assert f"schema {AFTER}, and this version reads schemas up to {BEFORE}" in str(raised.value)
    assert f"webhook-launcher journal restore --schema {BEFORE}`" in raised.value.advice()
    assert (old / NAME).read_bytes() == before
    copies.copy_path(old, BEFORE).unlink()
    with pytest.raises(JournalTooNewError) as raised:
        opened(old, schema.STEPS)
    assert "there is no copy" in raised.value.advice()


def test_it_is_known_before_the_start_whether_there_is_an_upgrade(old: Path) -> None:
    """`serve` does it before gunicorn, which ends a worker that is not up within 30 s."""
    assert not upgrade.upgrade_pending(old)
    assert upgrade.upgrade_pending(old, STEPS)
    opened(old)
    assert upgrade.upgrade_pending(old)
    assert not upgrade.upgrade_pending(old, STEPS)
    assert not upgrade.upgrade_pending(old / "elsewhere", STEPS)


def test_a_damaged_journal_is_moved_aside_and_never_copied(old: Path) -> None:
    """A copy of damage would take the place of a good copy."""
    opened(old)
    copy = copies.copy_path(old, BEFORE)
    kept = copy.read_bytes()
    damaged = bytearray(kept)
    damaged[4096 : 3 * 4096] = os.urandom(2 * 4096)
    (old / NAME).write_bytes(damaged)
    opened(old)
    assert copy.read_bytes() == kept
    assert version(old / NAME) == AFTER


# ── killed at every line ─────────────────────────────────────────────────────────────────────

TRACED = tuple(module.__file__ for module in (upgrade, copies, schema) if module.__file__)


def killed_at(line: int, run: Callable[[], object], traced: tuple[str, ...] = TRACED) -> bool:
    """Run in a child that is killed before the n-th line of these files; False if it ended.

    Of a line in a loop, its first two turns count.
    """
    child = os.fork()
    if child == 0:
        left = line
        turns: Counter[tuple[str, int]] = Counter()

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in traced:
                return None
            if event == "line":
                turns[frame.f_code.co_filename, frame.f_lineno] += 1
                left -= turns[frame.f_code.co_filename, frame.f_lineno] <= 2
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        with suppress(BaseException):
            sys.settrace(trace)
            run()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def test_a_kill_at_any_line_leaves_the_old_journal_or_the_new_one(old: Path, memory: Path) -> None:
    """A real SIGKILL before each line of the upgrade; the next start finishes it."""
    old = Path(shutil.copytree(old, memory / "state"))
    file, before = old / NAME, content(old / NAME)
    taken = file.read_bytes()
    line, seen = 0, set()
    while True:
        line += 1
        for left in old.glob(f"{NAME}*"):
            left.unlink()
        file.write_bytes(taken)
        if not killed_at(line, lambda: opened(old)):
            break
        found = version(file)
        seen.add(found)
        if found == BEFORE:
            assert content(file) == before
        else:
            assert found == AFTER
            assert set(asked(file, "SELECT ignored FROM deliveries")) == {"by the first step"}
            assert asked(file, "SELECT count(*) FROM notes") == [20]
        opened(old)
        assert version(file) == AFTER
        assert content(copies.copy_path(old, BEFORE)) == before
        assert not list(old.glob("*.part*"))
    assert seen == {BEFORE, AFTER}
    assert line > 50
