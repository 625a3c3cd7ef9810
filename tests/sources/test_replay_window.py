"""For how long a captured delivery is good: so long its id must be remembered."""

from datetime import datetime, timedelta

import pytest

from tests.sources.authentic import CASES, Case
from tests.sources.senders import NOW
from webhook_launcher.core.errors import AuthenticationError
from webhook_launcher.core.model import Trust
from webhook_launcher.core.retention import LONGEST_REPLAY
from webhook_launcher.sources import KINDS

SECOND = timedelta(seconds=1)


def good(case: Case, now: datetime) -> bool:
    """True when it is let in at that moment."""
    try:
        KINDS[case.kind].authenticate(case.delivery, case.source, now)
    except AuthenticationError:
        return False
    return True


def timed(case: Case) -> bool:
    """True when its proof signs the delivery, and a time.

    A token that is not of the body (Google's) is as good for any other delivery.
    """
    proof = KINDS[case.kind].authenticate(case.delivery, case.source, NOW)
    return proof.signed_at is not None and proof.trust is Trust.SIGNED


def first_good(case: Case) -> datetime:
    """The first second at which it is let in, which by a fast clock is before it was signed."""
    early, late = int(-LONGEST_REPLAY.total_seconds()), 0
    assert not good(case, NOW + early * SECOND)
    while late - early > 1:
        middle = (early + late) // 2
        if good(case, NOW + middle * SECOND):
            late = middle
        else:
            early = middle
    return NOW + late * SECOND


TIMED = [case for case in CASES if timed(case)]


def test_some_sign_a_time() -> None:
    """Or the next test would hold of nothing."""
    assert {case.kind for case in TIMED} >= {"deploy", "sns", "github-oidc", "generic"}


@pytest.mark.parametrize("case", TIMED, ids=lambda case: case.name)
def test_a_capture_is_refused_once_its_id_may_be_forgotten(case: Case) -> None:
    """However early it was accepted first: a clock that is fast makes the window twice as long."""
    window = KINDS[case.kind].replayable(case.source)
    assert window <= LONGEST_REPLAY
    assert not good(case, first_good(case) + window + SECOND)
