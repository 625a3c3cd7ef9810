"""Back to the copy that an upgrade made: what is set aside, what is carried over, and kills."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.test_upgrade import (
    AFTER,
    BEFORE,
    NAME,
    STEPS,
    asked,
    content,
    killed_at,
    names,
    version,
)
from tests.adapters.journal.words import NOW, SIGNED, A, B, accept, attempt, deploy, event, later
from tests.adapters.journal.words import look as look_at
from tests.fakes import digest
from webhook_launcher.adapters.journal import (
    Journal,
    carrying_over,
    copies,
    kept_receipts,
    preview,
    restore,
    schema,
    set_aside,
)
from webhook_launcher.adapters.journal import restoration as restoring
from webhook_launcher.core.errors import BrokenChainError, JournalError, StateLockedError
from webhook_launcher.core.model import Status
from webhook_launcher.core.receipts import verify

C = digest("C")


@contextmanager
def launcher(state: Path, *, newer: bool = True) -> Iterator[Journal]:
    """The journal of a version, opened."""
    journal = Journal(state, LANES, steps=STEPS if newer else schema.STEPS)
    try:
        yield journal
    finally:
        journal.close()


def deployed(journal: Journal, name: str, workload: str = "web", named: str = "A") -> None:
    """A release that runs, with its receipt."""
    begun = attempt(name, digest(named), workload=workload, intent=f"i-{name}")
    journal.deployments.begin(begun)
    journal.deployments.succeed(replace(begun, status=Status.SUCCESS, finished_at=later(5)))


@pytest.fixture
def upgraded(state: Path) -> Path:
    """A journal with a past, upgraded, and with a life since."""
    with launcher(state, newer=False) as journal:
        accept(journal, "before", look_at("api"))
        accept(journal, "open before", deploy("blog"))
        deployed(journal, "d1")
        journal.workloads.quarantine("web", B, "it was unhealthy", NOW)
        journal.workloads.pause("api", True)
        open_then = attempt("d2", digest("open"), workload="jobs", intent="i-open")
        journal.deployments.begin(open_then)
        journal.deployments.mark_switching(open_then)
    with launcher(state) as journal:
        deployed(journal, "d3", named="since")
        journal.deployments.fail(
            replace(open_then, switching=True, status=Status.ERROR, finished_at=later(9))
        )
        claimed = journal.intents.claim(later(10))
        assert claimed is not None
        assert claimed.workload == "blog"
        journal.intents.settle(claimed, Status.SUCCESS)
        journal.deliveries.accept(event("signed", "ci"), [deploy("web")], None, later(11))
        accept(journal, "since", look_at("blog"))
        journal.workloads.quarantine("web", C, "it was unhealthy", later(12))
        journal.workloads.release_quarantine("web", B)
        journal.workloads.pause("api", False)
        journal.workloads.pause("blog", True)
    return state


def test_the_copy_is_put_back_and_the_newer_journal_is_kept(upgraded: Path) -> None:
    """Nothing is lost: what the older version cannot read is in a file that is named."""
    before = content(upgraded / NAME)
    done = restore(upgraded)
    assert done is not None
    assert (done.found, done.schema) == (AFTER, BEFORE)
    assert version(upgraded / NAME) == BEFORE
    assert content(done.aside) == before
    assert set_aside(upgraded) == [done.aside]
    assert done.aside.stat().st_mode & 0o777 == 0o600
    assert (upgraded / NAME).stat().st_mode & 0o777 == 0o600
    kept = {NAME, f"{NAME}.schema-{BEFORE}", done.aside.name}
    assert {name for name in names(upgraded) if name.startswith(NAME)} == kept


def test_it_counts_what_is_set_aside(upgraded: Path) -> None:
    """Whoever goes back must know what the older version will not know."""
    done = restore(upgraded)
    assert done is not None
    assert done.counts == {
        "deliveries": 2,
        "deployments": 1,
        "receipts": 2,
        "waiting": 2,
        "interrupted": 0,
    }
    assert done.head is not None
    assert done.head_left is not None
    assert (done.head.sequence, done.head_left.sequence) == (3, 1)


def test_what_describes_the_host_and_protects_it_is_carried_over(upgraded: Path) -> None:
    """A bad image must not come back, nor the host's release be taken for drift of an older one."""
    done = restore(upgraded)
    assert done is not None
    assert done.not_carried == ()
    with launcher(upgraded, newer=False) as journal:
        web = journal.workloads.state("web")
        assert web.quarantined == {C}
        assert web.current is not None
        assert web.previous is not None
        assert (web.current.digest, web.previous.digest) == (digest("since"), digest("A"))
        assert journal.workloads.superseded("web", web.previous)
        assert not journal.workloads.state("api").paused
        assert journal.workloads.state("blog").paused
        older = deploy(origin=replace(SIGNED, signed_at=later(-60)))
        late = journal.deliveries.accept(event("late", "ci"), [older], None, later(60))
        assert not late.intents


def test_what_ended_since_the_copy_does_not_begin_again(upgraded: Path) -> None:
    """An old wish would replace what was deployed since; an old attempt would be finished."""
    restore(upgraded)
    with launcher(upgraded, newer=False) as journal:
        journal.intents.release_claims()
        claimed = journal.intents.claim(later(100))
        assert claimed is not None
        assert claimed.workload == "api"  # it waited then, and still does
        assert journal.intents.claim(later(100)) is None
        assert journal.deployments.interrupted("jobs") == []
        assert journal.deployments.get("d2") is None  # where its receipt is, its end is
        opened_before = accept(journal, "open before")
        [ended] = opened_before.intents
        assert (ended.status, ended.code) == (Status.INACTIVE, "set-aside")
        assert ended.detail is not None
        assert set_aside(upgraded)[0].name in ended.detail


def test_a_delivery_that_is_set_aside_can_be_sent_again(upgraded: Path) -> None:
    """Its wish was not done; a repetition that counted as known would be lost."""
    restore(upgraded)
    with launcher(upgraded, newer=False) as journal:
        assert accept(journal, "before").duplicate
        assert not accept(journal, "since", look_at("blog")).duplicate


def test_the_chain_forks_and_a_noted_head_says_so(upgraded: Path) -> None:
    """The restored chain is whole; the head of before is of the file that was set aside."""
    done = restore(upgraded)
    assert done is not None
    assert done.head is not None
    with launcher(upgraded, newer=False) as journal:
        key = journal.receipts.key
        for name in ("d4", "d5"):
            deployed(journal, name)
    assert verify([*kept_receipts(upgraded)], [key]).head is not None
    with pytest.raises(BrokenChainError) as raised:
        verify([*kept_receipts(upgraded)], [key], [done.head])
    assert "put back from a copy" in raised.value.advice()
    verify([*kept_receipts(done.aside)], [key], [done.head])


def test_a_release_that_the_older_version_cannot_read_is_left_out(upgraded: Path) -> None:
    """It is learned from the engine then, and the tag is looked at anew."""
    with closing(sqlite3.connect(upgraded / NAME, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE workloads SET current = json_remove(current, '$.media_type'), tracked = ? "
            "WHERE name = 'web'",
            (A,),
        )
    restore(upgraded)
    with launcher(upgraded, newer=False) as journal:
        web = journal.workloads.state("web")
        assert (web.current, web.previous, web.tracked) == (None, None, None)
        assert web.quarantined == {C}


def test_a_table_that_a_later_version_changed_is_named(upgraded: Path) -> None:
    """The copy's content is in force then, and the operator must know."""
    with closing(sqlite3.connect(upgraded / NAME, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE quarantine RENAME COLUMN since TO at")
        connection.execute("DROP TABLE receipts")
    done = restore(upgraded)
    assert done is not None
    assert done.not_carried == ("quarantine",)
    assert (done.counts["receipts"], done.head) == (None, None)
    with launcher(upgraded, newer=False) as journal:
        assert journal.workloads.state("web").quarantined == {B}


def test_a_preview_changes_nothing_and_says_the_same(upgraded: Path) -> None:
    """It may run beside the launcher, before anybody stops it."""
    before, there = content(upgraded / NAME), names(upgraded)
    with launcher(upgraded):
        shown = preview(upgraded)
    assert shown is not None
    assert (content(upgraded / NAME), names(upgraded)) == (before, there)
    done = restore(upgraded)
    assert done is not None
    assert replace(shown, aside=done.aside) == done


def test_it_refuses_while_a_launcher_runs(upgraded: Path) -> None:
    """Two would write to two files by one name."""
    with launcher(upgraded), pytest.raises(StateLockedError):
        restore(upgraded)
    assert version(upgraded / NAME) == AFTER


def test_it_refuses_while_somebody_reads(upgraded: Path) -> None:
    """The WAL cannot be folded behind a reader, and the newest deliveries are in it."""
    with closing(sqlite3.connect(upgraded / NAME, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        with closing(sqlite3.connect(upgraded / NAME, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM intents").fetchone()
            writer.execute("UPDATE probe SET count = 2")
            writer.execute("DELETE FROM sightings")
            with pytest.raises(JournalError, match="another process reads the journal"):
                restore(upgraded)
    assert version(upgraded / NAME) == AFTER
    restore(upgraded)
    assert version(upgraded / NAME) == BEFORE


def test_without_a_copy_it_says_so(upgraded: Path) -> None:
    """And so does a schema of which there is none."""
    with pytest.raises(JournalError, match=f"copies have {BEFORE}"):
        restore(upgraded, 99)
    done = restore(upgraded)
    assert done is not None
    with pytest.raises(JournalError, match="no copy to go back to") as raised:
        restore(upgraded)
    assert done.aside.name in raised.value.advice()
    assert restore(upgraded, BEFORE) is None


def test_a_damaged_or_wrong_copy_is_not_put_back(upgraded: Path) -> None:
    """The journal that runs is better than one that cannot be read."""
    copy = copies.copy_path(upgraded, BEFORE)
    whole = copy.read_bytes()
    for harm in (b"", whole[:4096] + os.urandom(8192) + whole[12288:], (upgraded / NAME)):
        copy.write_bytes(harm if isinstance(harm, bytes) else harm.read_bytes())
        with pytest.raises(JournalError):
            restore(upgraded)
        assert version(upgraded / NAME) == AFTER
        assert not set_aside(upgraded)


def test_forward_again_after_going_back(upgraded: Path) -> None:
    """The newer version upgrades what the older one left, and makes its copy anew."""
    restore(upgraded)
    with launcher(upgraded, newer=False) as journal:
        accept(journal, "in between", look_at())
    with launcher(upgraded) as journal:
        assert accept(journal, "in between").duplicate
    copy = copies.copy_path(upgraded, BEFORE)
    assert "in between" in asked(copy, "SELECT sender_id FROM deliveries")
    assert len(set_aside(upgraded)) == 1


def test_a_kill_at_any_line_loses_nothing_and_running_it_again_completes(
    upgraded: Path, memory: Path
) -> None:
    """A real SIGKILL before each line: there always is a whole journal, and the newer one too."""
    upgraded = Path(shutil.copytree(upgraded, memory / "state"))
    file = upgraded / NAME
    newer, before = file.read_bytes(), content(file)
    copy = copies.copy_path(upgraded, BEFORE)
    kept = copy.read_bytes()
    traced = tuple(
        module.__file__ for module in (restoring, copies, carrying_over) if module.__file__
    )
    line, seen = 0, set()
    while True:
        line += 1
        for left in upgraded.glob(f"{NAME}*"):
            left.unlink()
        file.write_bytes(newer)
        copy.write_bytes(kept)
        if not killed_at(line, lambda: restore(upgraded), traced):
            break
        found = version(file)
        seen.add(found)
        if found == AFTER:
            assert content(file) == before
        else:
            assert [content(aside) for aside in set_aside(upgraded)] == [before]
        restore(upgraded, BEFORE)
        assert version(file) == BEFORE
        assert [content(aside) for aside in set_aside(upgraded)] == [before]
        assert json.loads(asked(file, "SELECT current FROM workloads WHERE name = 'web'")[0])[
            "digest"
        ] == digest("since")
    assert seen == {BEFORE, AFTER}
    assert line > 100
