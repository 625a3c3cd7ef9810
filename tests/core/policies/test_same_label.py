"""Mix-and-match: parts that were never released together do not run together."""

from dataclasses import replace

import pytest

from tests.core.policies.judged import FACTS, candidate, without_facts
from webhook_launcher.core.errors import NotTogetherYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Evidence
from webhook_launcher.core.model import Action
from webhook_launcher.core.policies import SameLabel
from webhook_launcher.core.policy import Candidate

POLICY = SameLabel("revision")


def built(revision: str | None) -> Evidence:
    """An image of this commit."""
    labels = {} if revision is None else {"revision": revision}
    return Evidence(replace(FACTS, labels=labels))


def beside(own: str | None, *others: str | None, action: Action = Action.CHECK) -> Candidate:
    """An image of a release, among the others."""
    parts = tuple(map(built, (own, *others)))
    return replace(candidate(parts[0], action=action), beside=parts)


def test_images_of_one_build_are_admitted() -> None:
    """Whatever is compared with whatever."""
    assert POLICY.verify(beside("abc", "abc", "abc")) == "revision is 'abc'"
    assert POLICY.verify(beside("abc")) == "revision is 'abc'"


@pytest.mark.parametrize("other", ["abd", "", None, "ABC"])
@pytest.mark.parametrize("action", list(Action))
def test_a_mixture_is_not_admitted(other: str | None, action: Action) -> None:
    """It is tried again: an honest push of two images is a mixture in its middle."""
    with pytest.raises(NotTogetherYetError, match="in another image of the release") as refused:
        POLICY.verify(beside("abc", "abc", other, action=action))
    assert refused.value.retryable


@pytest.mark.parametrize("own", [None, ""])
def test_an_image_that_does_not_say_is_refused(own: str | None) -> None:
    """All without a label are not all alike."""
    with pytest.raises(PolicyRefusedError, match="has no label revision"):
        POLICY.verify(beside(own, own))


def test_what_was_not_looked_at_is_refused() -> None:
    """A question without an answer is not a yes."""
    with pytest.raises(PolicyRefusedError, match="was not looked at"):
        POLICY.verify(without_facts())
    with pytest.raises(NotTogetherYetError):
        POLICY.verify(replace(candidate(built("abc")), beside=(built("abc"), Evidence())))
