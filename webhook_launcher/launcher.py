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
9. return    when 6 or 7 fails: quarantine, and the release that ran before (`rollback`)

A crash between any two steps is mended by step 0 of the next intent of the workload: an attempt
that was switching is finished or undone; one that was not has touched nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from webhook_launcher.admission import Admission
from webhook_launcher.attempt import Attempts, Outcome, log_fields, outcome_of
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.decision import Decision, decide, is_news
from webhook_launcher.core.errors import (
    EngineUnavailableError,
    HookError,
    LauncherError,
    NotAdoptableError,
    PolicyRefusedError,
)
from webhook_launcher.core.model import (
    Action,
    Deployment,
    Image,
    Intent,
    Platform,
    Status,
    Trust,
    WorkloadState,
)
from webhook_launcher.core.policy import Release
from webhook_launcher.core.workload import Workload
from webhook_launcher.records import Deployments, Workloads
from webhook_launcher.resolver import Resolution, Resolver
from webhook_launcher.rollback import Rollback
from webhook_launcher.rollout import Rollout, Stopwatch

_log = logging.getLogger(__name__)


class Launcher:
    """Launches intents; the journal's lanes see to it that a project has one at a time."""

    def __init__(
        self,
        resolver: Resolver,
        admission: Admission,
        rollout: Rollout,
        deployments: Deployments,
        workloads: Workloads,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
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
        for attempt in self._deployments.interrupted(workload.name):
            self._recover(workload, attempt)
        # Claimed again after a crash before it was settled; a rollback done twice is none. A
        # restoration is what is tried again under one intent, and harmless when it is not needed.
        concluded = self._deployments.concluded(intent.id)
        if concluded is not None and intent.wish.action is not Action.RESTORE:
            return outcome_of(concluded)
        stopwatch = self._attempts.stopwatch()
        with stopwatch.step("resolve"):
            platform = self._rollout.platform()
            state = self._known(workload, intent)
            found = self._resolver.resolve(workload, intent, state, platform)
            self._admission.sight(found.image)
        decision = self._decide(workload, intent, found, state)
        if decision.image is None:
            return Outcome(Status.SUCCESS, decision.reason, code="unchanged")
        with stopwatch.step("verify"):
            release = self._admit(workload, intent, decision.image, found, platform)
            if state.current is not None and state.current.digest != release.image.digest:
                origin, now = intent.wish.origin, self._clock.now()
                back = workload.candidate(state.current, Action.ROLLBACK, origin, state, now)
                self._admission.keep_way_back(workload, back, platform)
        deployment = self._attempts.open(release, intent, state.current, found.tracked)
        _log.info("deploying", extra={**log_fields(deployment), "why": decision.reason})
        return outcome_of(self._deploy(workload, release, deployment, stopwatch))

    def _deploy(
        self, workload: Workload, release: Release, deployment: Deployment, stopwatch: Stopwatch
    ) -> Deployment:
        """Steps 4 to 9; the attempt as it ended."""
        self._deployments.begin(deployment)
        try:
            self._rollout.prepare(workload, release, stopwatch)
        except LauncherError as error:
            failed = self._attempts.failed(deployment, error, stopwatch, Status.ERROR)
            self._deployments.rewrite(failed)
            raise
        return self._switch(workload, release, deployment, stopwatch)

    def _recover(self, workload: Workload, attempt: Deployment) -> None:
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
        self._switch(workload, release, attempt, stopwatch)

    def _switch(
        self, workload: Workload, release: Release, deployment: Deployment, stopwatch: Stopwatch
    ) -> Deployment:
        """Steps 6 to 9; the attempt as it ended."""
        deployment = self._deployments.mark_switching(deployment)
        try:
            self._rollout.switch(workload, release, stopwatch)
        except EngineUnavailableError:
            raise  # the attempt stays open: what runs is not known until the engine answers
        except LauncherError as error:
            failed = self._attempts.failed(deployment, error, stopwatch)
            return self._rollback.undo(workload, failed, error)
        self._rollout.commit(workload, release.image, deployment.previous)
        done = self._attempts.succeeded(deployment, stopwatch)
        self._deployments.succeed(done)
        _log.info("deployed", extra=log_fields(done))
        done = self._after(workload, done, stopwatch)
        self._tidy(workload)
        return done

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

    def _known(self, workload: Workload, intent: Intent) -> WorkloadState:
        """What is known of the workload; what ran before we came is the release to return to.

        Raises NotAdoptableError when what runs could not be brought back: then only an operator
        may order to replace it.
        """
        state = self._workloads.state(workload.name)
        if state.current is not None:
            return state
        image, previous = self._rollout.adopt(workload)
        ordered = intent.wish.origin.trust is Trust.OPERATOR and intent.wish.action is Action.DEPLOY
        if image is None and not ordered and self._rollout.occupied(workload):
            raise NotAdoptableError(
                f"what runs in project {workload.project.name!r} is not one image of "
                f"{workload.repository} with a digest, so it could not be brought back"
            )
        if image is None or image.digest in state.quarantined:
            return state
        if previous is not None and previous.digest not in state.quarantined:
            self._workloads.promote(workload.name, previous, None)
        self._rollout.commit(workload, image, previous)
        self._workloads.promote(workload.name, image, None)
        _log.info("adopted", extra={"workload": workload.name, "image": image.pinned})
        return self._workloads.state(workload.name)

    def _decide(
        self, workload: Workload, intent: Intent, found: Resolution, state: WorkloadState
    ) -> Decision:
        """Step 2, and what is remembered of it."""
        if is_news(intent.wish, found.image, state):
            reference = found.image.reference
            self._workloads.want(workload.name, reference.at(found.image.digest))
        runs = state.current is not None and (
            not self._deployments.in_doubt(workload.name)
            and self._rollout.runs(workload, state.current)
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
