"""`require_trust`: only a signed event (or an operator here) may move the workload.

Polls and senders that sign nothing are still heard; what they find is reported and not deployed.
"""

from dataclasses import dataclass

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Question
from webhook_launcher.core.model import Trust
from webhook_launcher.core.policy import Candidate


@dataclass(frozen=True, slots=True)
class RequireTrust:
    """`trust` is what is required; an operator, who holds the admin token, has it always."""

    trust: Trust = Trust.SIGNED
    name = "require_trust"
    needs: frozenset[Question] = frozenset()

    def verify(self, candidate: Candidate) -> str:
        """Look at who asked; what ran here before comes back without being asked for."""
        if candidate.returns:
            return "it ran here before"
        asked = candidate.origin.trust
        if asked not in (self.trust, Trust.OPERATOR):
            raise PolicyRefusedError(
                self.name,
                f"{candidate.image.pinned} is there, but {candidate.origin.source} "
                f"({asked.value}) may only report it",
                advice="Send a signed deploy event, or "
                f"`webhook-launcher deploy {candidate.workload}`.",
            )
        return f"asked for by {candidate.origin.source} ({asked.value})"
