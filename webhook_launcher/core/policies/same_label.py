"""`same_label`: the images that move together are of one build, as a label of each says.

Mix-and-match, in TUF's words: parts that were never released together. Several images are several
pushes, so an honest release is a mixture too for a moment; it is waited for.
"""

from dataclasses import dataclass

from webhook_launcher.core.errors import NotTogetherYetError, PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.policies.facts import facts_of
from webhook_launcher.core.policy import Candidate

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class SameLabel:
    """`label` has the same value, and one, in every image of the release."""

    label: str
    name = "same_label"
    needs: frozenset[Question] = frozenset({Need.FACTS})

    def verify(self, candidate: Candidate) -> str:
        """Compare it with that of every other image. Raises NotTogetherYetError."""
        own = facts_of(candidate, self.name).labels.get(self.label)
        if not own:
            raise PolicyRefusedError(
                self.name, f"{candidate.image.digest} has no label {self.label}"
            )
        for other in candidate.beside:
            value = other.facts.labels.get(self.label) if other.facts else None
            if value != own:
                raise NotTogetherYetError(
                    self.name,
                    f"the label {self.label} is {own[:_SHOWN]!a} in "
                    f"{candidate.image.reference.repository}, "
                    f"and {(value or '')[:_SHOWN]!a} in another image of the release",
                )
        return f"{self.label} is {own[:_SHOWN]!a}"
