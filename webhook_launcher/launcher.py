"""The order of a deployment; the only module that knows it.

1. resolve   the reference, once, to an Image (`resolver`)
2. decide    whether anything is to be done (`core.decision`)
3. admit     under today's policy, to a Release; the engine gets nothing else
4. journal   the attempt, before anything is touched
5. prepare   `before` hooks, pull by digest, keep-tag: the old release serves, untouched
6. switch    journal "switching", pin, sweep, `up`
7. gate      health, then proof that what runs is the admitted image
8. commit    current and previous release, keep-tags, `after` hooks
9. return    when 6 or 7 fails: quarantine, and the same steps with the release that ran before

A crash between any two steps is mended by `recover`: an attempt that was switching is finished
from the journal and local images alone; one that was not has touched nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.decision import decide
from webhook_launcher.core.errors import (
    ComposeError,
    EngineUnavailableError,
    HookError,
    LauncherError,
    UnhealthyWorkloadError,
)
from webhook_launcher.core.model import Action, Deployment, Image, Intent, Origin, Status
from webhook_launcher.core.policy import Candidate, Release, admit
from webhook_launcher.core.reference import Digest
from webhook_launcher.core.workload import Workload
from webhook_launcher.records import Deployments, Workloads
from webhook_launcher.resolver import Resolver
from webhook_launcher.rollout import Rollout, Stopwatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an intent ended. `degraded`: no release is healthy now; somebody must try again."""

    status: Status
    detail: str
    code: str | None = None
    deployment: str | None = None
    degraded: bool = False


class Launcher:
    """Launches intents; the journal's lanes see to it that a project has one at a time."""

    def __init__(
        self,
        resolver: Resolver,
        rollout: Rollout,
        deployments: Deployments,
        workloads: Workloads,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._resolver = resolver
        self._rollout = rollout
        self._deployments = deployments
        self._workloads = workloads
        self._clock = clock
        self._new_id = new_id

    def launch(self, workload: Workload, intent: Intent) -> Outcome:
        """Make what the intent asks for run, or leave (or bring back) what ran.

        Raises LauncherError when it could not be tried; then nothing was touched, or the
        attempt stays open in the journal for `recover` (EngineUnavailableError only).
        """
        stopwatch = Stopwatch(self._clock)
        with stopwatch.step("resolve"):
            platform = self._rollout.platform()
            state = self._workloads.state(workload.name)
            found = self._resolver.resolve(workload, intent, state, platform)
        self._workloads.want(workload.name, found.image.reference.at(found.image.digest))
        if state.current is None and self._adopt(workload):
            state = self._workloads.state(workload.name)
        runs = state.current is not None and self._rollout.runs(workload, state.current)
        decision = decide(intent, found.image, state, runs=runs)
        self._workloads.checked(workload.name, decision.reason, self._clock.now())
        if decision.image is None:
            if found.tracked is not None:
                self._workloads.acted_on(workload.name, found.tracked)
            return Outcome(Status.SUCCESS, decision.reason, code="unchanged")
        _log.info("deploying", extra={"workload": workload.name, "why": decision.reason})
        release = self._admit(workload, decision.image, intent.wish.action, intent.wish.origin)
        deployment = self._open(
            release,
            intent.id,
            intent.wish.origin,
            previous=_other(state.current, release.image),
            rollback=intent.wish.action is Action.ROLLBACK,
        )
        self._deployments.begin(deployment)
        try:
            self._rollout.prepare(workload, release, stopwatch)
        except LauncherError as error:
            self._deployments.fail(self._ended(deployment, Status.ERROR, stopwatch, error))
            raise
        return self._switch(workload, release, deployment, found.tracked, stopwatch)

    def recover(self, workload: Workload, deployment: Deployment) -> Outcome:
        """Finish an attempt that a crash or an engine outage left open.

        Uses the journal and local images only, so a registry that is down delays nothing.
        """
        stopwatch = Stopwatch(self._clock)
        if not deployment.switching:
            interrupted = replace(
                self._ended(deployment, Status.ERROR, stopwatch),
                code="interrupted",
                detail="interrupted before anything was touched",
            )
            self._deployments.fail(interrupted)
            return _outcome(interrupted)
        _log.warning("resuming", extra=_fields(deployment))
        action = Action.ROLLBACK if deployment.rollback else Action.CHECK
        try:
            release = self._admit(workload, deployment.image, action, deployment.origin)
        except LauncherError as error:
            return self._return(workload, deployment, error, None, stopwatch)
        return self._switch(workload, release, deployment, None, stopwatch)

    def _switch(
        self,
        workload: Workload,
        release: Release,
        deployment: Deployment,
        tracked: Digest | None,
        stopwatch: Stopwatch,
    ) -> Outcome:
        deployment = self._deployments.mark_switching(deployment)
        try:
            self._rollout.switch(workload, release, stopwatch)
        except EngineUnavailableError:
            raise  # the attempt stays open: what runs is not known until the engine answers
        except LauncherError as error:
            return self._return(workload, deployment, error, tracked, stopwatch)
        self._rollout.commit(workload, release.image, deployment.previous)
        done = self._ended(deployment, Status.SUCCESS, stopwatch)
        self._deployments.succeed(done, tracked)
        _log.info("deployed", extra=_fields(done))
        return _outcome(self._after(workload, done, stopwatch))

    def _after(
        self, workload: Workload, done: Deployment, stopwatch: Stopwatch
    ) -> Deployment:
        try:
            self._rollout.after(workload, done.image, stopwatch)
        except HookError as error:
            done = replace(done, detail=f"deployed; {error}", advice=error.advice())
            self._deployments.rewrite(done)
            _log.warning("after hook failed", extra=_fields(done))
        return done

    def _return(
        self,
        workload: Workload,
        failed: Deployment,
        error: LauncherError,
        tracked: Digest | None,
        stopwatch: Stopwatch,
    ) -> Outcome:
        """The release did not make it: quarantine it and bring back the one that ran before."""
        failed = self._ended(failed, Status.FAILURE, stopwatch, error)
        current = self._workloads.state(workload.name).current
        restoring = current is not None and current.digest == failed.image.digest
        quarantine = isinstance(error, UnhealthyWorkloadError) and not restoring
        _log.error("release failed", extra=_fields(failed))
        if restoring:
            self._deployments.fail(failed)
            return _outcome(failed, "it is the current release, so it stays", degraded=True)
        if failed.previous is None:
            self._deployments.fail(failed, tracked=tracked, quarantine=quarantine)
            return self._clear(workload, failed)
        if not workload.rollback:
            self._deployments.fail(failed, tracked=tracked, quarantine=quarantine)
            return _outcome(failed, "rollback is off for this workload", degraded=True)
        try:
            release = self._admit(workload, failed.previous, Action.ROLLBACK, failed.origin)
        except LauncherError as refusal:
            self._deployments.fail(failed, tracked=tracked, quarantine=quarantine)
            return _outcome(failed, f"the previous release may not run: {refusal}", degraded=True)
        rollback = replace(
            self._open(release, failed.intent, failed.origin, previous=None, rollback=True),
            switching=True,
        )
        self._deployments.fail(failed, tracked=tracked, quarantine=quarantine, rollback=rollback)
        return self._bring_back(workload, release, failed, rollback, blame=error)

    def _bring_back(
        self,
        workload: Workload,
        release: Release,
        failed: Deployment,
        rollback: Deployment,
        blame: LauncherError,
    ) -> Outcome:
        stopwatch = Stopwatch(self._clock)
        try:
            self._rollout.fetch(workload, release, stopwatch)
            self._rollout.switch(workload, release, stopwatch)
        except EngineUnavailableError:
            raise
        except LauncherError as error:
            self._deployments.fail(self._ended(rollback, Status.FAILURE, stopwatch, error))
            failed = replace(failed, restored=False)
            self._deployments.rewrite(failed)
            _log.critical("rollback failed", extra=_fields(rollback))
            return _outcome(failed, f"and the release before it: {error}", degraded=True)
        self._rollout.commit(workload, release.image, None)
        done = self._ended(rollback, Status.SUCCESS, stopwatch)
        self._deployments.succeed(done, None)
        failed = replace(failed, restored=True)
        self._deployments.rewrite(failed)
        if isinstance(blame, ComposeError):
            # The same host ran the former release, so it was the new one that compose refused.
            self._workloads.quarantine(
                workload.name, failed.image.digest, str(blame), self._clock.now()
            )
        _log.warning("rolled back", extra=_fields(done))
        return _outcome(failed, f"{release.image.digest} is back and healthy")

    def _clear(self, workload: Workload, failed: Deployment) -> Outcome:
        self._rollout.clear(workload)
        return _outcome(failed, "it was the first deployment: its containers were removed")

    def _adopt(self, workload: Workload) -> bool:
        image = self._rollout.adopt(workload)
        if image is None:
            return False
        self._rollout.commit(workload, image, None)
        self._workloads.promote(workload.name, image, None)
        _log.info("adopted", extra={"workload": workload.name, "image": image.pinned})
        return True

    def _admit(
        self, workload: Workload, image: Image, action: Action, origin: Origin
    ) -> Release:
        quarantined = self._workloads.state(workload.name).quarantined
        return admit(
            Candidate(workload.name, workload.repository, image, action, origin, quarantined),
            workload.policies,
        )

    def _open(
        self,
        release: Release,
        intent: str,
        origin: Origin,
        *,
        previous: Image | None,
        rollback: bool,
    ) -> Deployment:
        return Deployment(
            id=self._new_id(),
            workload=release.workload,
            intent=intent,
            image=release.image,
            origin=origin,
            status=Status.IN_PROGRESS,
            started_at=self._clock.now(),
            previous=previous,
            policies=release.policies,
            rollback=rollback,
        )

    def _ended(
        self,
        deployment: Deployment,
        status: Status,
        stopwatch: Stopwatch,
        error: LauncherError | None = None,
    ) -> Deployment:
        return replace(
            deployment,
            status=status,
            finished_at=self._clock.now(),
            timings=stopwatch.read(),
            code=error.code if error else None,
            detail=str(error) if error else None,
            advice=error.advice() if error else None,
            output=getattr(error, "output", None),
        )


def _outcome(deployment: Deployment, more: str = "", *, degraded: bool = False) -> Outcome:
    parts = [part for part in (deployment.detail, more) if part]
    return Outcome(
        deployment.status,
        "; ".join(parts) or f"{deployment.image.pinned} runs",
        code=deployment.code,
        deployment=deployment.id,
        degraded=degraded,
    )


def _other(current: Image | None, image: Image) -> Image | None:
    """The release to return to; none when the current one is only started again."""
    return current if current is not None and current.digest != image.digest else None


def _fields(deployment: Deployment) -> dict[str, object]:
    """What every log line about a deployment carries."""
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
