"""The loop body that works: claim one intent, launch it, settle it."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import EngineUnavailableError, LauncherError
from webhook_launcher.core.model import Action, Deployment, Intent, Origin, Status, Trust, Wish
from webhook_launcher.core.workload import Workload
from webhook_launcher.launcher import Launcher, Outcome

_log = logging.getLogger(__name__)
_IDLE = 60.0
_FIRST_RETRY = 1.0
_LONGEST_RETRY = 300.0
# 1 s doubling to 5 min: about an hour and a quarter of an outage, then the poll takes over.
_MAX_ATTEMPTS = 20
_RESTORE_AFTER = 15.0


class Intents(Protocol):
    """The queue. Every method has committed when it returns."""

    def claim(self, now: datetime) -> Intent | None:
        """Lease one."""

    def settle(
        self,
        intent: Intent,
        status: Status,
        *,
        code: str | None = None,
        detail: str | None = None,
        deployment: str | None = None,
    ) -> None:
        """Record its outcome."""

    def postpone(self, intent: Intent, until: datetime, *, code: str, detail: str) -> None:
        """Give it back for later."""

    def enqueue(
        self, wishes: list[Wish], now: datetime, not_before: datetime | None = None
    ) -> list[Intent]:
        """Add wishes."""

    def next_due(self) -> datetime | None:
        """When the next postponed one is due."""


class Attempts(Protocol):
    """The deployments that an interruption left open."""

    def interrupted(self) -> list[Deployment]:
        """Oldest first."""


class Worker:
    """Claims, launches and settles. Retry is decided here and nowhere else."""

    def __init__(
        self,
        intents: Intents,
        attempts: Attempts,
        launcher: Launcher,
        workloads: Mapping[str, Workload],
        clock: Clock,
    ) -> None:
        self._intents = intents
        self._attempts = attempts
        self._launcher = launcher
        self._workloads = workloads
        self._clock = clock

    def step(self) -> float:
        """Work on one intent; the seconds until there may be another."""
        now = self._clock.now()
        intent = self._intents.claim(now)
        if intent is None:
            due = self._intents.next_due()
            return min(_IDLE, max(0.05, (due - now).total_seconds())) if due else _IDLE
        _log.info("claimed", extra=_fields(intent))
        try:
            outcome = self._work(self._workloads[intent.workload], intent)
        except LauncherError as error:
            self._not_now(intent, error)
        except Exception as error:
            # A fault of ours: the intent must not stay claimed, or its project would be stuck.
            _log.exception("fault", extra=_fields(intent))
            self._settle(intent, Outcome(Status.ERROR, f"a fault: {error}", code="fault"))
        else:
            self._settle(intent, outcome)
        return 0.0

    def _work(self, workload: Workload, intent: Intent) -> Outcome:
        """First finish what an interruption left open, then launch the intent."""
        for attempt in self._attempts.interrupted():
            if attempt.workload != workload.name:
                continue
            outcome = self._launcher.recover(workload, attempt)
            if attempt.intent == intent.id and attempt.switching:
                return outcome
        return self._launcher.launch(workload, intent)

    def _settle(self, intent: Intent, outcome: Outcome) -> None:
        self._intents.settle(
            intent,
            outcome.status,
            code=outcome.code,
            detail=outcome.detail,
            deployment=outcome.deployment,
        )
        _log.info(
            "settled",
            extra={**_fields(intent), "status": outcome.status.value, "detail": outcome.detail},
        )
        if outcome.degraded:
            self._try_again(intent)

    def _try_again(self, intent: Intent) -> None:
        """Nothing is healthy: bring the current release back, later and later."""
        now = self._clock.now()
        origin = Origin(Trust.POLL, "launcher", reason="no release is healthy")
        tries = intent.attempts if intent.wish.action is Action.RESTORE else 0
        wait = min(_LONGEST_RETRY, _RESTORE_AFTER * 2**tries)
        wish = Wish(intent.workload, Action.RESTORE, origin)
        self._intents.enqueue([wish], now, now + timedelta(seconds=wait))

    def _not_now(self, intent: Intent, error: LauncherError) -> None:
        unlimited = isinstance(error, EngineUnavailableError)
        if error.retryable and (unlimited or intent.attempts < _MAX_ATTEMPTS):
            wait = _FIRST_RETRY * 2 ** min(intent.attempts - 1, 16)
            asked = getattr(error, "retry_after", None) or 0.0
            wait = min(_LONGEST_RETRY, max(wait, asked))
            until = self._clock.now() + timedelta(seconds=wait)
            self._intents.postpone(intent, until, code=error.code, detail=str(error))
            _log.warning(
                "postponed",
                extra={**_fields(intent), "code": error.code, "detail": str(error), "wait": wait},
            )
            return
        detail = f"{error} {error.advice()}"
        self._settle(intent, Outcome(Status.ERROR, detail, code=error.code))


def _fields(intent: Intent) -> dict[str, object]:
    """What every log line about an intent carries."""
    origin = intent.wish.origin
    return {
        "intent": intent.id,
        "workload": intent.workload,
        "action": intent.wish.action.value,
        "trust": origin.trust.value,
        "source": origin.source,
        "delivery": origin.delivery,
        "attempt": intent.attempts,
    }
