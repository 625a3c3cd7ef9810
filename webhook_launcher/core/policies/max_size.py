"""`max_size`: the image is not larger than this, as the registry sends it.

Known before anything is pulled: a disk that is full takes the whole host with it.
"""

from dataclasses import dataclass

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.policies.facts import facts_of
from webhook_launcher.core.policy import Candidate

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MaxSize:
    """`most` bytes of config and layers together, compressed as they are."""

    most: int
    name = "max_size"
    needs: frozenset[Question] = frozenset({Need.FACTS})

    def verify(self, candidate: Candidate) -> str:
        """Compare the sum of the sizes in the verified manifest."""
        size = facts_of(candidate, self.name).size
        if size > self.most:
            raise PolicyRefusedError(
                self.name,
                f"{candidate.image.digest} has {size / _MIB:.1f} MiB, "
                f"more than the {self.most / _MIB:.1f} MiB that are allowed",
                advice="Make the image smaller, or allow more with `max_size` in the policy.",
            )
        return f"{size / _MIB:.1f} MiB"
