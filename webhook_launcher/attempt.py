"""The record of one attempt: opened, ended, told; and the outcome that follows from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import LauncherError
from webhook_launcher.core.model import Action, Deployment, Image, Intent, Status
from webhook_launcher.core.policy import Release
from webhook_launcher.core.reference import Digest
from webhook_launcher.rollout import Stopwatch


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an intent ended. `degraded`: no release is healthy now; somebody must try again."""

    status: Status
    detail: str
    code: str | None = None
    deployment: str | None = None
    degraded: bool = False


class Attempts:
    """Makes the records of attempts; `records.Deployments` keeps them."""

    def __init__(self, clock: Clock, new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_id = new_id

    def stopwatch(self) -> Stopwatch:
        """For the steps of an attempt that starts now."""
        return Stopwatch(self._clock)

    def open(
        self, release: Release, intent: Intent, former: Image | None, tracked: Digest | None
    ) -> Deployment:
        """A first record, before anything is touched. `former` is the release that is current."""
        return Deployment(
            id=self._new_id(),
            workload=release.workload,
            intent=intent.id,
            image=release.image,
            origin=intent.wish.origin,
            status=Status.IN_PROGRESS,
            started_at=self._clock.now(),
            # Nothing to return to when the current release is only started again.
            previous=former if former and former.digest != release.image.digest else None,
            verdicts=release.verdicts,
            tracked=tracked,
            rollback=intent.wish.action is Action.ROLLBACK,
        )

    def undo(self, failed: Deployment, image: Image, asked: Intent | None) -> Deployment:
        """Return the record of bringing `image` back after `failed`; it is switching at once.

        `asked` is the rollback that ended the attempt, if one did: this is what it asked for.
        """
        return Deployment(
            id=self._new_id(),
            workload=failed.workload,
            intent=asked.id if asked else failed.intent,
            image=image,
            origin=asked.wish.origin if asked else failed.origin,
            status=Status.IN_PROGRESS,
            started_at=self._clock.now(),
            # A rollback that was asked for is not undone by the next look.
            tracked=failed.tracked if asked else None,
            rollback=True,
            undoes=failed.id,
            switching=True,
        )

    def succeeded(self, deployment: Deployment, stopwatch: Stopwatch) -> Deployment:
        """The record of a release that runs, proved."""
        return self._ended(deployment, Status.SUCCESS, stopwatch)

    def failed(
        self,
        deployment: Deployment,
        error: LauncherError,
        stopwatch: Stopwatch,
        status: Status = Status.FAILURE,
    ) -> Deployment:
        """The record of a release that did not make it, or (ERROR) that could not be tried."""
        return replace(
            self._ended(deployment, status, stopwatch),
            code=error.code,
            detail=str(error),
            advice=error.advice(),
            output=getattr(error, "output", None),
        )

    def judged(self, deployment: Deployment, status: Status, code: str) -> Deployment:
        """Return the record of a failed attempt with its verdict, once that is known."""
        finished = deployment.finished_at or self._clock.now()
        return replace(deployment, status=status, code=code, finished_at=finished)

    def interrupted(self, deployment: Deployment) -> Deployment:
        """The record of an attempt that ended with the launcher, before it touched anything."""
        return replace(
            deployment,
            status=Status.ERROR,
            finished_at=self._clock.now(),
            code="interrupted",
            detail="interrupted before anything was touched",
        )

    def _ended(self, deployment: Deployment, status: Status, stopwatch: Stopwatch) -> Deployment:
        return replace(
            deployment,
            status=status,
            finished_at=self._clock.now(),
            timings=stopwatch.read(),
        )


def with_more(deployment: Deployment, more: str, *, restored: bool | None = None) -> Deployment:
    """The record with what came after it."""
    detail = f"{deployment.detail}; {more}" if deployment.detail else more
    return replace(deployment, detail=detail, restored=restored)


def outcome_of(deployment: Deployment) -> Outcome:
    """What an attempt that has ended means for its intent."""
    return Outcome(
        deployment.status,
        deployment.detail or f"{deployment.image.pinned} runs",
        code=deployment.code,
        deployment=deployment.id,
        degraded=deployment.restored is False,
    )


def log_fields(deployment: Deployment) -> dict[str, object]:
    """What every log line about an attempt carries."""
    return {
        "workload": deployment.workload,
        "deployment": deployment.id,
        "image": deployment.image.pinned,
        "status": deployment.status.value,
        "trust": deployment.origin.trust.value,
        "source": deployment.origin.source,
        "code": deployment.code,
        "detail": deployment.detail,
    }
