from datetime import timedelta
from pathlib import Path

import pytest

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import NOW, accept, attempt, deploy, event, later, look, now_is
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.errors import QueueFullError
from webhook_launcher.core.model import Status
from webhook_launcher.core.retention import Retention


def test_an_accepted_delivery_is_there_after_a_restart(state: Path, journal: Journal) -> None:
    """Nothing acknowledged is lost: accepted means committed."""
    accepted = accept(journal, "one", look(), deploy("api"))
    assert [intent.status for intent in accepted.intents] == [Status.QUEUED] * 2
    journal.close()
    again = Journal(state, LANES)
    assert again.deliveries.get(accepted.id) == accepted
    assert again.intents.waiting("web") == [accepted.intents[0]]
    assert again.intents.waiting("api") == [accepted.intents[1]]
    again.close()


def test_a_redelivery_gets_the_first_answer_and_no_new_intent(journal: Journal) -> None:
    """Senders repeat what they heard no answer to, for days; a replay is the same."""
    first = accept(journal, "one", look())
    again = accept(journal, "one", look(), deploy("api"))
    assert again.duplicate
    assert (again.id, again.intents) == (first.id, first.intents)
    assert journal.intents.pending() == 1


def test_a_redelivery_is_recognised_after_its_intent_ended(state: Path, journal: Journal) -> None:
    """And after a restart: a replayed rollback of the tag must do nothing."""
    first = accept(journal, "one", look())
    claimed = journal.intents.claim(NOW)
    assert claimed is not None
    journal.intents.settle(claimed, Status.SUCCESS)
    journal.close()
    reopened = Journal(state, LANES)
    again = accept(reopened, "one", look())
    assert again.duplicate
    assert [intent.status for intent in again.intents] == [Status.SUCCESS]
    assert again.id == first.id
    assert reopened.intents.claim(NOW) is None
    reopened.close()


def test_the_same_id_of_another_source_is_another_delivery(journal: Journal) -> None:
    """One sender must not be able to make another's deliveries look like repetitions."""
    accept(journal, "one", look())
    other = journal.deliveries.accept(event("one", "github"), [look("api")], None, NOW)
    assert not other.duplicate


def test_every_intent_knows_its_delivery(journal: Journal) -> None:
    """The sender asks by our id what became of what it sent."""
    accepted = accept(journal, "one", look())
    [intent] = accepted.intents
    assert intent.wish.origin.delivery == accepted.id
    assert now_is(journal, intent).wish == intent.wish


def test_our_ids_cannot_be_guessed(journal: Journal) -> None:
    """Whoever knows one may read what became of the delivery, without a token."""
    ids = {accept(journal, f"n{number}").id for number in range(50)}
    assert len(ids) == 50
    assert all(len(one) >= 22 for one in ids)


def test_an_ignored_delivery_is_remembered_with_its_reason(journal: Journal) -> None:
    """It is answered 2xx too, and people ask why nothing happened."""
    accepted = accept(journal, "one", ignored="a ping")
    assert journal.deliveries.get(accepted.id) == accepted
    assert accepted.ignored == "a ping"


def test_an_unknown_delivery_is_none(journal: Journal) -> None:
    """A guess must not tell anything."""
    assert journal.deliveries.get("nonsense") is None


def test_a_full_queue_writes_nothing(state: Path) -> None:
    """The sender hears 503 and sends again; then it must not be taken for a duplicate."""
    journal = Journal(state, {f"w{n}": f"w{n}" for n in range(5)}, limit=2)
    accept(journal, "one", look("w0"), look("w1"))
    with pytest.raises(QueueFullError):
        accept(journal, "two", look("w2"))
    assert journal.intents.pending() == 2
    claimed = journal.intents.claim(NOW)
    assert claimed is not None
    assert not accept(journal, "two", look("w2")).duplicate
    journal.close()


class TestPruning:
    def test_is_by_age(self, journal: Journal) -> None:
        """A replay must be recognised for longer than any sender redelivers."""
        old = accept(journal, "old", look())
        claimed = journal.intents.claim(NOW)
        assert claimed is not None
        journal.intents.settle(claimed, Status.SUCCESS)
        recent = journal.deliveries.accept(
            event("recent"), [look("api")], None, later(timedelta(days=20).total_seconds())
        )
        journal.prune(NOW + timedelta(days=29), Retention())
        assert journal.deliveries.get(old.id) is not None
        journal.prune(NOW + timedelta(days=31), Retention())
        assert journal.deliveries.get(old.id) is None
        assert journal.intents.get(claimed.id) is None
        assert journal.deliveries.get(recent.id) == recent

    def test_never_takes_what_is_open(self, journal: Journal) -> None:
        """An engine that was away for a month must not lose what waits for it."""
        accepted = accept(journal, "old", look(), look("api"))
        journal.intents.claim(NOW)
        journal.deployments.begin(attempt())
        journal.prune(NOW + timedelta(days=400), Retention())
        assert all(now_is(journal, intent).id for intent in accepted.intents)
        assert journal.deployments.get("d1") is not None
