"""Supersession: end the gate of a release when a newer intent leads to another image.

The gate can wait for minutes. A newer push or an operator's order must not wait behind an obsolete
release; a second event about the same push must not end its gate.
"""

from collections.abc import Callable
from dataclasses import replace

from webhook_launcher.admission import Admission
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.decision import is_news
from webhook_launcher.core.errors import (
    EngineUnavailableError,
    JournalError,
    LauncherError,
    SupersededError,
)
from webhook_launcher.core.model import Action, Deployment, Intent, Status, Trust
from webhook_launcher.core.workload import Workload
from webhook_launcher.records import Intents, Workloads
from webhook_launcher.resolver import Resolver
from webhook_launcher.rollout import Rollout

# Seconds between two looks at the queue.
_EVERY = 0.5
# Seconds until a look is resolved once more; doubled each time. The registry may show the push
# that an event announces a moment later.
_FIRST_AGAIN = 1.0
_LONGEST_AGAIN = 60.0


class Newer:
    """Finds the intent that supersedes the running attempt."""

    def __init__(
        self,
        intents: Intents,
        workloads: Workloads,
        resolver: Resolver,
        admission: Admission,
        rollout: Rollout,
        clock: Clock,
    ) -> None:
        self._intents = intents
        self._workloads = workloads
        self._resolver = resolver
        self._admission = admission
        self._rollout = rollout
        self._clock = clock

    def watch(self, workload: Workload, attempt: Deployment, intent: Intent) -> Callable[[], None]:
        """Return a callback for the gate of `attempt`; `intent` is the claimed intent.

        The callback raises SupersededError as soon as a newer intent leads to another image.
        """
        return _Watch(self, workload, attempt, intent, self._clock)

    def find(self, workload: Workload, attempt: Deployment, intent: Intent) -> list[Intent]:
        """Return the newer intents that could be given out now and may replace the attempt's."""
        try:
            waiting = self._intents.waiting(workload.name)
            paused = self._workloads.state(workload.name).paused
        except JournalError:
            return []  # the attempt goes on, and its next commit meets the same fault
        ids = [found.id for found in waiting]
        after = ids.index(attempt.intent) + 1 if attempt.intent in ids else 0
        own = waiting[after - 1] if after else intent
        return [
            newer
            for newer in waiting[after:]
            if (newer.id == intent.id or self._may_be_claimed(newer, paused=paused))
            and newer.wish.action is not Action.RESTORE
            and (own.wish.action is Action.RESTORE or newer.wish.replaces(own.wish))
        ]

    def _may_be_claimed(self, newer: Intent, *, paused: bool) -> bool:
        if newer.status is not Status.QUEUED:
            return False
        due = newer.not_before is None or newer.not_before <= self._clock.now()
        return due and (not paused or newer.wish.origin.trust is Trust.OPERATOR)

    def differs(self, workload: Workload, attempt: Deployment, newer: Intent) -> bool:
        """Return True when the newer intent is known to lead to another image."""
        wish = newer.wish
        if wish.action is Action.ROLLBACK:
            return not attempt.rollback
        if wish.action is Action.DEPLOY and wish.reference is not None and wish.reference.digest:
            names = {name for one in attempt.image.each for name in one.names}
            if wish.reference.digest in names:
                return False
        now = self._resolver.digest_now(workload, wish, attempt.image.reference)
        if now is None or now == attempt.image.digest:
            return False
        try:
            return self._leads_to(workload, attempt, newer)
        except EngineUnavailableError:
            raise
        except LauncherError:
            return False  # absent, refused or too young: its image would not run

    def _leads_to(self, workload: Workload, attempt: Deployment, newer: Intent) -> bool:
        """Return True when another image would be admitted now.

        Raises what resolving and admitting raise.
        """
        wish, now = newer.wish, self._clock.now()
        state, platform = self._workloads.state(workload.name), self._rollout.platform()
        # As if tried before: the gate must not stand still for a registry that lags.
        asked = replace(newer, attempts=2)
        image = self._resolver.resolve(workload, asked, state, platform).image
        if image.digest == attempt.image.digest:
            return False
        if state.current is not None and image.digest == state.current.digest:
            return True  # a tag that was moved back; the return brings it
        if not is_news(wish, image, state):
            return False
        candidate = workload.candidate(image, wish.action, wish.origin, state, now)
        self._admission.admit(workload, candidate, platform)
        return True


class _Watch:
    """The callback of one gate. Each newer intent is resolved at growing intervals."""

    def __init__(
        self, newer: Newer, workload: Workload, attempt: Deployment, intent: Intent, clock: Clock
    ) -> None:
        self._newer = newer
        self._workload = workload
        self._attempt = attempt
        self._intent = intent
        self._clock = clock
        self._due = clock.monotonic() + _EVERY
        self._again: dict[str, tuple[float, float]] = {}  # intent id -> due, pause after it

    def __call__(self) -> None:
        """Raise SupersededError when a newer intent asks for another image."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + _EVERY
        for newer in self._newer.find(self._workload, self._attempt, self._intent):
            due, pause = self._again.get(newer.id, (now, _FIRST_AGAIN))
            if now < due:
                continue
            if self._newer.differs(self._workload, self._attempt, newer):
                what = newer.wish.action.value
                raise SupersededError(
                    f"a newer {what} came while its health was waited for", newer=newer.id
                )
            self._again[newer.id] = (now + pause, min(_LONGEST_AGAIN, pause * 2))
