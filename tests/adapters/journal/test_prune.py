"""What the journal forgets, and what it never does."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import NOW, accept, attempt, later, look
from webhook_launcher.adapters.journal import Accepted, Journal
from webhook_launcher.core.model import Event, Status, Trust
from webhook_launcher.core.retention import Retention

LONG_AFTER = 40 * 86400.0
SHIPPED = Retention()
WINDOW = timedelta(minutes=10)
# A flood that goes on for longer than this knows only the newest ten.
TEN = Retention(deliveries=10, replayable={"ci": WINDOW})


def signed(journal: Journal, delivery: str, seconds: float = 0, source: str = "ci") -> Accepted:
    """A delivery with a signature over its id and its time."""
    event = Event(source, Trust.SIGNED, delivery, secret_id="key")
    return journal.deliveries.accept(event, [], "nothing", later(seconds))


def flood(journal: Journal, count: int = 50, seconds: float = 1) -> list[str]:
    """Deliveries that anybody with a URL can send; their ids."""
    heard = (
        journal.deliveries.accept(
            Event("hub", Trust.TOKEN, f"n{number}"), [], "nothing", later(seconds)
        )
        for number in range(count)
    )
    return [one.id for one in heard]


def kept(journal: Journal, ids: Sequence[str]) -> list[str]:
    """Those of the deliveries that are remembered."""
    return [one for one in ids if journal.deliveries.get(one)]


def ended(journal: Journal, name: str, workload: str, status: Status = Status.ERROR) -> None:
    """An attempt from its beginning to its end."""
    begun = attempt(name, workload=workload)
    journal.deployments.begin(begun)
    journal.deployments.rewrite(replace(begun, status=status))


def test_what_waits_is_kept_with_its_delivery_whatever_its_age(journal: Journal) -> None:
    """A workload may be paused for months; its sender may still ask."""
    waiting, done = accept(journal, "one", look("web")), accept(journal, "two", ignored="nothing")
    journal.prune(later(LONG_AFTER), SHIPPED)
    assert journal.deliveries.get(waiting.id) is not None
    assert journal.deliveries.get(done.id) is None
    assert journal.intents.pending() == 1


def test_the_age_is_the_configured_one(journal: Journal) -> None:
    """Who must forget soon, or wants to look far back, says so."""
    heard = [signed(journal, "old").id, signed(journal, "new", seconds=3 * 86400.0).id]
    journal.prune(later(6 * 86400.0), Retention(age=timedelta(days=7)))
    assert kept(journal, heard) == heard
    journal.prune(later(6 * 86400.0), Retention(age=timedelta(days=5)))
    assert kept(journal, heard) == heard[1:]


class TestAFlood:
    def test_is_bounded_by_number(self, journal: Journal) -> None:
        """Thirty days of it would fill the disk."""
        heard = flood(journal)
        journal.prune(later(2), TEN)
        assert kept(journal, heard) == heard[-10:]

    def test_of_intents_is_bounded_as_well(self, journal: Journal) -> None:
        """Every delivery about a workload leads to one."""
        heard = [accept(journal, f"n{number}", look("web")).intents[0] for number in range(50)]
        journal.prune(later(2), TEN)
        assert [one for one in heard if journal.intents.get(one.id)] == heard[-10:]

    def test_takes_no_signed_id_that_could_come_again(self, journal: Journal) -> None:
        """Whoever knows a token and has captured a deploy event could else make it count twice.

        He would only have to send more than are kept, within `tolerance` of the signed time.
        """
        captured = signed(journal, "captured")
        flood(journal)
        journal.prune(later(WINDOW.total_seconds()), TEN)
        again = signed(journal, "captured", WINDOW.total_seconds())
        assert again.duplicate
        assert again.id == captured.id

    def test_takes_it_once_its_signature_is_too_old(self, journal: Journal) -> None:
        """What authenticates no more cannot come again, and need not be remembered."""
        captured = signed(journal, "captured")
        flood(journal)
        journal.prune(later(WINDOW.total_seconds() + 1), TEN)
        assert kept(journal, [captured.id]) == []

    def test_takes_no_id_of_a_source_that_was_removed_while_any_tolerance_lasts(
        self, journal: Journal
    ) -> None:
        """It may come back with the next reload, with a tolerance that nobody knows now."""
        captured = signed(journal, "captured", source="gone")
        flood(journal)
        journal.prune(later(2 * 86400.0), TEN)
        assert kept(journal, [captured.id]) == [captured.id]
        journal.prune(later(2 * 86400.0 + 1), TEN)
        assert kept(journal, [captured.id]) == []

    def test_that_was_let_in_is_forgotten_in_portions(self, state: Path) -> None:
        """A lower number at a reload must not keep a sender waiting until all of it is gone."""
        made = Journal(state, LANES)
        made.prune(later(2), SHIPPED)
        with made._database.transaction():
            flood(made, 3500)
        portions: list[int] = []
        made._database._connection.set_trace_callback(
            lambda statement: portions.append(1) if statement.startswith("COMMIT") else None
        )
        made.prune(later(2), TEN)
        assert len(portions) >= 4
        assert made.figures.deliveries() == {("hub", "ignored"): 10}
        made.close()

    def test_can_go_on_while_it_is_forgotten(self, state: Path) -> None:
        """Trimming is no reason for a 503."""
        made = Journal(state, LANES)
        with made._database.transaction():
            flood(made, 3000)
        answered: list[Accepted] = []
        first = threading.Event()

        def send() -> None:
            for number in range(30):
                answered.append(accept(made, f"meanwhile{number}", ignored="nothing"))
                first.set()

        sender = threading.Thread(target=send)
        sender.start()
        assert first.wait(30)
        made.prune(later(2), TEN)
        sender.join(30)
        assert len(answered) == 30
        assert not any(one.duplicate for one in answered)
        made.close()


class TestHistory:
    FEW = Retention(deployments=10, per_workload=4)

    def test_of_a_quiet_workload_is_kept_beside_a_busy_one(self, journal: Journal) -> None:
        """Its current release may be a year old."""
        for number in range(60):
            ended(journal, f"d{number}", "web" if number < 5 else "api")
        journal.prune(later(1), replace(SHIPPED, deployments=10))
        assert len(journal.deployments.history("web")) == 5
        assert len(journal.deployments.history("api")) == 20

    def test_is_not_pushed_out_by_failures(self, journal: Journal) -> None:
        """By its releases it is known which images may come back; the others are removed."""
        for number in range(3):
            ended(journal, f"good{number}", "web", Status.SUCCESS)
        for number in range(30):
            ended(journal, f"bad{number}", "web")
        journal.prune(later(1), self.FEW)
        found = [one.status for one in journal.deployments.history("web")]
        assert found == [Status.ERROR] * 10 + [Status.SUCCESS] * 3

    def test_of_what_runs_now_is_kept(self, journal: Journal) -> None:
        """It is finished or undone after a crash."""
        journal.deployments.begin(attempt("open"))
        for number in range(30):
            ended(journal, f"d{number}", "web")
        journal.prune(later(LONG_AFTER), self.FEW)
        assert [one.id for one in journal.deployments.interrupted("web")] == ["open"]


@pytest.mark.parametrize(
    "retention", [SHIPPED, replace(SHIPPED, age=timedelta(days=366), deliveries=1000)]
)
def test_the_room_goes_back_to_the_disk(state: Path, retention: Retention) -> None:
    """A file that only grows fills the disk as well; whether it shrinks by age or by number."""
    made = Journal(state, LANES)
    for number in range(5000):
        made._database.submit(
            partial(accept, made, f"n{number}" + "x" * 500, ignored="nothing"),
            lambda _: None,
        )
    made.prune(NOW, SHIPPED)
    full = (state / "journal.sqlite3").stat().st_size
    made.prune(later(LONG_AFTER), retention)
    assert (state / "journal.sqlite3").stat().st_size < full / 3
    assert (state / "journal.sqlite3-wal").stat().st_size == 0
    with made._database.reading() as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] == 0
    made.close()
