"""The authentication table of `docs/senders.md`, cell by cell, against what kinds really do.

Each cell is held against experiments with deliveries that are let in (`tests.sources.authentic`):
change the body, the id, the clock, and see what is still accepted. The last test puts wrong cells
in, to see that they are found.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.docs.test_documentation import sender_rows, words_in_code
from tests.sources.authentic import CASES, KEYS, Case
from tests.sources.senders import NOW
from webhook_launcher.core.errors import AuthenticationError, EventError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import KINDS, receive

ROWS = sender_rows()
CREDENTIALS, VERIFIED, UNVERIFIED, TRUST, REPLAY = 1, 2, 3, 4, 5
PROOFS = frozenset(case.proof for case in CASES)
IDENTITIES = frozenset(case.identity for case in CASES if case.identity)
# Longer than any tolerance, lifetime or age that a kind has by default.
LATER = timedelta(hours=2)


@dataclass(frozen=True)
class Found:
    """What experiments say of one kind, over all the ways in which it proves itself."""

    credentials: frozenset[str]
    proofs: frozenset[str]
    trusts: frozenset[str]
    identities: frozenset[str | None]
    body_may_change: bool  # in some way
    body_is_covered: bool  # in some way
    id_may_change: bool  # in some way
    always_timed: bool
    sometimes_timed: bool


def lets_in(case: Case, delivery: Delivery, age: timedelta = timedelta(0)) -> bool:
    """Whether it is authentic, whatever is made of it then."""
    try:
        receive(delivery, case.source, NOW + age)
    except AuthenticationError:
        return False
    except EventError:
        return True
    return True


def found(kind: str) -> Found:
    """Experiments with every case of a kind."""
    cases = [case for case in CASES if case.kind == kind]
    free = [lets_in(c, replace(c.delivery, body=forged(c.delivery.body))) for c in cases]
    timed = [not lets_in(case, case.delivery, LATER) for case in cases]
    own = KINDS[kind]
    return Found(
        credentials=own.credentials or own.required_options - {"fields"},
        proofs=frozenset(case.proof for case in cases),
        trusts=frozenset(receive(c.delivery, c.source, NOW).trust.value for c in cases),
        identities=frozenset(case.identity for case in cases),
        body_may_change=any(free),
        body_is_covered=not all(free),
        id_may_change=any(c.renamed and lets_in(c, c.other()) for c in cases),
        always_timed=all(timed),
        sometimes_timed=any(timed),
    )


def forged(body: bytes) -> bytes:
    """Another owner in the body; every recording has this one."""
    other, count = re.subn(rb"(?i)acme", b"evil", body)
    assert count
    return other


FOUND: Mapping[str, Found] = {kind: found(kind) for kind in KINDS}


def truths(kind: str) -> Mapping[int, Mapping[str, object]]:
    """What each column has to say of a kind."""
    known = FOUND[kind]
    return {
        CREDENTIALS: {"words": known.credentials},
        VERIFIED: {"phrases": known.proofs},
        UNVERIFIED: {
            "everything in the body": known.body_may_change,
            "headers": _only_headers_may_change(known),
            "the time": _no_time(known),
            "message attributes": kind == "sns",
            "nothing": _all_is_covered(kind, known),
        },
        TRUST: {"trusts": known.trusts},
        REPLAY: {
            "phrases": frozenset(filter(None, known.identities)),
            "none: no id": None in known.identities,
            "time at most|signed time|expires|with the time": known.sometimes_timed,
            "not signed": _renamable(known),
        },
    }


def faults(kind: str, cells: list[str]) -> list[str]:
    """What a row says that is not so, or does not say that is."""
    found = []
    for column, facts in truths(kind).items():
        for what, known in facts.items():
            said = _said(what, cells[column], PROOFS if column == VERIFIED else IDENTITIES)
            if said != known:
                found.append(f"column {column}, {what}: says {said!r}, is {known!r}")
    return found


def _said(what: str, text: str, phrases: frozenset[str]) -> object:
    """What a cell says about a fact: its words, which of the phrases, or whether it is there."""
    if what == "words":
        return frozenset(words_in_code(text))
    if what == "trusts":
        return frozenset(words_in_code(text)) & {trust.value for trust in Trust}
    if what == "phrases":
        said = {phrase for phrase in phrases if phrase.lower() in text.lower()}
        return frozenset(said - {a for a in said for b in said if a != b and a in b})
    return bool(re.search(what, text))


def _only_headers_may_change(known: Found) -> bool:
    """The body is covered and the id is not: then the id is a header."""
    return known.id_may_change and not known.body_may_change


def _no_time(known: Found) -> bool:
    """A signature that covers the body for ever."""
    return (
        known.body_is_covered
        and not known.always_timed
        and "signed" in known.trusts
        and (KEYS not in known.proofs)
    )


def _all_is_covered(kind: str, known: Found) -> bool:
    return known.always_timed and not known.body_may_change and kind != "sns"


def _renamable(known: Found) -> bool:
    """A remembered id that whoever repeats the delivery may change, and that is no hash."""
    return known.id_may_change and bool(known.identities - {None, "equal bodies"})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_cell_says_what_the_code_does(kind: str) -> None:
    """Somebody decides by this table whom to let into his machine."""
    assert faults(kind, ROWS[kind]) == []
    assert all(ROWS[kind])


@pytest.mark.parametrize("column", [CREDENTIALS, VERIFIED, UNVERIFIED, TRUST, REPLAY])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_wrong_cell_would_be_found(kind: str, column: int) -> None:
    """A check that passes whatever stands there is worth nothing: each other kind's cell is tried.

    Only one of a kind of which the column has the same to say may pass.
    """
    for other in sorted(KINDS):
        swapped = [*ROWS[kind]]
        swapped[column] = ROWS[other][column]
        if truths(kind)[column] != truths(other)[column]:
            assert faults(kind, swapped), f"{other}'s cell {swapped[column]!r}"


def test_a_row_that_says_nothing_would_be_found() -> None:
    """An emptied cell is the likeliest mistake of all."""
    for kind, cells in ROWS.items():
        for column, facts in truths(kind).items():
            emptied = [*cells]
            emptied[column] = ""
            assert faults(kind, emptied) or not any(facts.values())
