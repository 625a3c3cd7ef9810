"""`command`: a program of the user's own judges the image; exit status 0 admits it.

A scanner, or a rule that no other policy has. It is asked before anything is pulled, and its
answer is evidence like any other.
"""

from dataclasses import dataclass

from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Check, Question
from webhook_launcher.core.policy import Candidate


@dataclass(frozen=True, slots=True)
class Command:
    """The program and its time limit."""

    check: Check
    name = "command"

    @property
    def needs(self) -> frozenset[Question]:
        """That it was run."""
        return frozenset({self.check})

    def verify(self, candidate: Candidate) -> str:
        """Read the answer that it gave for this candidate."""
        program = self.check.argv[0]
        answer = candidate.evidence.answers.get(self.check)
        if answer is None:
            raise PolicyRefusedError(self.name, f"{program} was not asked")
        if answer.status != 0:
            raise PolicyRefusedError(
                self.name,
                f"{program} exited with status {answer.status}"
                + (f": {answer.said}" if answer.said else ""),
                advice="Run it by hand: it gets the reference in one line, then the manifest.",
            )
        return answer.said or f"{program} exited with status 0"
