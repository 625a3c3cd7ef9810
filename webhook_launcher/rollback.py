"""End an attempt that failed: bring back the release that ran before, then judge the image.

The former release is admitted again under today's policy, gated and proved like any other. It is
also the control: the image is blamed, and its digest quarantined, only when the former release
passes on the same host right after it. When both fail, when another actor interfered, or when there
is no former release, the attempt ends as `error` with code `not-judged`, and its intent is tried
again with growing pauses.

The record of a failed attempt stays in progress until its control has ended, so that a crash in
between loses no verdict and the attempt has one receipt, with the verdict in it.

What Compose did not start is blamed the second time in a row: the host may have been in the way for
a moment, and the launcher cannot tell (ADR 12).
"""

import logging
from dataclasses import replace
from datetime import timedelta

from webhook_launcher.admission import Admission
from webhook_launcher.attempt import Attempts, log_fields, with_more
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    ComposeError,
    EngineError,
    EngineUnavailableError,
    LauncherError,
    NotJudgedError,
    StartRefusedError,
    SupersededError,
    UnhealthyWorkloadError,
    VerificationError,
)
from webhook_launcher.core.model import Action, Deployment, Image, Intent, Status
from webhook_launcher.core.workload import Workload
from webhook_launcher.records import Deployments, Workloads
from webhook_launcher.rollout import Rollout

_log = logging.getLogger(__name__)
# Two refusals of one image are no row when they lie further apart: the host has changed since.
_ROW = timedelta(hours=1)
# Failures that the image may have caused: with a control that passes they are a verdict on it.
_BLAMING = frozenset({UnhealthyWorkloadError.code, ComposeError.code})
_KEPT = _BLAMING | {SupersededError.code}


class Rollback:
    """Ends an attempt that failed after its switch began."""

    def __init__(
        self,
        admission: Admission,
        rollout: Rollout,
        deployments: Deployments,
        workloads: Workloads,
        attempts: Attempts,
        clock: Clock,
    ) -> None:
        self._admission = admission
        self._rollout = rollout
        self._deployments = deployments
        self._workloads = workloads
        self._attempts = attempts
        self._clock = clock

    def undo(
        self,
        workload: Workload,
        failed: Deployment,
        error: LauncherError,
        asked: Intent | None = None,
    ) -> Deployment:
        """End `failed`, which `error` stopped; `asked` is the rollback that superseded it, if any.

        Raises:
            EngineUnavailableError: The attempt stays open.
            NotJudgedError, StartRefusedError: See `bring_back`.
        """
        failed = replace(failed, code=_code_of(error))
        _log.error("release failed", extra=log_fields(failed))
        current, previous = self._workloads.state(workload.name).current, failed.previous
        if isinstance(error, ComposeError) and error.untouched:
            return self._leave(failed, error)
        if current is not None and current.digest == failed.image.digest:
            failed = self._concluded(failed, control=None)
            failed = with_more(failed, "it is the current release, so it stays", restored=False)
            self._deployments.fail(failed)
            return failed
        if previous is None:
            return self._end_first(workload, failed)
        if not workload.rollback:
            failed = self._concluded(failed, control=None)
            failed = with_more(failed, "it stays, since rollback is off for this workload")
            self._deployments.fail(failed, stays=True)
            if failed.status is Status.ERROR:
                raise self._again(failed, restored=None)
            return failed
        rollback = self._attempts.undo(failed, previous, asked)
        waiting = replace(failed, status=Status.IN_PROGRESS, finished_at=None)
        self._deployments.fail(waiting, rollback=rollback)
        return self.bring_back(workload, failed, rollback)

    def _again(self, failed: Deployment, *, restored: bool | None) -> NotJudgedError:
        tries = self._deployments.not_judged(failed.intent)
        return NotJudgedError(failed.detail or "", restored=restored, tries=tries)

    def _leave(self, failed: Deployment, error: ComposeError) -> Deployment:
        """End an attempt that touched nothing; the former release runs on.

        A container that cannot be created is no verdict, since the former release was not created
        anew beside it; the second time in a row the intent ends, and the poll asks again.
        """
        again = not error.unreadable and not self._refused_before(failed)
        code = NotJudgedError.code if error.unreadable else ComposeError.code
        failed = self._attempts.judged(replace(failed, switching=False), Status.ERROR, code)
        failed = with_more(failed, "nothing was touched", restored=True)
        self._deployments.fail(failed)
        if error.unreadable:
            raise self._again(failed, restored=True)
        if again:
            raise StartRefusedError(failed.detail or "", restored=True)
        return failed

    def _end_first(self, workload: Workload, failed: Deployment) -> Deployment:
        """End a first deployment: it has no control, and may have been superseded."""
        superseded = failed.code == SupersededError.code
        status = Status.INACTIVE if superseded else Status.ERROR
        code = SupersededError.code if superseded else NotJudgedError.code
        failed = with_more(failed, self._clear(workload, failed.image))
        failed = self._attempts.judged(failed, status, code)
        self._deployments.fail(failed)
        if superseded:
            return failed
        raise self._again(failed, restored=None)

    def bring_back(
        self, workload: Workload, failed: Deployment, rollback: Deployment
    ) -> Deployment:
        """Run the former release, which is the control; return `failed` with its verdict.

        Raises:
            NotJudgedError, StartRefusedError: The intent of `failed` is to be tried again. The
                records are in the journal.
        """
        failed = self._return(workload, failed, rollback)
        restored = failed.restored is True
        if failed.status is Status.ERROR:
            if failed.code == ComposeError.code:
                raise StartRefusedError(failed.detail or "", restored=restored)
            raise self._again(failed, restored=restored)
        return failed

    def _return(self, workload: Workload, failed: Deployment, rollback: Deployment) -> Deployment:
        stopwatch = self._attempts.stopwatch()
        try:
            state, now = self._workloads.state(workload.name), self._clock.now()
            wanted = workload.candidate(rollback.image, Action.ROLLBACK, failed.origin, state, now)
            release = self._admission.admit(workload, wanted, self._rollout.platform())
            rollback = replace(rollback, verdicts=release.verdicts)
            self._rollout.fetch(workload, release, stopwatch)
            self._rollout.switch(workload, release, stopwatch, completed=failed.completed)
        except EngineUnavailableError:
            raise
        except LauncherError as error:
            rollback = self._attempts.failed(rollback, error, stopwatch)
            failed = self._concluded(failed, control=False)
            failed = with_more(failed, f"and the release before it: {error}", restored=False)
            self._deployments.rewrite(failed, rollback)
            _log.critical("rollback failed", extra=log_fields(rollback))
            return failed
        self._rollout.commit(workload, rollback.image, None)
        done = self._attempts.succeeded(rollback, stopwatch)
        failed = self._concluded(failed, control=True)
        failed = with_more(failed, f"{rollback.image.digest} is back and healthy", restored=True)
        quarantine = failed.status is Status.FAILURE and failed.code in _BLAMING
        self._deployments.succeed(done, instead_of=failed, quarantine=quarantine)
        _log.warning("rolled back", extra=log_fields(done))
        return failed

    def _concluded(self, failed: Deployment, *, control: bool | None) -> Deployment:
        """Return the record with its verdict; `control` is None where nothing was brought back."""
        code = failed.code or ""
        if code == SupersededError.code:
            return self._attempts.judged(failed, Status.INACTIVE, code)
        if code == NotJudgedError.code or (code in _BLAMING and control is False):
            return self._attempts.judged(failed, Status.ERROR, NotJudgedError.code)
        if code == ComposeError.code and control and not self._refused_before(failed):
            return self._attempts.judged(failed, Status.ERROR, code)  # no verdict yet
        return self._attempts.judged(failed, Status.FAILURE, code)

    def _refused_before(self, failed: Deployment) -> bool:
        since = self._clock.now() - _ROW
        return self._deployments.refused_before(failed, since)

    def _clear(self, workload: Workload, image: Image) -> str:
        """Remove a failed first deployment's containers; return the sentence for its record."""
        try:
            cleared = self._rollout.clear(workload, image)
        except EngineUnavailableError:
            raise
        except EngineError as error:
            return f"it was the first deployment, and its containers cannot be removed: {error}"
        if cleared:
            return "it was the first deployment: its containers were removed"
        return (
            "it was the first deployment: its containers were stopped and stay, since they have "
            "the volumes of those that were here before"
        )


def _code_of(error: LauncherError) -> str:
    """Return the error's code where it may blame the image, `not-judged` for faults of the host.

    A refusal by policy keeps its code: it is a verdict that needs no control.
    """
    if isinstance(error, UnhealthyWorkloadError) and not error.judges:
        return NotJudgedError.code
    lasts = isinstance(error, VerificationError) and not error.retryable
    return error.code if lasts or error.code in _KEPT else NotJudgedError.code
