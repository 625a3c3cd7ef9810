"""`labels`: the image has these labels with these values.

Labels are in the verified bytes, so nobody but the publisher can have written them; whoever may
push may write any. They tell builds apart, such as a release from a test, and prove no origin.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Need, Question
from webhook_launcher.core.policies.facts import facts_of
from webhook_launcher.core.policy import Candidate

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Labels:
    """The wanted labels; every one must be there, with exactly this value."""

    wanted: Mapping[str, str]
    name = "labels"
    needs: frozenset[Question] = frozenset({Need.FACTS})

    def verify(self, candidate: Candidate) -> str:
        """Compare them, in the order of the configuration."""
        found = facts_of(candidate, self.name).labels
        for label, value in self.wanted.items():
            if label not in found:
                raise PolicyRefusedError(
                    self.name, f"{candidate.image.digest} has no label {label}"
                )
            if found[label] != value:
                raise PolicyRefusedError(
                    self.name,
                    f"{candidate.image.digest} has the label {label} with another value, "
                    f"{found[label][:_SHOWN]!a}",
                )
        return f"it has {', '.join(self.wanted)}"
