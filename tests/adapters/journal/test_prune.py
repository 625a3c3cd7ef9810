"""What the journal forgets, and what it never does."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import accept, attempt, later, look
from webhook_launcher.adapters import journal as package
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.model import Status

LONG_AFTER = 40 * 86400.0


def test_what_waits_is_kept_with_its_delivery_whatever_its_age(journal: Journal) -> None:
    """A workload may be paused for months; its sender may still ask."""
    waiting, done = accept(journal, "one", look("web")), accept(journal, "two", ignored="nothing")
    journal.prune(later(LONG_AFTER))
    assert journal.deliveries.get(waiting.id) is not None
    assert journal.deliveries.get(done.id) is None
    assert journal.intents.pending() == 1


def test_a_flood_is_bounded_by_number(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty days of a flood would fill the disk."""
    monkeypatch.setattr(package, "_MOST_DELIVERIES", 10)
    heard = [accept(journal, f"n{number}", ignored="nothing").id for number in range(50)]
    journal.prune(later(1))
    kept = [one for one in heard if journal.deliveries.get(one)]
    assert kept == heard[-10:]


def test_a_quiet_workload_keeps_its_history_beside_a_busy_one(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its current release may be a year old."""
    monkeypatch.setattr(package, "_MOST_DEPLOYMENTS", 10)
    for number in range(60):
        begun = attempt(f"d{number}", workload="web" if number < 5 else "api")
        journal.deployments.begin(begun)
        journal.deployments.rewrite(replace(begun, status=Status.ERROR))
    journal.prune(later(1))
    assert len(journal.deployments.history("web")) == 5
    assert len(journal.deployments.history("api")) == 20


def test_the_room_goes_back_to_the_disk(state: Path) -> None:
    """A file that only grows fills the disk as well."""
    made = Journal(state, LANES)
    for number in range(2000):
        accept(made, f"n{number}" + "x" * 500, ignored="nothing")
    made.prune(later(1))
    full = (state / "journal.sqlite3").stat().st_size
    made.prune(later(LONG_AFTER))
    assert (state / "journal.sqlite3").stat().st_size < full / 4
    assert (state / "journal.sqlite3-wal").stat().st_size == 0
    made.close()
