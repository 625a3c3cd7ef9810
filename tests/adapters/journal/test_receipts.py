"""One receipt for each attempt that has ended, in one chain, in the transaction that ends it."""

import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import A, B, attempt, later
from tests.receipts import KEY, OTHER_KEY
from webhook_launcher.adapters.journal import Journal, kept_receipts
from webhook_launcher.core.dsse import PrivateKey, claimed
from webhook_launcher.core.errors import BrokenChainError, JournalError
from webhook_launcher.core.model import Deployment, Status
from webhook_launcher.core.receipts import Head, verify
from webhook_launcher.core.retention import Retention


def ended(deployment: Deployment, status: Status = Status.SUCCESS) -> Deployment:
    """The attempt, ended."""
    return replace(deployment, status=status, finished_at=later(9))


def deployed(journal: Journal, name: str, workload: str = "web") -> None:
    """Begin and succeed."""
    deployment = attempt(name, workload=workload)
    journal.deployments.begin(deployment)
    journal.deployments.succeed(ended(deployment))


def said(journal: Journal) -> list[dict[str, Any]]:
    """What the receipts say, oldest first."""
    return [json.loads(claimed(one))["predicate"] for one in journal.receipts.after(0, 500)]


def whole(journal: Journal) -> Head | None:
    """The end of the chain, which holds."""
    found = verify(journal.receipts.after(0, 500), [journal.receipts.key])
    assert found.head == journal.receipts.head()
    return found.head


class TestChain:
    def test_an_attempt_has_no_receipt_until_it_has_ended(self, journal: Journal) -> None:
        """A receipt is about what was done."""
        journal.deployments.begin(attempt())
        journal.deployments.mark_switching(attempt())
        assert whole(journal) is None
        journal.deployments.succeed(ended(attempt()))
        head = whole(journal)
        assert head is not None
        assert head.sequence == 1

    def test_a_failure_and_its_rollback_have_one_each(self, journal: Journal) -> None:
        """What is added to the failed attempt's record later is no second end of it."""
        journal.deployments.begin(attempt("d1", B))
        failed = ended(attempt("d1", B), Status.FAILURE)
        rollback = replace(attempt("d2", A), undoes="d1", rollback=True, switching=True)
        waiting = replace(failed, status=Status.IN_PROGRESS)
        journal.deployments.fail(waiting, rollback=rollback)
        assert said(journal) == []
        restored = replace(failed, restored=True, detail="and A is back")
        journal.deployments.succeed(ended(rollback), instead_of=restored)
        journal.deployments.rewrite(replace(restored, detail="and more"))
        found = [(one["deployment"], one["status"], one.get("undoes")) for one in said(journal)]
        assert found == [("d1", "failure", None), ("d2", "success", "d1")]
        assert whole(journal)

    def test_what_could_not_be_tried_has_one_too(self, journal: Journal) -> None:
        """`rewrite` ends attempts that failed before anything was touched."""
        journal.deployments.begin(attempt())
        journal.deployments.rewrite(ended(attempt(), Status.ERROR))
        assert [one["status"] for one in said(journal)] == ["error"]

    def test_the_chain_goes_on_after_a_restart(self, state: Path, journal: Journal) -> None:
        """With the key of the first start."""
        deployed(journal, "d1")
        journal.close()
        again = Journal(state, LANES)
        deployed(again, "d2")
        head = whole(again)
        assert head is not None
        assert head.sequence == 2
        again.close()

    def test_receipts_outlive_the_deployments_they_are_of(self, journal: Journal) -> None:
        """A chain that forgets its beginning could not be verified."""
        deployed(journal, "d1")
        with journal._database.transaction() as connection:
            connection.execute("UPDATE sqlite_sequence SET seq = 20000")
        for number in range(2, 22):  # the newest 20 of a workload stay in any case
            deployed(journal, f"d{number}")
        journal.prune(later(10**8), Retention())
        assert journal.deployments.get("d1") is None
        assert len(said(journal)) == 21
        assert whole(journal)

    def test_they_come_in_pages(self, journal: Journal) -> None:
        """After the number already seen, so that an export can be continued."""
        for number in range(5):
            deployed(journal, f"d{number}")
        everything = journal.receipts.after(0, 500)
        assert journal.receipts.after(0, 2) == everything[:2]
        assert journal.receipts.after(2, 2) == everything[2:4]
        assert journal.receipts.after(5, 2) == []

    def test_lanes_that_end_at_once_make_one_chain(self, journal: Journal) -> None:
        """Each must be signed after the one that is committed before it."""
        names = [f"{lane}-{number}" for lane in range(6) for number in range(8)]
        for name in names:
            journal.deployments.begin(attempt(name))
        start = threading.Barrier(6)
        failures: list[BaseException] = []

        def lane(number: int) -> None:
            start.wait()
            try:
                for name in names[number * 8 : number * 8 + 8]:
                    journal.deployments.succeed(ended(attempt(name)))
            except BaseException as error:  # noqa: BLE001 - told by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=lane, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert sorted(one["deployment"] for one in said(journal)) == sorted(names)
        head = whole(journal)
        assert head is not None
        assert head.sequence == len(names)


ROOT = Path(__file__).resolve().parents[3]


class FailingKey:
    """A key that cannot sign until it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.public = KEY.public

    def sign(self, message: bytes) -> bytes:
        """Fail, or sign."""
        if self.error is not None:
            raise self.error
        return KEY.sign(message)


class TestOneTransaction:
    @pytest.mark.parametrize("error", [JournalError("no"), RuntimeError("no"), OSError("no")])
    def test_an_attempt_whose_receipt_cannot_be_signed_has_not_ended(
        self, state: Path, error: Exception
    ) -> None:
        """Nothing of the end is kept, so the launcher recovers it like after a crash."""
        key = FailingKey(error)
        journal = Journal(state, LANES, key=cast("PrivateKey", key))
        switching = replace(attempt(), switching=True)
        journal.deployments.begin(switching)
        rollback = replace(attempt("d2", B), undoes="d1")
        failed = ended(switching, Status.FAILURE)
        with pytest.raises(type(error)):
            journal.deployments.succeed(ended(switching))
        with pytest.raises(type(error)):
            journal.deployments.fail(failed, rollback=rollback)
        with pytest.raises(type(error)):
            journal.deployments.rewrite(ended(switching, Status.ERROR))
        assert journal.deployments.interrupted("web") == [switching]
        state_of = journal.workloads.state("web")
        assert (state_of.current, state_of.quarantined) == (None, frozenset())
        assert said(journal) == []
        key.error = None
        journal.deployments.succeed(ended(switching))
        assert whole(journal)
        journal.close()

    def test_a_commit_that_fails_leaves_no_receipt(self, state: Path, journal: Journal) -> None:
        """And the next one takes its number: there is no gap."""
        journal.deployments.begin(attempt("d1"))

        def end_and_fail() -> None:
            with journal._database.transaction():
                journal.deployments.succeed(ended(attempt("d1")))
                assert len(said(journal)) == 1
                raise JournalError("the disk is full")

        with pytest.raises(JournalError):
            end_and_fail()
        assert said(journal) == []
        deployed(journal, "d2")
        journal.deployments.succeed(ended(attempt("d1")))
        assert [one["sequence"] for one in said(journal)] == [1, 2]
        assert whole(journal)

    def test_a_launcher_killed_at_any_moment_leaves_a_receipt_for_each_end(
        self, state: Path
    ) -> None:
        """Neither an end without receipt nor a receipt without an end, in one whole chain."""
        for lines in (1, 3, 2):
            with subprocess.Popen(
                [sys.executable, "-c", _ENDLESS, str(state)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            ) as launcher:
                assert launcher.stdout is not None
                for _ in range(lines):
                    assert launcher.stdout.readline()
                launcher.send_signal(signal.SIGKILL)
        journal = Journal(state, {})
        final = {one.id for one in journal.deployments.history(limit=500) if one.status.final}
        assert {one["deployment"] for one in said(journal)} == final
        assert len(final) >= 6
        assert whole(journal)
        journal.close()


# Deploys for ever, four lanes at once; a line after each that is committed.
_ENDLESS = """
import itertools, sys, threading
from dataclasses import replace
from pathlib import Path
from tests.adapters.journal.words import attempt
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.model import Status

journal = Journal(Path(sys.argv[1]), {})

def lane():
    while True:
        deployment = attempt(journal.new_id())
        journal.deployments.begin(deployment)
        journal.deployments.succeed(replace(deployment, status=Status.SUCCESS))
        print("committed", flush=True)

for _ in range(4):
    threading.Thread(target=lane).start()
"""


class TestKept:
    def test_they_are_read_beside_a_launcher_that_runs(self, state: Path, journal: Journal) -> None:
        """Verification must not need a stop, and must not stop anything."""
        deployed(journal, "d1")
        read = kept_receipts(state)
        first = next(read)
        deployed(journal, "d2")
        assert [first, *read] == journal.receipts.after(0, 1)
        assert list(kept_receipts(state)) == journal.receipts.after(0, 9)

    def test_they_are_read_when_none_runs(self, state: Path, journal: Journal) -> None:
        """And a launcher that starts afterwards finds nothing in its way."""
        deployed(journal, "d1")
        kept = journal.receipts.after(0, 9)
        journal.close()
        assert list(kept_receipts(state)) == kept
        again = Journal(state, LANES)
        assert again.receipts.after(0, 9) == kept
        again.close()

    @pytest.mark.parametrize(
        ("change", "sequence"),
        [
            ("DELETE FROM receipts WHERE seq = 2", 2),
            ("DELETE FROM receipts WHERE seq = 1", 1),
            ("UPDATE receipts SET envelope = replace(envelope, 'a', 'b') WHERE seq = 2", 2),
            ("UPDATE receipts SET envelope = NULLIF(7, 8) WHERE seq = 3", 3),
            ("UPDATE receipts SET seq = 9 WHERE seq = 1", 1),
            (
                "UPDATE receipts SET envelope = (SELECT envelope FROM receipts WHERE seq = 1) "
                "WHERE seq = 3",
                3,
            ),
        ],
    )
    def test_what_was_done_to_the_file_is_found(
        self, state: Path, journal: Journal, change: str, sequence: int
    ) -> None:
        """By somebody who has the state directory and not the key."""
        for number in range(1, 4):
            deployed(journal, f"d{number}")
        key = journal.receipts.key
        journal.close()
        with sqlite3.connect(state / "journal.sqlite3") as connection:
            connection.execute(change)
        connection.close()
        with closing(kept_receipts(state)) as kept, pytest.raises(BrokenChainError) as caught:
            verify(kept, [key])
        assert caught.value.sequence == sequence

    @pytest.mark.parametrize("prepare", ["nothing", "empty", "garbage", "another"])
    def test_no_journal_is_an_error_with_advice_and_makes_none(
        self, tmp_path: Path, prepare: str
    ) -> None:
        """A wrong `state` must not look like a chain without receipts."""
        file = tmp_path / "journal.sqlite3"
        if prepare == "another":
            connection = sqlite3.connect(file)
            connection.execute("CREATE TABLE something_else (x)")
            connection.close()
        elif prepare != "nothing":
            file.write_bytes(b"x" * 5000 if prepare == "garbage" else b"")
        before = file.exists()
        with pytest.raises(JournalError, match="no receipts can be read") as caught:
            list(kept_receipts(tmp_path))
        assert "launcher's user" in caught.value.advice()
        assert file.exists() == before


class TestGivenKey:
    def test_it_signs_instead_of_an_own(self, state: Path) -> None:
        """And its private half is nobody's business in the state directory."""
        journal = Journal(state, LANES, key=OTHER_KEY)
        deployed(journal, "d1")
        assert verify(journal.receipts.after(0, 9), [OTHER_KEY.public]).head
        assert not (state / "receipts.key").exists()
        assert (state / "receipts.pub").read_bytes() == OTHER_KEY.public.pem
        journal.close()


class TestWitness:
    def test_every_head_is_logged_once_it_is_committed(
        self, journal: Journal, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Logs kept elsewhere show what was cut off; one that was undone would accuse wrongly."""
        with caplog.at_level(logging.INFO):
            deployed(journal, "d1")
            journal.deployments.begin(attempt("d2", B))
            failed = ended(attempt("d2", B), Status.FAILURE)
            journal.deployments.fail(failed)
            journal.deployments.rewrite(replace(failed, detail="more"))
        told = [record.__dict__["head"] for record in caplog.records]
        everything = journal.receipts.after(0, 9)
        assert told == [str(Head.of(number, one)) for number, one in enumerate(everything, 1)]
        assert len(told) == 2
