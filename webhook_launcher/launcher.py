"""The order of a deployment; the only module that knows it.

0. recover   what a crash or an outage left open, from the journal and local images alone
1. resolve   the reference, once, to an Image (`resolver`); its digest ages from here on
2. decide    whether anything is to be done (`core.decision`)
3. admit     look for what the policies ask (`admission`), then under today's policy to a Release;
             the engine gets nothing else
4. journal   the attempt, before anything is touched
5. prepare   `before` hooks, pull by digest, keep-tag: the old release serves, untouched
6. switch    journal "switching", pin, sweep, `up`
7. gate      health, then proof that what runs is the admitted image
8. commit    keep-tags, current and previous release, `after` hooks, images of former releases
9. return    when 6 or 7 fails: the release that ran before, and then the verdict (`rollback`)

A crash between any two steps is mended by step 0 of the next intent of the workload: an attempt
that was switching is finished or undone; one that was not has touched nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from webhook_launcher.admission import Admission
from webhook_launcher.adoption import Adoption
from webhook_launcher.attempt import Attempts, Outcome, log_fields, outcome_of
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.decision import Decision, decide, is_news
from webhook_launcher.core.errors import (
    ComposeError,
    EngineUnavailableError,
    HookError,
    LauncherError,
    NotJudgedError,
    PolicyRefusedError,
    StartRefusedError,
    SupersededError,
)
from webhook_launcher.core.model import (
    Action,
    Deployment,
    Image,
    Intent,
    Platform,
    Status,
    WorkloadState,
)
from webhook_launcher.core.policy import Release
from webhook_launcher.core.workload import Workload
from webhook_launcher.newer import Newer
from webhook_launcher.records import Deployments, Intents, Workloads
from webhook_launcher.resolver import Resolution, Resolver
from webhook_launcher.rollback import Rollback
from webhook_launcher.rollout import Rollout, Stopwatch

_log = logging.getLogger(__name__)
_NOT_DEPLOYED = "not-deployed"


class Launcher:
    """Launches intents; the journal's lanes see to it that a project has one at a time."""

    def __init__(
        self,
        resolver: Resolver,
        admission: Admission,
        rollout: Rollout,
        deployments: Deployments,
        workloads: Workloads,
        intents: Intents,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._newer = Newer(intents, workloads, resolver, admission, rollout, clock)
        self._adoption = Adoption(resolver, admission, rollout, deployments, workloads, clock)
        self._intents = intents
        self._resolver = resolver
        self._admission = admission
        self._rollout = rollout
        self._deployments = deployments
        self._workloads = workloads
        self._clock = clock
        self._attempts = Attempts(clock, new_id)
        self._rollback = Rollback(admission, rollout, deployments, workloads, self._attempts, clock)

    def launch(self, workload: Workload, intent: Intent) -> Outcome:
        """Make what the intent asks for run, or leave (or bring back) what ran.

        Raises LauncherError when it could not be tried; then nothing was touched, or the attempt
        stays open in the journal (EngineUnavailableError, JournalError) for step 0 of another try.
        """
        self._recover_all(workload, intent)
        # Claimed again after a crash before it was settled; a rollback done twice is none. A
        # restoration is what is tried again under one intent, and harmless when it is not needed.
        concluded = self._deployments.concluded(intent.id)
        if concluded is not None and intent.wish.action is not Action.RESTORE:
            return outcome_of(concluded)
        try:
            return self._launch(workload, intent)
        except ComposeError as error:
            # Nothing was begun: Compose cannot read its files now, which says nothing of the image.
            raise NotJudgedError(str(error), restored=None) from error

    def _launch(self, workload: Workload, intent: Intent) -> Outcome:
        """Steps 1 to 9."""
        stopwatch = self._attempts.stopwatch()
        with stopwatch.step("resolve"):
            platform = self._rollout.platform()
            state = self._adoption.know(workload, intent)
            found = self._resolver.resolve(workload, intent, state, platform)
            self._admission.sight(found.image)
        decision = self._decide(workload, intent, found, state)
        if decision.image is None:
            return _unchanged(intent, found.image, decision, state)
        wanted = decision.image
        if decision.drifted and self._adoption.take_over(workload, intent, wanted, state, platform):
            return Outcome(Status.SUCCESS, "a person deployed it by hand", code="unchanged")
        with stopwatch.step("verify"):
            release = self._admit(workload, intent, decision.image, found, platform)
            if state.current is not None and state.current.digest != release.image.digest:
                origin, now = intent.wish.origin, self._clock.now()
                back = workload.candidate(state.current, Action.ROLLBACK, origin, state, now)
                self._admission.keep_way_back(workload, back, platform)
        deployment = self._attempts.open(release, intent, state.current, found.tracked)
        _log.info("deploying", extra={**log_fields(deployment), "why": decision.reason})
        return outcome_of(self._deploy(workload, release, deployment, stopwatch, intent))

    def _deploy(
        self,
        workload: Workload,
        release: Release,
        deployment: Deployment,
        stopwatch: Stopwatch,
        intent: Intent,
    ) -> Deployment:
        """Steps 4 to 9; the attempt as it ended."""
        self._deployments.begin(deployment)
        try:
            self._rollout.prepare(workload, release, stopwatch)
        except LauncherError as error:
            failed = self._attempts.failed(deployment, error, stopwatch, Status.ERROR)
            self._deployments.rewrite(failed)
            raise
        return self._switch(workload, release, deployment, stopwatch, intent)

    def _recover_all(self, workload: Workload, intent: Intent) -> None:
        """Finish the attempts that were left open, each with its control if that had begun."""
        attempts = self._deployments.interrupted(workload.name)
        undone = {attempt.undoes for attempt in attempts}
        for attempt in attempts:
            if attempt.id in undone:
                continue
            try:
                self._recover(workload, attempt, intent)
            except (NotJudgedError, StartRefusedError):
                if intent.id == attempt.intent:
                    raise
                # The intent of that attempt is tried again by itself; this one goes on now.

    def _recover(self, workload: Workload, attempt: Deployment, intent: Intent) -> None:
        """Finish an attempt that was left open; a registry that is down delays nothing."""
        _log.warning("recovering", extra=log_fields(attempt))
        if not attempt.switching:
            self._deployments.rewrite(self._attempts.interrupted(attempt))
            return
        self._rollout.quiet(workload)
        failed = self._deployments.get(attempt.undoes) if attempt.undoes else None
        if failed is not None:
            self._rollback.bring_back(workload, failed, attempt)
            return
        stopwatch = self._attempts.stopwatch()
        # Admitted before it was begun, and touched since: what ran before is judged no less.
        wanted = workload.candidate(
            attempt.image,
            Action.ROLLBACK if attempt.rollback else Action.RESTORE,
            attempt.origin,
            self._workloads.state(workload.name),
            self._clock.now(),
        )
        try:
            release = self._admission.admit(workload, wanted, self._rollout.platform())
        except EngineUnavailableError:
            raise
        except LauncherError as error:
            # What could not be found out is no refusal: the intent goes on when that is possible.
            status = Status.ERROR if error.retryable else Status.FAILURE
            failed = self._attempts.failed(attempt, error, stopwatch, status)
            self._rollback.undo(workload, failed, error)
            return
        self._switch(workload, release, attempt, stopwatch, intent)

    def _switch(
        self,
        workload: Workload,
        release: Release,
        deployment: Deployment,
        stopwatch: Stopwatch,
        intent: Intent,
    ) -> Deployment:
        """Steps 6 to 9; the attempt as it ended."""
        if not deployment.switching:
            completed = self._rollout.presence.completed(workload)
            deployment = replace(deployment, completed=completed)
        deployment = self._deployments.mark_switching(deployment)
        heed = self._newer.watch(workload, deployment, intent)
        current = self._workloads.state(workload.name).current
        former = deployment.previous
        try:
            self._rollout.switch(
                workload,
                release,
                stopwatch,
                former,
                heed,
                first=current is None,
                current=current is not None and current.digest == release.image.digest,
                completed=deployment.completed,
            )
        except EngineUnavailableError:
            raise  # the attempt stays open: what runs is not known until the engine answers
        except LauncherError as error:
            failed = self._attempts.failed(deployment, error, stopwatch)
            asked = self._rollback_that_ended(workload, error)
            return self._rollback.undo(workload, failed, error, asked)
        self._rollout.commit(workload, release.image, deployment.previous)
        done = self._attempts.succeeded(deployment, stopwatch)
        self._deployments.succeed(done)
        _log.info("deployed", extra=log_fields(done))
        done = self._after(workload, done, stopwatch)
        self._tidy(workload)
        return done

    def _rollback_that_ended(self, workload: Workload, error: LauncherError) -> Intent | None:
        """Return the operator's rollback that ended the wait, which the return fulfils."""
        if not isinstance(error, SupersededError):
            return None
        waiting = self._intents.waiting(workload.name)
        newer = next((found for found in waiting if found.id == error.newer), None)
        return newer if newer and newer.wish.action is Action.ROLLBACK else None

    def _tidy(self, workload: Workload) -> None:
        """Remove images of former releases, after a success and only then."""
        if workload.keep is None:
            return
        state = self._workloads.state(workload.name)
        ours = [image for image in (state.current, state.previous) if image]
        ours += self._deployments.released(workload.name, workload.keep)
        self._rollout.tidy(workload, {part.digest for image in ours for part in image.each})

    def _after(self, workload: Workload, done: Deployment, stopwatch: Stopwatch) -> Deployment:
        try:
            self._rollout.after(workload, done.image, stopwatch)
        except HookError as error:
            done = replace(done, detail=f"deployed; {error}", advice=error.advice())
            _log.warning("after hook failed", extra=log_fields(done))
        if workload.hooks.after:
            done = replace(done, timings=stopwatch.read())
            self._deployments.rewrite(done)
        return done

    def _decide(
        self, workload: Workload, intent: Intent, found: Resolution, state: WorkloadState
    ) -> Decision:
        """Step 2, and what is remembered of it."""
        if is_news(intent.wish, found.image, state):
            reference = found.image.reference
            self._workloads.want(workload.name, reference.at(found.image.digest))
        runs = state.current is not None and (
            not self._deployments.in_doubt(workload.name)
            and self._rollout.presence.runs(workload, state.current)
        )
        decision = decide(intent.wish, found.image, state, runs=runs)
        if found.tracked is not None:
            now = found.image.reference.at(found.image.digest)
            tracked = now if found.tracked == found.image.digest else None
            self._workloads.checked(workload.name, decision.reason, self._clock.now(), tracked)
        if decision.image is None and is_news(intent.wish, found.image, state):
            self._workloads.promote(workload.name, found.image, found.tracked)  # it runs already
        return decision

    def _admit(
        self,
        workload: Workload,
        intent: Intent,
        image: Image,
        found: Resolution,
        platform: Platform,
    ) -> Release:
        state, wish = self._workloads.state(workload.name), intent.wish
        # The current release is restored, whoever's look found that it does not run.
        restores = state.current is not None and state.current.digest == image.digest
        action = Action.RESTORE if restores else wish.action
        wanted = workload.candidate(image, action, wish.origin, state, self._clock.now())
        try:
            return self._admission.admit(workload, wanted, platform)
        except PolicyRefusedError:
            # Dealt with for good, or every poll would ask again; a release makes it news anew.
            if found.tracked is not None and found.tracked in state.quarantined:
                self._workloads.acted_on(workload.name, found.tracked)
            raise


def _unchanged(intent: Intent, image: Image, decision: Decision, state: WorkloadState) -> Outcome:
    """Say `success` only where the image that was asked for runs."""
    named, name = intent.wish.reference, intent.workload
    if not decision.runs:
        command, reason = f"deploy {name}", decision.reason
        if image.digest in state.quarantined:
            command, reason = f"release-quarantine {name}", "it failed here and is in quarantine"
        return Outcome(
            Status.INACTIVE,
            f"{image.pinned} is not deployed: {reason}. To have it deployed all the same: "
            f"`webhook-launcher {command}`.",
            code=_NOT_DEPLOYED,
        )
    names = {digest for one in image.each for digest in one.names}
    if named is not None and named.digest is not None and named.digest not in names:
        detail = f"{named} is not what {name!r} follows now: that is {image.pinned}, which runs"
        return Outcome(Status.INACTIVE, detail, code=_NOT_DEPLOYED)
    return Outcome(Status.SUCCESS, decision.reason, code="unchanged")
