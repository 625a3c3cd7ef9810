"""What the launcher and the loops need of the journal; the adapter matches it by shape."""

from datetime import datetime
from typing import Protocol

from webhook_launcher.core.model import Deployment, Image, WorkloadState
from webhook_launcher.core.reference import Digest, Reference


class Deployments(Protocol):
    """Attempts. Every method has committed when it returns."""

    def begin(self, deployment: Deployment) -> None:
        """Record an attempt before anything is touched."""

    def mark_switching(self, deployment: Deployment) -> Deployment:
        """From here on a restart must finish or undo it."""

    def succeed(self, deployment: Deployment, tracked: Digest | None) -> None:
        """It runs, proved: its image becomes current."""

    def fail(
        self,
        deployment: Deployment,
        *,
        tracked: Digest | None = None,
        quarantine: bool = False,
        rollback: Deployment | None = None,
    ) -> None:
        """It ended badly; its rollback begins in the same commit."""

    def rewrite(self, deployment: Deployment) -> None:
        """Replace the record of an attempt."""


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

    def checked(self, name: str, result: str, now: datetime) -> None:
        """Remember the last look and its result."""

    def quarantine(self, name: str, digest: Digest, reason: str, now: datetime) -> None:
        """Never run this digest here again until an operator says so."""
