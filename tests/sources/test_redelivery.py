"""The same delivery twice, for every kind and every way it proves itself, on a real journal."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.sources.authentic import CASES, Case
from tests.sources.senders import NOW
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.journal.deliveries import Accepted
from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.model import Event, Origin
from webhook_launcher.core.reference import parse_repository
from webhook_launcher.core.selection import Interest, select
from webhook_launcher.sources import KINDS, receive

KNOWN = [case for case in CASES if case.identity is not None]
RENAMED = [case for case in CASES if case.renamed is not None]
SOON = NOW + timedelta(seconds=7)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty one."""
    opened = Journal(tmp_path, {"web": "web"})
    yield opened
    opened.close()


def interest_in(event: Event) -> Interest:
    """A workload that follows what the delivery is about."""
    reference = event.mentions[0].reference
    if reference is None:
        return Interest("web", (parse_repository("ghcr.io/acme/web"),), "stable")
    return Interest("web", (reference.repository,), reference.tag)


def accepted(journal: Journal, case: Case, now: datetime) -> Accepted:
    """What `web` does with a delivery, without HTTP."""
    event = receive(case.delivery, case.source, now)
    origin = Origin(event.trust, event.source, signed_at=event.signed_at)
    wishes, reason = select(event, [interest_in(event)], origin)
    return journal.deliveries.accept(event, wishes, reason or None, now)


def test_every_kind_is_among_the_cases() -> None:
    """A new kind must say how it proves itself and what tells its deliveries apart."""
    assert {case.kind for case in CASES} == set(KINDS)
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case.name)
def test_a_repeated_delivery_leads_to_one_intent(case: Case, journal: Journal) -> None:
    """Also after the first one was dealt with: else a capture would be good for ever."""
    first = accepted(journal, case, NOW)
    assert (len(first.intents), first.duplicate) == (1, False)
    again = accepted(journal, case, SOON)
    assert (again.id, again.duplicate) == (first.id, True)
    claimed = journal.intents.claim(SOON)
    assert claimed is not None
    assert journal.intents.claim(SOON) is None
    assert accepted(journal, case, SOON).duplicate
    assert journal.intents.pending() == 0


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.identity is None], ids=lambda case: case.name
)
def test_what_cannot_be_told_apart_is_one_look_while_it_waits(case: Case, journal: Journal) -> None:
    """Nothing says whether it is a repetition or a new push; a look more is the lesser evil."""
    for now in (NOW, SOON):
        assert not accepted(journal, case, now).duplicate
    assert journal.intents.pending() == 1


@pytest.mark.parametrize(
    "case", [case for case in RENAMED if not case.id_is_signed], ids=lambda case: case.name
)
def test_another_id_is_another_delivery(case: Case) -> None:
    """Or the second of two pushes would be taken for the first."""
    first, second = (receive(sent, case.source, NOW) for sent in (case.delivery, case.other()))
    assert first.delivery_id != second.delivery_id
    assert first.mentions == second.mentions


@pytest.mark.parametrize(
    "case", [case for case in RENAMED if case.id_is_signed], ids=lambda case: case.name
)
def test_an_id_that_is_signed_cannot_be_changed(case: Case) -> None:
    """Whoever captured such a delivery can send it once at most, under its own id."""
    with pytest.raises(AuthenticationError):
        receive(case.other(), case.source, NOW)
