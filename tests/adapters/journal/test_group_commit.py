"""Changes of several threads share a commit: durable before the answer, and each for itself."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier, Event

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import NOW, STABLE, accept, ask, deploy, event, look, now_is
from webhook_launcher.adapters.journal import Accepted, Journal
from webhook_launcher.adapters.journal.writer import Writer
from webhook_launcher.core.errors import JournalError, QueueFullError
from webhook_launcher.core.model import Status

THREADS = 32
# Accepts deliveries from many threads and prints each id once it was acknowledged.
ACKNOWLEDGE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.adapters.journal.words import accept, look
from webhook_launcher.adapters.journal import Journal
journal = Journal(Path(sys.argv[1]), {"web": "web"})
def hear(number):
    sys.stdout.write(accept(journal, f"n{number}", look("web")).id + "\\n")
    sys.stdout.flush()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(hear, range(100_000)))
"""


def together(journal: Journal, *calls: Callable[[], object]) -> list[object]:
    """What calls from as many threads lead to, results and errors, as one batch."""
    writer = journal._database._writer

    def tried(call: Callable[[], object]) -> object:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - compared by the test
            return error

    taken, go = Event(), Event()

    def hold() -> None:
        taken.set()
        go.wait(30)

    with ThreadPoolExecutor(len(calls) + 1) as pool:
        pool.submit(journal._database.write, hold)
        taken.wait(30)
        waiting = []
        for number, call in enumerate(calls, 1):
            waiting.append(pool.submit(tried, call))
            while writer._changes.qsize() < number:
                time.sleep(0)  # so that they keep this order
        go.set()
    return [one.result() for one in waiting]


def stored(state: Path) -> set[str]:
    """The deliveries that another process finds in the file."""
    with closing(sqlite3.connect(state / "journal.sqlite3")) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM deliveries")}


def test_deliveries_of_many_threads_are_all_kept_and_distinct(state: Path) -> None:
    """What shares a commit must not share an id, nor push another out."""
    journal, start = Journal(state, LANES), Barrier(THREADS)

    def hear(thread: int) -> list[str]:
        start.wait()
        return [accept(journal, f"{thread}-{n}", look("blog")).id for n in range(20)]

    with ThreadPoolExecutor(THREADS) as pool:
        heard = [one for ids in pool.map(hear, range(THREADS)) for one in ids]
    assert len(set(heard)) == THREADS * 20
    assert stored(state) == set(heard)
    assert len(journal.intents.waiting("blog")) == 1  # the newest; the others were superseded
    journal.close()


def test_equal_deliveries_at_one_moment_are_one(journal: Journal) -> None:
    """A sender that fires twice must not find the gap between looking and writing."""
    answers = together(journal, *[lambda: accept(journal, "same", look("blog"))] * 8)
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len({one.id for one in accepted}) == 1
    assert sorted(one.duplicate for one in accepted) == [False] + [True] * 7


def test_nothing_is_acknowledged_before_its_commit(state: Path, journal: Journal) -> None:
    """A second connection sees committed rows only, and must see each at once."""

    def hear(number: int) -> bool:
        return accept(journal, f"n{number}", look("blog")).id in stored(state)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(hear, range(200)))


def test_an_answer_waits_for_the_commit_of_its_batch() -> None:
    """Not only for its own part of it."""
    committed, order = Event(), []

    @contextmanager
    def scope() -> Iterator[None]:
        yield
        order.append("committed")
        committed.set()

    writer = Writer(scope, scope)
    writer.write(lambda: order.append("ran"))
    assert committed.is_set()
    assert order == ["ran", "committed"]
    writer.stop()


def test_a_change_that_fails_does_not_take_its_batch_along(journal: Journal) -> None:
    """One in which everything goes wrong, and one with a fault of ours; the others are kept."""
    ask(journal, deploy("web"))

    def broken() -> object:
        def change() -> None:
            with journal._database.transaction() as connection:
                connection.execute("DELETE FROM intents")
                connection.execute("INSERT INTO nonsense VALUES (1)")

        return journal._database.write(change)

    def fault() -> object:
        def change() -> None:
            journal.workloads.want("web", STABLE)
            raise ZeroDivisionError

        return journal._database.write(change)

    answers = together(
        journal,
        lambda: accept(journal, "first", ignored="nothing"),
        broken,
        fault,
        lambda: accept(journal, "last", look("blog")),
    )
    assert [type(answer) for answer in answers] == [
        Accepted,
        JournalError,
        ZeroDivisionError,
        Accepted,
    ]
    assert journal.intents.pending() == 2
    assert journal.workloads.state("web").wanted is None
    assert accept(journal, "first").duplicate


def test_a_full_queue_refuses_only_what_does_not_fit(state: Path) -> None:
    """In one batch the first fits, the second does not, and the third replaces the first."""
    journal = Journal(state, LANES, limit=1)
    answers = together(
        journal,
        lambda: accept(journal, "a", look("web")),
        lambda: accept(journal, "b", look("blog")),
        lambda: accept(journal, "c", look("web")),
    )
    assert [type(one) for one in answers] == [Accepted, QueueFullError, Accepted]
    [waiting] = journal.intents.waiting("web")
    assert isinstance(answers[2], Accepted)
    assert waiting.id == answers[2].intents[0].id
    assert journal.intents.waiting("blog") == []
    assert not accept(journal, "b", ignored="now it is").duplicate
    journal.close()


def test_when_a_commit_fails_each_change_is_tried_by_itself(journal: Journal) -> None:
    """On a disk with little room, one large change must not refuse the small ones with it."""
    journal.workloads.pause("blog", paused=True)
    with journal._database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    [small, large, other] = together(
        journal,
        lambda: accept(journal, "small", ignored="x"),
        lambda: accept(journal, "large", ignored="x" * 100_000),
        lambda: accept(journal, "other", ignored="x"),
    )
    assert isinstance(large, JournalError)
    assert isinstance(small, Accepted)
    assert isinstance(other, Accepted)
    assert {one.id for one in (small, other)} == stored(journal_path(journal))


def journal_path(journal: Journal) -> Path:
    """Where its file is."""
    with journal._database.reading() as connection:
        return Path(connection.execute("PRAGMA database_list").fetchone()["file"]).parent


def test_a_part_of_a_change_that_failed_cannot_be_swallowed_in_a_batch(journal: Journal) -> None:
    """Whoever does would have the other half committed with somebody else's delivery."""

    def half() -> object:
        def change() -> None:
            journal.workloads.want("web", STABLE)
            with pytest.raises(ZeroDivisionError), journal._database.transaction():
                raise ZeroDivisionError

        return journal._database.write(change)

    failed, fine = together(journal, half, lambda: accept(journal, "one", look("blog")))
    assert isinstance(failed, JournalError)
    assert isinstance(fine, Accepted)
    assert journal.workloads.state("web").wanted is None


def test_inside_a_transaction_a_change_is_a_part_of_it(journal: Journal) -> None:
    """Through the writer it would wait for itself."""
    with journal._database.transaction():
        intent = ask(journal, look("blog"))
        journal.intents.settle(intent, Status.SUCCESS)
    assert now_is(journal, intent).status is Status.SUCCESS


def test_after_the_close_a_change_is_refused(state: Path) -> None:
    """A request that outlives the stop must get an answer, and not wait for ever."""
    journal = Journal(state, LANES)
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.deliveries.accept(event("late"), [], None, NOW)
    journal.close()


def test_a_killed_launcher_loses_nothing_that_it_acknowledged(state: Path) -> None:
    """SIGKILL in the midst of batches: every id that came out is in the file."""
    with subprocess.Popen(
        [sys.executable, "-c", ACKNOWLEDGE, str(state)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as launcher:
        assert launcher.stdout is not None
        heard = [launcher.stdout.readline() for _ in range(500)]
        launcher.send_signal(signal.SIGKILL)
        heard += launcher.stdout.readlines()
    acknowledged = {line.strip() for line in heard if line.endswith("\n")}
    assert len(acknowledged) >= 500
    Journal(state, {"web": "web"}).close()
    assert acknowledged <= stored(state)
