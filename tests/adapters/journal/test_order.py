"""Deploy events count in the order of their signed times, whatever order they arrive in."""

from dataclasses import replace

from tests.adapters.journal.words import NOW, SIGNED, A, B, deploy, event, later
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.core.model import Status


def test_a_deploy_event_signed_before_the_newest_accepted_one_changes_nothing(
    journal: Journal,
) -> None:
    """A late or captured event must not take a workload back to an older digest."""
    newer = replace(SIGNED, signed_at=later(60))
    first = journal.deliveries.accept(event("new", "ci"), [deploy(origin=newer)], None, NOW)
    late = journal.deliveries.accept(event("old", "ci"), [deploy(named=B)], None, NOW)
    assert late.intents == ()
    assert late.ignored == "a deploy event with a later signed time was accepted before"
    (waiting,) = journal.intents.waiting("web")
    assert waiting.id == first.intents[0].id
    assert waiting.status is Status.QUEUED


def test_events_of_one_second_and_of_other_workloads_are_all_accepted(journal: Journal) -> None:
    """Signed times have whole seconds, so equal ones say nothing of the order."""
    journal.deliveries.accept(event("1", "ci"), [deploy(named=A)], None, NOW)
    same = journal.deliveries.accept(event("2", "ci"), [deploy(named=B)], None, NOW)
    assert len(same.intents) == 1
    before = replace(SIGNED, signed_at=later(-60))
    other = journal.deliveries.accept(event("3", "ci"), [deploy("api", before)], None, NOW)
    assert len(other.intents) == 1


def test_a_late_event_stays_known_so_that_its_repetition_gets_the_same_answer(
    journal: Journal,
) -> None:
    """Whoever repeats a delivery must not get another answer by it."""
    newer = replace(SIGNED, signed_at=later(60))
    journal.deliveries.accept(event("new", "ci"), [deploy(origin=newer)], None, NOW)
    late = journal.deliveries.accept(event("old", "ci"), [deploy(named=B)], None, NOW)
    again = journal.deliveries.accept(event("old", "ci"), [deploy(named=B)], None, NOW)
    assert again.duplicate
    assert (again.id, again.ignored) == (late.id, late.ignored)
