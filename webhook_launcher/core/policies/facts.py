"""What several policies need first: the verified bytes' own words, or a refusal."""

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Facts
from webhook_launcher.core.policy import Candidate


def facts_of(candidate: Candidate, policy: str) -> Facts:
    """The candidate's facts. Raises PolicyRefusedError, in the policy's name, without them."""
    facts = candidate.evidence.facts
    if facts is None:
        raise PolicyRefusedError(
            policy, f"what {candidate.image.pinned} is made of was not looked at"
        )
    return facts
