"""Deliveries accepted together: one commit, and to each the answer that it would get alone."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import count, pairwise
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.journal.conftest import LANES
from tests.adapters.journal.words import (
    NOW,
    SIGNED,
    A,
    B,
    check,
    deploy,
    event,
    later,
    look,
    restore,
)
from webhook_launcher.adapters.journal import Accepted, Journal
from webhook_launcher.core.errors import JournalError, QueueFullError
from webhook_launcher.core.model import Heard, Origin, Status, Wish

_WORKLOADS = st.sampled_from(["web", "api", "blog"])
_WISHES = st.one_of(
    _WORKLOADS.map(look),
    _WORKLOADS.map(check),
    _WORKLOADS.map(restore),
    st.builds(
        lambda workload, named, seconds: deploy(workload, signed(seconds), named),
        _WORKLOADS,
        st.sampled_from([A, B]),
        st.integers(0, 3),
    ),
)
_HEARD = st.builds(
    lambda sender, wishes: Heard(event(sender), wishes, None if wishes else "a ping", NOW),
    st.sampled_from(["one", "two", "three", "four", "five", "six"]),
    st.lists(_WISHES, max_size=2),
)


def signed(seconds: float) -> Origin:
    """A deploy event signed that much later."""
    return Origin(SIGNED.trust, SIGNED.source, SIGNED.secret_id, signed_at=later(seconds))


def heard(sender: str, *wishes: Wish, ignored: str | None = None) -> Heard:
    """A delivery with this id of its sender."""
    return Heard(event(sender), wishes, ignored, NOW)


def together(journal: Journal, given: Sequence[Heard]) -> list[Accepted | Exception]:
    """Their outcomes, in order, when they are accepted as one batch."""
    parts: SimpleQueue[Mapping[Heard, Accepted | Exception]] = SimpleQueue()
    journal.deliveries.accept_all(given, parts.put)
    found: dict[Heard, Accepted | Exception] = {}
    while len(found) < len(given):
        found |= parts.get(timeout=30)
    return [found[one] for one in given]


def one_by_one(journal: Journal, given: Sequence[Heard]) -> list[Accepted | Exception]:
    """Their outcomes when each has a transaction of its own."""
    found: list[Accepted | Exception] = []
    for one in given:
        try:
            taken = journal.deliveries.accept(one.event, one.wishes, one.ignored, one.at)
        except QueueFullError as error:
            found.append(error)
        else:
            found.append(taken)
    return found


def told(outcomes: Sequence[Accepted | Exception]) -> list[object]:
    """What the senders are told, errors by their text."""
    return [
        (one.id, one.duplicate, one.ignored, [(i.workload, i.wish.reference) for i in one.intents])
        if isinstance(one, Accepted)
        else str(one)
        for one in outcomes
    ]


def numbered() -> Any:
    """Ids that two journals give alike."""
    numbers = count()
    return lambda: f"id-{next(numbers)}"


@contextmanager
def a_journal(limit: int = 8, before: Sequence[Heard] = ()) -> Iterator[tuple[Journal, Path]]:
    """Fresh, with predictable ids, and something in it."""
    with TemporaryDirectory() as directory:
        journal = Journal(Path(directory), LANES, limit=limit, new_id=numbered())
        one_by_one(journal, before)
        yield journal, Path(directory)
        journal.close()


def rows(state: Path) -> list[list[tuple[object, ...]]]:
    """Everything that the journal holds about deliveries, intents and the order of events."""
    with closing(sqlite3.connect(state / "journal.sqlite3")) as connection:
        return [
            connection.execute(query).fetchall()
            for query in (
                "SELECT * FROM deliveries ORDER BY id",
                "SELECT id, workload, action, reference, hint, origin, delivery, created_at, "
                "status, not_before, code, detail FROM intents ORDER BY seq",
                "SELECT name, signed_at FROM workloads ORDER BY name",
            )
        ]


def ids_apart(value: object) -> str:
    """With ids replaced by the order in which they come: refused deliveries use some up."""
    seen: dict[str, str] = {}
    return re.sub(r"id-\d+", lambda m: seen.setdefault(m[0], f"#{len(seen)}"), repr(value))


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(_HEARD, max_size=4),
    batch=st.lists(_HEARD, min_size=1, max_size=8),
    limit=st.integers(1, 4),
)
def test_a_batch_leaves_what_one_by_one_would_leave(
    before: list[Heard], batch: list[Heard], limit: int
) -> None:
    """Which deliveries share a commit is chance: nothing but the speed may depend on it."""
    with a_journal(limit, before) as (first, here), a_journal(limit, before) as (second, there):
        answers = told(together(first, batch)), told(one_by_one(second, batch))
        assert ids_apart((answers[0], rows(here))) == ids_apart((answers[1], rows(there)))


def test_a_batch_for_one_workload_leaves_one_waiting_intent(journal: Journal) -> None:
    """A thousand pushes are one look; each of their senders can still ask what became of his."""
    outcomes = together(journal, [heard(f"n{number}", look()) for number in range(50)])
    accepted = [one for one in outcomes if isinstance(one, Accepted)]
    assert len(accepted) == 50
    [waiting] = journal.intents.waiting("web")
    assert waiting.id == accepted[-1].intents[0].id
    for older, newer in pairwise(accepted):
        found = journal.deliveries.get(older.id)
        assert found is not None
        [intent] = found.intents
        assert (intent.status, intent.code) == (Status.INACTIVE, "superseded")
        assert intent.detail == f"superseded by {newer.intents[0].id}"


def test_outcomes_come_after_the_commit(state: Path, journal: Journal) -> None:
    """A sender that is answered may rely on it: another connection sees the row by then."""
    seen: SimpleQueue[bool] = SimpleQueue()

    def look_there(outcomes: Mapping[Heard, Accepted | Exception]) -> None:
        with closing(sqlite3.connect(state / "journal.sqlite3")) as connection:
            there = {row[0] for row in connection.execute("SELECT id FROM deliveries")}
        seen.put({one.id for one in outcomes.values() if isinstance(one, Accepted)} <= there)

    journal.deliveries.accept_all([heard("one", look()), heard("two", look("api"))], look_there)
    assert seen.get(timeout=30)


def test_what_spoils_a_batch_fails_alone(journal: Journal) -> None:
    """The others had nothing to do with it, and their senders are not to send again."""
    with journal._database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    small, large, other = together(
        journal,
        [heard("small", ignored="x"), heard("large", ignored="x" * 100_000), heard("other")],
    )
    assert isinstance(large, JournalError)
    assert isinstance(small, Accepted)
    assert isinstance(other, Accepted)


def test_after_the_close_each_is_refused(state: Path) -> None:
    """A stop must not leave anybody waiting for an answer."""
    journal = Journal(state, LANES)
    journal.close()
    outcomes = together(journal, [heard("one"), heard("two")])
    assert all(isinstance(one, JournalError) for one in outcomes)


def test_text_of_any_script_is_kept_as_it_was(journal: Journal) -> None:
    """Rows travel as JSON; nothing of a sender's text may be lost or changed on the way."""
    strange = "näh \u2028 \U0001f680 \"'\\ \t \u007f %s $[0]"
    [accepted] = together(journal, [heard("one", ignored=strange)])
    assert isinstance(accepted, Accepted)
    found = journal.deliveries.get(accepted.id)
    assert found is not None
    assert found.ignored == strange


@pytest.mark.parametrize("number", [1, 300])
def test_batches_of_every_size_are_taken(journal: Journal, number: int) -> None:
    """The size is whatever came while the one before was written."""
    outcomes = together(journal, [heard(f"n{n}", look("api")) for n in range(number)])
    assert [isinstance(one, Accepted) for one in outcomes] == [True] * number
    assert journal.intents.pending() == 1
