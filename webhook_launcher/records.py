"""What the launcher needs of the journal; the adapter matches it by shape."""

from datetime import datetime
from typing import Protocol

from webhook_launcher.core.model import Deployment, Image, Intent, WorkloadState
from webhook_launcher.core.reference import Digest, Reference


class Deployments(Protocol):
    """Attempts. Every method has committed when it returns."""

    def begin(self, deployment: Deployment) -> None:
        """Record an attempt before anything is touched."""

    def mark_switching(self, deployment: Deployment) -> Deployment:
        """From here on a restart must finish or undo it."""

    def succeed(
        self,
        deployment: Deployment,
        *,
        instead_of: Deployment | None = None,
        quarantine: bool = False,
    ) -> None:
        """It runs, proved: its image becomes current, `instead_of` one that failed."""

    def fail(
        self,
        deployment: Deployment,
        *,
        stays: bool = False,
        rollback: Deployment | None = None,
    ) -> None:
        """It ended badly, or fails while its rollback, begun in the same commit, goes on.

        With `stays` it is left as it is.
        """

    def rewrite(self, *deployments: Deployment) -> None:
        """Replace the records of attempts."""

    def interrupted(self, workload: str) -> list[Deployment]:
        """The attempts left in progress, oldest first."""

    def concluded(self, intent_id: str) -> Deployment | None:
        """The attempt by which an intent came to its end."""

    def refused_before(self, attempt: Deployment, since: datetime) -> bool:
        """True when the last one at its image was refused too, since then, and was undone well."""

    def not_judged(self, intent_id: str) -> int:
        """How many attempts of an intent ended without a verdict."""

    def released(self, workload: str, count: int) -> list[Image]:
        """The newest releases that ran, newest first."""

    def in_doubt(self, workload: str) -> bool:
        """True when the last attempt that touched the workload failed."""

    def get(self, deployment_id: str) -> Deployment | None:
        """One by its id."""


class Intents(Protocol):
    """The queue, as far as a deployment looks at it."""

    def waiting(self, workload: str) -> list[Intent]:
        """Open intents of a workload, claimed ones included, oldest first."""


class Workloads(Protocol):
    """What is known of each workload. Every method has committed when it returns."""

    def state(self, name: str) -> WorkloadState:
        """What is known now."""

    def promote(self, name: str, image: Image, tracked: Digest | None) -> None:
        """Make an image current."""

    def acted_on(self, name: str, tracked: Digest) -> None:
        """Remember the tracked digest that was dealt with."""

    def want(self, name: str, reference: Reference) -> None:
        """Remember what the newest intent asked for."""

    def checked(
        self, name: str, result: str, now: datetime, found: Reference | None = None
    ) -> None:
        """Remember the last look, its result and, when it was answered, what is tracked now."""
