"""The loop body that works: claim one intent, launch it, settle it."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from webhook_launcher.attempt import Outcome
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    EngineUnavailableError,
    JournalError,
    LauncherError,
    NotJudgedError,
    NotRipeError,
    RegistryUnavailableError,
    StartRefusedError,
)
from webhook_launcher.core.model import LONGEST_WAIT, Action, Intent, Origin, Status, Trust, Wish
from webhook_launcher.core.workload import Workload

_log = logging.getLogger(__name__)
# Seconds until another look when nobody wakes us: what one worker postpones, another may take.
_IDLE = 5.0
_SHORTEST_WAIT = 0.05
_FIRST_RETRY = 1.0
_RESTORE_AFTER = 15.0
# What stood in the way of a start for a moment is gone; an exchange of containers costs an outage.
_REFUSED_AFTER = 10.0


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

    def next_due(self, now: datetime) -> datetime | None:
        """When the next postponed one is due."""


class Launcher(Protocol):
    """Launches an intent."""

    def launch(self, workload: Workload, intent: Intent) -> Outcome:
        """How it ended. Raises LauncherError when it could not be tried."""


class Worker:
    """Claims, launches and settles; serves several threads. Retry is decided here, nowhere else.

    `call` is called with every intent that is claimed: another thread may find another one.
    """

    def __init__(
        self,
        intents: Intents,
        launcher: Launcher,
        workloads: Mapping[str, Workload],
        clock: Clock,
        call: Callable[[], None] = lambda: None,
    ) -> None:
        self._intents = intents
        self._launcher = launcher
        self._workloads = workloads
        self._clock = clock
        self._call = call
        self._unsettled: deque[Intent] = deque()  # claimed by us, when the journal failed

    @property
    def unsettled(self) -> tuple[Intent, ...]:
        """What a worker that was stopped leaves claimed, for whoever comes after it."""
        return tuple(self._unsettled)

    def step(self) -> float:
        """Work on one intent; the seconds until there may be another.

        Raises JournalError when the journal cannot be used; the intent is kept, and worked on
        again by the next step: what it had come to is in the journal or not done.
        """
        now = self._clock.now()
        intent = self._unsettled.popleft() if self._unsettled else self._intents.claim(now)
        if intent is None:
            due = self._intents.next_due(now)
            wait = (due - now).total_seconds() if due else _IDLE
            return min(_IDLE, max(_SHORTEST_WAIT, wait))
        self._call()
        _log.info("claimed", extra=_fields(intent))
        try:
            self._work(intent)
        except JournalError:
            self._unsettled.append(intent)
            raise
        return 0.0

    def _work(self, intent: Intent) -> None:
        try:
            outcome = self._launcher.launch(self._workloads[intent.workload], intent)
        except JournalError:
            raise
        except LauncherError as error:
            self._not_now(intent, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave a project stuck
            _log.exception("fault", extra=_fields(intent))
            detail = f"a fault of the launcher: {error!r}"
            # What it left open or half-done is mended by the restoration that follows.
            self._settle(intent, Outcome(Status.ERROR, detail, code="fault", degraded=True))
        else:
            self._settle(intent, outcome)

    def _settle(self, intent: Intent, outcome: Outcome) -> None:
        if outcome.degraded and intent.wish.action is Action.RESTORE:
            self._postpone(
                intent,
                _RESTORE_AFTER * 2 ** min(intent.attempts, 16),
                code=outcome.code or "degraded",
                detail=outcome.detail,
            )
            return
        if outcome.degraded:
            self._restore_later(intent)
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

    def _restore_later(self, intent: Intent) -> None:
        """Nothing is healthy: bring the current release back, and later again if that fails."""
        now = self._clock.now()
        origin = Origin(Trust.POLL, "launcher", reason="no release is healthy")
        wish = Wish(intent.workload, Action.RESTORE, origin)
        self._intents.enqueue([wish], now, now + timedelta(seconds=_RESTORE_AFTER))

    def _not_now(self, intent: Intent, error: LauncherError) -> None:
        if isinstance(error, NotRipeError):
            self._postpone_until(intent, error.until, code=error.code, detail=str(error))
            return
        if isinstance(error, StartRefusedError | NotJudgedError) and error.restored is False:
            self._restore_later(intent)
        unlimited = isinstance(error, EngineUnavailableError) or (
            intent.wish.action is Action.RESTORE
        )
        tries = getattr(error, "tries", None) or intent.attempts
        if error.retryable and (unlimited or tries < error.max_attempts):
            wait = _FIRST_RETRY * 2 ** min(tries - 1, 16)
            if isinstance(error, RegistryUnavailableError):
                wait = max(wait, error.retry_after or 0.0)
            elif isinstance(error, StartRefusedError):
                wait = max(wait, _REFUSED_AFTER)
            elif isinstance(error, NotJudgedError):
                wait *= _REFUSED_AFTER
            self._postpone(intent, wait, code=error.code, detail=str(error))
            return
        detail = f"{error}. {error.advice()}"
        self._settle(intent, Outcome(Status.ERROR, detail, code=error.code))

    def _postpone(self, intent: Intent, wait: float, *, code: str, detail: str) -> None:
        until = self._clock.now() + min(LONGEST_WAIT, timedelta(seconds=wait))
        self._postpone_until(intent, until, code=code, detail=detail)

    def _postpone_until(self, intent: Intent, until: datetime, *, code: str, detail: str) -> None:
        self._intents.postpone(intent, until, code=code, detail=detail)
        _log.warning(
            "postponed",
            extra={**_fields(intent), "code": code, "detail": detail, "until": until.isoformat()},
        )


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
