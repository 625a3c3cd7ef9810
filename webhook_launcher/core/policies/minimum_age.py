"""`minimum_age`: a digest runs only some time after this launcher first saw it.

The time in which a stolen registry account is noticed. Counted from our own first sight of the
digest, never from the dates in an image, which its builder writes.
"""

from dataclasses import dataclass
from datetime import timedelta

from webhook_launcher.core.errors import NotRipeError, PolicyRefusedError
from webhook_launcher.core.evidence import Question
from webhook_launcher.core.policy import Candidate

NAME = "minimum_age"  # also in policy.OVERRIDABLE


@dataclass(frozen=True, slots=True)
class MinimumAge:
    """`age` since the first sight; a signed deploy event whose key may do so overrides it."""

    age: timedelta
    name = NAME
    needs: frozenset[Question] = frozenset()

    def verify(self, candidate: Candidate) -> str:
        """Raises NotRipeError, with the moment at which it will hold."""
        if candidate.returns:
            return "it ran here before"
        if NAME in candidate.origin.overrides:
            return f"overridden by {candidate.origin.source}, key {candidate.origin.secret_id}"
        seen = candidate.evidence.first_seen
        if seen is None:
            raise PolicyRefusedError(
                self.name, f"when {candidate.image.digest} was first seen is not known"
            )
        ripe = seen + self.age
        if candidate.now < ripe:
            raise NotRipeError(
                self.name,
                f"{candidate.image.digest} was first seen {_shown(candidate.now - seen)} ago, "
                f"and must be known for {_shown(self.age)}",
                until=ripe,
            )
        return f"first seen {seen:%Y-%m-%d %H:%M:%S} UTC"


def _shown(span: timedelta) -> str:
    """A duration as the configuration writes it, in its largest whole unit."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
