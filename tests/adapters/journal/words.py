"""What the tests of the journal say to it."""

from datetime import datetime, timedelta

from tests.fakes import START, digest, image_of
from webhook_launcher.adapters.journal import Accepted, Journal
from webhook_launcher.core.model import (
    Action,
    Deployment,
    Event,
    Intent,
    Origin,
    Status,
    Trust,
    Wish,
)
from webhook_launcher.core.reference import Digest, Reference, parse_reference

NOW = START
A, B = digest("A"), digest("B")
STABLE = parse_reference("ghcr.io/acme/web:stable")
SIGNED = Origin(Trust.SIGNED, "ci", secret_id="key", actor="octocat", signed_at=NOW)
TOKEN = Origin(Trust.TOKEN, "hub")
OPERATOR = Origin(Trust.OPERATOR, "operator", reason="I say so")
POLL = Origin(Trust.POLL, "poll")


def later(seconds: float) -> datetime:
    """A moment after NOW."""
    return NOW + timedelta(seconds=seconds)


def look(workload: str = "web", origin: Origin = TOKEN) -> Wish:
    """What a push leads to."""
    return Wish(workload, Action.CHECK, origin, STABLE, hint=True)


def deploy(workload: str = "web", origin: Origin = SIGNED, named: Digest = A) -> Wish:
    """What a signed deploy event leads to."""
    return Wish(workload, Action.DEPLOY, origin, STABLE.at(named))


def check(workload: str = "web", origin: Origin = OPERATOR) -> Wish:
    """An operator asks for what is tracked."""
    return Wish(workload, Action.CHECK, origin)


def restore(workload: str = "web") -> Wish:
    """What drift leads to."""
    return Wish(workload, Action.RESTORE, POLL)


def event(delivery: str, source: str = "hub") -> Event:
    """An authentic event."""
    return Event(source, Trust.TOKEN, delivery, secret_id="key")


def accept(journal: Journal, delivery: str, *wishes: Wish, ignored: str | None = None) -> Accepted:
    """Hear an event with these wishes."""
    return journal.deliveries.accept(event(delivery), wishes, ignored, NOW)


def ask(journal: Journal, wish: Wish) -> Intent:
    """Enqueue one wish."""
    [intent] = journal.intents.enqueue([wish], NOW)
    return intent


def now_is(journal: Journal, intent: Intent) -> Intent:
    """The intent as the journal has it."""
    found = journal.intents.get(intent.id)
    assert found is not None
    return found


def attempt(
    deployment: str = "d1",
    named: Digest = A,
    intent: str = "i1",
    workload: str = "web",
    reference: Reference = STABLE,
) -> Deployment:
    """An attempt that has just begun."""
    image = image_of(reference, named)
    return Deployment(deployment, workload, intent, image, SIGNED, Status.IN_PROGRESS, NOW)
