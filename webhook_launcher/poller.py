"""The loop body that looks: a tag moved, or the workload drifted, and nobody said so."""

import heapq
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import LauncherError, NotRipeError, RegistryUnavailableError
from webhook_launcher.core.freshness import warnings
from webhook_launcher.core.model import (
    Action,
    Image,
    Intent,
    Origin,
    Status,
    Trust,
    Wish,
    WorkloadState,
)
from webhook_launcher.core.reference import Digest, Reference
from webhook_launcher.core.workload import Workload

T = TypeVar("T")

_log = logging.getLogger(__name__)
_LONGEST_BACK_OFF = 3600.0
_FIRST_BACK_OFF = 30.0
_SHORTEST_WAIT = 0.05
# Of what was asked for and came to nothing (a `before` hook fails, the registry denies it): the
# next look asks again, later ones more and more seldom, and at least this often.
_LONGEST_PATIENCE = 3600.0
# A thread cannot wait for ever (`every: off`), and this costs nothing.
_LONGEST_WAIT = 3600.0
# Seconds. A person's `docker compose up` has no container for a moment; what runs is looked at
# again before anything is restored.
_RESTORE_AFTER = 2.0
# Nothing hangs on it: every thread that has a registry looks on as long as something is due.
_TAKEN = 5.0


class Registry(Protocol):
    """Answers what a tag is now."""

    def head(self, reference: Reference) -> Digest:
        """Its digest; cheap, and not counted by Docker Hub."""


class Tracker(Protocol):
    """Answers what a workload follows."""

    def reference(self, workload: Workload) -> Reference | None:
        """The tracked reference."""


class Host(Protocol):
    """Answers what runs."""

    def runs(self, workload: Workload, image: Image) -> bool:
        """True when every service of the workload runs from this image."""


class States(Protocol):
    """What the journal knows."""

    def state(self, name: str) -> WorkloadState:
        """Of one workload."""

    def checked(
        self, name: str, result: str, now: datetime, found: Reference | None = None
    ) -> None:
        """Remember a look and, when it was answered, what is tracked now."""


class Intents(Protocol):
    """The queue."""

    def waiting(self, workload: str) -> list[Intent]:
        """Open intents of a workload."""

    def enqueue(
        self, wishes: list[Wish], now: datetime, not_before: datetime | None = None
    ) -> list[Intent]:
        """Add wishes."""


@dataclass(slots=True)
class _Wanted:
    """A digest that was asked for here, how often, and before when not again."""

    digest: Digest | None
    times: int = 0
    not_before: float = 0.0


class _Lane:
    """The workloads of one registry host, the next one due first. One thread at a time has it."""

    def __init__(self, workloads: Iterable[Workload]) -> None:
        self._workloads = list(workloads)
        self._due = [(0.0, number) for number in range(len(self._workloads))]

    @property
    def due(self) -> float:
        """When the next of its workloads is to be looked at, in monotonic seconds."""
        return self._due[0][0]

    def take(self, again: Callable[[Workload], float]) -> Workload:
        """The workload that is due; `again` says when it is the next time."""
        number = self._due[0][1]
        workload = self._workloads[number]
        heapq.heapreplace(self._due, (again(workload), number))
        return workload


class Poller:
    """Looks at every workload at start and then at its interval, jittered.

    Serves several threads: each takes the registry that has waited longest, looks at one workload
    of it and gives it back. So a registry is asked one thing at a time, one that does not answer
    holds up its own workloads and one thread, and a stop waits for one look.

    `wake` is called when an intent was added; `random` returns a number in [0, 1).
    """

    def __init__(
        self,
        workloads: Iterable[Workload],
        registry: Registry,
        tracker: Tracker,
        host: Host,
        states: States,
        intents: Intents,
        clock: Clock,
        wake: Callable[[], None],
        random: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._tracker = tracker
        self._host = host
        self._states = states
        self._intents = intents
        self._clock = clock
        self._wake = wake
        self._random = random
        by_host: dict[str, list[Workload]] = defaultdict(list)
        for workload in workloads:
            by_host[workload.repository.registry].append(workload)
        self._lanes = [_Lane(found) for found in by_host.values()]
        # By when they are due; who takes one out has it. The heap's functions are atomic.
        self._free = [(0.0, number) for number in range(len(self._lanes))]
        self._closed_until: dict[str, float] = {}  # registry host -> no look before
        self._failures: dict[str, int] = {}
        self._warned: set[str] = set()
        self._wanted: dict[str, _Wanted] = {}  # by workload

    def step(self) -> float:
        """Look at one workload, if any is due; the seconds until another is."""
        try:
            due, number = heapq.heappop(self._free)
        except IndexError:
            # None, or in the hands of other threads, which go on with them.
            return _TAKEN if self._lanes else _LONGEST_WAIT
        lane = self._lanes[number]
        try:
            wait = due - self._clock.monotonic()
            if wait > 0:
                return min(_LONGEST_WAIT, max(_SHORTEST_WAIT, wait))
            # Due again before it is looked at: a look that raises must not be repeated at once.
            workload = lane.take(self._next_look)
            self._look(workload)
            self._warn(workload)
        finally:
            heapq.heappush(self._free, (lane.due, number))
        return 0.0

    def _next_look(self, workload: Workload) -> float:
        return self._clock.monotonic() + self._interval(workload)

    def _warn(self, workload: Workload) -> None:
        """Say what is not fresh, once and not with every look."""
        found = warnings(workload, self._states.state(workload.name), self._clock.now())
        if found and workload.name not in self._warned:
            _log.warning("stale", extra={"workload": workload.name, "detail": "; ".join(found)})
            self._warned.add(workload.name)
        elif not found:
            self._warned.discard(workload.name)

    def _interval(self, workload: Workload) -> float:
        every = workload.poll.every
        if every is None:
            return math.inf  # `every: off` leaves the look at start
        return every * (1 + workload.poll.jitter * (2 * self._random() - 1))

    def _look(self, workload: Workload) -> None:
        """Ask for what nobody asked for yet; a deployment that goes on is looked at later.

        What waits may wait for long, such as for a registry or for the age of its image: what
        should run meanwhile is restored. A restoration alone may go on for long, when the current
        release is beyond repair: then the newer image that mends it must still be found. So may
        the wait for a minimum age, and a tag that moves meanwhile starts another one.
        """
        waiting = self._intents.waiting(workload.name)
        if any(
            i.status is Status.IN_PROGRESS and i.wish.action is not Action.RESTORE for i in waiting
        ):
            return
        state = self._states.state(workload.name)
        restoring = any(i.wish.action is Action.RESTORE for i in waiting)
        if not restoring and state.current is not None and self._drifted(workload, state.current):
            after = timedelta(seconds=_RESTORE_AFTER)
            self._ask(workload, Action.RESTORE, "the current release does not run", after)
        if any(i.wish.action is not Action.RESTORE and not _ripens(i) for i in waiting):
            return
        try:
            now = self._tracked_now(workload)
        except LauncherError as error:
            _log.warning(
                "look failed",
                extra={"workload": workload.name, "code": error.code, "detail": str(error)},
            )
            self._states.checked(workload.name, str(error), self._clock.now())
            if not waiting and state.current is None:
                # It may have run before the journal was lost: the engine's images know.
                self._ask(workload, Action.RESTORE, "nothing is known of it yet")
            return
        moved = now is not None and self._is_news(workload, now, state)
        if now is None or not moved or _awaited(now, waiting, state):
            self._wanted.pop(workload.name, None)
            self._states.checked(workload.name, "nothing moved", self._clock.now(), now)
        elif self._is_time_for(workload, now.digest):
            self._ask(workload, Action.CHECK, "the tracked reference moved")

    def _is_time_for(self, workload: Workload, digest: Digest | None) -> bool:
        """False while a digest is left alone that was asked for before and came to nothing."""
        wanted = self._wanted.get(workload.name)
        if wanted is None or wanted.digest != digest:
            wanted = self._wanted[workload.name] = _Wanted(digest)
        now = self._clock.monotonic()
        if now < wanted.not_before:
            return False
        every = workload.poll.every or _LONGEST_PATIENCE
        # 0, 1, 3, 7, … looks are left out before the next one; the half allows for jitter.
        wait = every * (2 ** min(wanted.times, 16) - 0.5)
        wanted.not_before = now + min(_LONGEST_PATIENCE, wait)
        wanted.times += 1
        return True

    def _drifted(self, workload: Workload, current: Image) -> bool:
        try:
            return not self._host.runs(workload, current)
        except LauncherError as error:
            _log.warning(
                "look at the engine failed",
                extra={"workload": workload.name, "code": error.code, "detail": str(error)},
            )
            return False

    @staticmethod
    def _is_news(workload: Workload, now: Reference, state: WorkloadState) -> bool:
        """Of a series, an older tag than the one that runs is none: the newer one was deleted."""
        if now.digest in (state.tracked, state.seen):
            return False
        return state.current is None or not workload.newer(state.current.reference, now)

    def _tracked_now(self, workload: Workload) -> Reference | None:
        """The tracked reference, with its digest; None for `track: none`."""
        host = workload.repository.registry
        if workload.track.series is not None:
            reference = self._asked(host, lambda: self._tracker.reference(workload))
        else:
            reference = self._tracker.reference(workload)
        if reference is None:
            return None

        def digest_of(one: Reference) -> Digest:
            return one.digest or self._asked(host, partial(self._registry.head, one))

        return reference.at(workload.identity(reference, digest_of))

    def _asked(self, host: str, question: Callable[[], T]) -> T:
        """What a registry answers, unless it is left alone for now."""
        left = self._closed_until.get(host, 0.0) - self._clock.monotonic()
        if left > 0:
            raise RegistryUnavailableError(
                f"{host} limited us or was down, and is not asked again for {left:.0f} s"
            )
        try:
            answer = question()
        except RegistryUnavailableError as error:
            self._back_off(host, error.retry_after or 0.0)
            raise
        self._failures.pop(host, None)
        return answer

    def _back_off(self, host: str, asked: float) -> None:
        """One registry that limits or is down is left alone by all its workloads."""
        failures = self._failures[host] = self._failures.get(host, 0) + 1
        wait = max(asked, min(_LONGEST_BACK_OFF, _FIRST_BACK_OFF * 2 ** min(failures - 1, 10)))
        self._closed_until[host] = self._clock.monotonic() + wait

    def _ask(
        self, workload: Workload, action: Action, reason: str, after: timedelta = timedelta()
    ) -> None:
        origin = Origin(Trust.POLL, "poll", reason=reason)
        wish = Wish(workload.name, action, origin, hint=True)
        now = self._clock.now()
        self._intents.enqueue([wish], now, now + after if after else None)
        _log.info("poll", extra={"workload": workload.name, "reason": reason})
        self._wake()


def _ripens(intent: Intent) -> bool:
    """True for a look that waits until its image is old enough."""
    return intent.code == NotRipeError.code and intent.wish.action is Action.CHECK


def _awaited(now: Reference, waiting: list[Intent], state: WorkloadState) -> bool:
    """True when a look waits already for just this image to be old enough."""
    wanted = state.wanted.digest if state.wanted else None
    return now.digest == wanted and any(map(_ripens, waiting))
