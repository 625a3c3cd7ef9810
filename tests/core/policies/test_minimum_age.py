"""A stolen registry account is found out before its image runs."""

from datetime import timedelta

import pytest

from tests.core.policies.judged import candidate
from tests.fakes import START
from webhook_launcher.core.errors import NotRipeError, PolicyRefusedError
from webhook_launcher.core.evidence import Evidence
from webhook_launcher.core.model import Action, Trust
from webhook_launcher.core.policies import MinimumAge
from webhook_launcher.core.policy import OVERRIDABLE

POLICY = MinimumAge(timedelta(hours=72))


@pytest.mark.parametrize("hours", [0, 1, 71.999])
def test_a_digest_that_was_just_seen_waits_until_it_is_ripe(hours: float) -> None:
    """The moment is told, so that the intent can wait for it and nobody need ask again."""
    with pytest.raises(NotRipeError) as refused:
        POLICY.verify(candidate(now=START + timedelta(hours=hours)))
    assert refused.value.until == START + timedelta(hours=72)
    assert refused.value.code == "too-young"


@pytest.mark.parametrize("hours", [72, 1000])
def test_a_digest_that_is_known_long_enough_is_admitted(hours: float) -> None:
    """From the exact moment on that the refusal had named, or the wait would never end."""
    said = POLICY.verify(candidate(now=START + timedelta(hours=hours)))
    assert said == "first seen 2026-03-01 12:00:00 UTC"


def test_a_digest_that_was_never_seen_is_refused() -> None:
    """A question without an answer is not a yes."""
    with pytest.raises(PolicyRefusedError, match="not known"):
        POLICY.verify(candidate(Evidence()))


def test_a_clock_that_went_back_makes_nothing_ripe() -> None:
    """Seen "in the future" is not seen long ago."""
    with pytest.raises(NotRipeError, match="first seen 0s ago"):
        POLICY.verify(candidate(now=START - timedelta(days=30)))


@pytest.mark.parametrize("action", [Action.ROLLBACK, Action.RESTORE])
def test_what_ran_here_before_comes_back_at_once(action: Action) -> None:
    """Bringing back what was healthy must not wait for three days."""
    assert POLICY.verify(candidate(action=action)) == "it ran here before"


def test_a_key_that_may_overrides_it_and_is_named() -> None:
    """A fix cannot wait; whose word it was stays on record."""
    said = POLICY.verify(candidate(overrides=frozenset({"minimum_age"})))
    assert said == "overridden by ci, key 2026"


@pytest.mark.parametrize("trust", [Trust.TOKEN, Trust.POLL, Trust.OPERATOR])
def test_nobody_else_is_in_a_hurry(trust: Trust) -> None:
    """An operator who must, releases the policy in the configuration."""
    with pytest.raises(NotRipeError):
        POLICY.verify(candidate(trust=trust))


def test_its_name_is_the_one_that_can_be_overridden() -> None:
    """The two are written in two files."""
    assert frozenset({POLICY.name}) == OVERRIDABLE
