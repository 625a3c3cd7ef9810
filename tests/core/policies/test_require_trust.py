"""Whoever can only read the URL, or move a tag, does not move this workload."""

import pytest

from tests.core.policies.judged import candidate
from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.model import Action, Trust
from webhook_launcher.core.policies import RequireTrust

POLICY = RequireTrust()


@pytest.mark.parametrize("trust", [Trust.TOKEN, Trust.POLL])
@pytest.mark.parametrize("action", [Action.CHECK, Action.DEPLOY])
def test_what_is_not_signed_only_reports(trust: Trust, action: Action) -> None:
    """A URL is seen by every proxy, and the poll believes whoever moved the tag."""
    with pytest.raises(PolicyRefusedError, match="may only report it") as refused:
        POLICY.verify(candidate(trust=trust, action=action))
    assert "webhook-launcher deploy web" in refused.value.advice()


@pytest.mark.parametrize("trust", [Trust.SIGNED, Trust.OPERATOR])
def test_a_signature_or_an_operator_moves_it(trust: Trust) -> None:
    """The one is what is asked for, the other holds the host."""
    assert POLICY.verify(candidate(trust=trust)) == f"asked for by ci ({trust.value})"


@pytest.mark.parametrize("action", [Action.ROLLBACK, Action.RESTORE])
def test_the_poll_may_restore_what_runs(action: Action) -> None:
    """A container that was removed comes back, whoever noticed."""
    assert POLICY.verify(candidate(action=action, trust=Trust.POLL)) == "it ran here before"
