"""`platform`: the image says of itself that it is for this operating system and architecture.

An engine with emulation runs a foreign image without a word, slowly; and the entry of an index is
the publisher's claim, so the image's own configuration is what is asked.
"""

from dataclasses import dataclass

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.model import Platform
from webhook_launcher.core.policies.facts import facts_of
from webhook_launcher.core.policy import Candidate


@dataclass(frozen=True, slots=True)
class OfPlatform:
    """The wanted platform; without a variant, any variant is right."""

    platform: Platform
    name = "platform"
    needs: frozenset[Question] = frozenset({Need.FACTS})

    def verify(self, candidate: Candidate) -> str:
        """Compare operating system, architecture and (if wanted) variant."""
        found, wanted = facts_of(candidate, self.name).platform, self.platform
        same = (found.os, found.architecture) == (wanted.os, wanted.architecture)
        if not same or wanted.variant not in (None, found.variant):
            raise PolicyRefusedError(
                self.name,
                f"{candidate.image.digest} is for {found}, not for {wanted}",
                advice=f"Build the image for {wanted}, or correct `platform` in the policy.",
            )
        return f"it is for {found}"
