"""What follows when a release did not make it: the release that ran before comes back.

It is admitted again under today's policy, gated and proved like any other. What cannot be brought
back is said to be so (`restored` is False); the worker then tries again, later and later.

What became unhealthy is quarantined at once. What Compose did not start is quarantined the second
time in a row: the host may have been in the way for a moment, and the launcher cannot tell.
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
    StartRefusedError,
    UnhealthyWorkloadError,
)
from webhook_launcher.core.model import Action, Deployment, Status
from webhook_launcher.core.workload import Workload
from webhook_launcher.records import Deployments, Workloads
from webhook_launcher.rollout import Rollout

_log = logging.getLogger(__name__)
# Two refusals of one image are no row when they lie further apart: the host has changed since.
_ROW = timedelta(hours=1)


class Rollback:
    """Ends an attempt that failed after the switch began, by what ran before it."""

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

    def undo(self, workload: Workload, failed: Deployment, error: LauncherError) -> Deployment:
        """End `failed`, which `error` stopped.

        Raises EngineUnavailableError: then it is open; and what `bring_back` raises.
        """
        _log.error("release failed", extra=log_fields(failed))
        unhealthy = isinstance(error, UnhealthyWorkloadError)
        current, previous = self._workloads.state(workload.name).current, failed.previous
        if current is not None and current.digest == failed.image.digest:
            failed = with_more(failed, "it is the current release, so it stays", restored=False)
            self._deployments.fail(failed)
        elif previous is None:
            failed = with_more(failed, self._clear(workload))
            self._deployments.fail(failed, quarantine=unhealthy)
        elif not workload.rollback:
            failed = with_more(failed, "it stays, since rollback is off for this workload")
            self._deployments.fail(failed, stays=True)
        else:
            refused = isinstance(error, ComposeError)
            again = refused and not self._refused_before(failed)
            if again:
                failed = replace(failed, status=Status.ERROR)  # no verdict on the image
            rollback = self._attempts.undo(failed, previous)
            self._deployments.fail(failed, quarantine=unhealthy, rollback=rollback)
            # If the same host now runs the former release, it was the new one's own fault.
            quarantine = refused and not again
            return self.bring_back(workload, failed, rollback, quarantine=quarantine)
        return failed

    def _refused_before(self, failed: Deployment) -> bool:
        since = self._clock.now() - _ROW
        return self._deployments.refused_before(failed, since)

    def bring_back(
        self,
        workload: Workload,
        failed: Deployment,
        rollback: Deployment,
        *,
        quarantine: bool = False,
    ) -> Deployment:
        """Make what `rollback` says the running release; `failed` with what came of it.

        Raises StartRefusedError, with all of that in the journal, when `failed` was refused for the
        first time and so is to be tried again.
        """
        failed = self._return(workload, failed, rollback, quarantine=quarantine)
        if failed.status is Status.ERROR and failed.code == ComposeError.code:
            raise StartRefusedError(failed.detail or "", restored=failed.restored is True)
        return failed

    def _return(
        self, workload: Workload, failed: Deployment, rollback: Deployment, *, quarantine: bool
    ) -> Deployment:
        stopwatch = self._attempts.stopwatch()
        try:
            state, now = self._workloads.state(workload.name), self._clock.now()
            wanted = workload.candidate(rollback.image, Action.ROLLBACK, failed.origin, state, now)
            release = self._admission.admit(workload, wanted, self._rollout.platform())
            rollback = replace(rollback, verdicts=release.verdicts)
            self._rollout.fetch(workload, release, stopwatch)
            self._rollout.switch(workload, release, stopwatch)
        except EngineUnavailableError:
            raise
        except LauncherError as error:
            rollback = self._attempts.failed(rollback, error, stopwatch)
            failed = with_more(failed, f"and the release before it: {error}", restored=False)
            self._deployments.rewrite(rollback, failed)
            _log.critical("rollback failed", extra=log_fields(rollback))
            return failed
        self._rollout.commit(workload, rollback.image, None)
        done = self._attempts.succeeded(rollback, stopwatch)
        failed = with_more(failed, f"{rollback.image.digest} is back and healthy", restored=True)
        self._deployments.succeed(done, instead_of=failed, quarantine=quarantine)
        _log.warning("rolled back", extra=log_fields(done))
        return failed

    def _clear(self, workload: Workload) -> str:
        """Remove what a first deployment left half-started; what there is to say of it."""
        try:
            self._rollout.clear(workload)
        except EngineUnavailableError:
            raise
        except EngineError as error:
            return f"it was the first deployment, and its containers cannot be removed: {error}"
        return "it was the first deployment: its containers were removed"
