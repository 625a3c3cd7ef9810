"""What `doctor` looks at: everything outside that a deployment will need, each with the fix.

It asks what the launcher would ask, by the same adapters, and changes nothing. It opens no journal,
so it may run beside a launcher.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    EngineUnavailableError,
    LauncherError,
    RegistryUnavailableError,
)
from webhook_launcher.core.keyless import KeylessIdentity, TrustDates
from webhook_launcher.core.policy import questions
from webhook_launcher.core.reference import Reference, Repository
from webhook_launcher.core.workload import ComposeProject, Workload

# A deploy event is refused beyond its source's `tolerance`, by default 5 minutes.
_CLOCK_FAILS = 300.0
# Registries give whole seconds, and an answer takes a moment.
_CLOCK_WARNS = 30.0
# The gate compares when containers started with when a deployment began.
_ENGINE_CLOCK_WARNS = 2.0
# Journal, overrides and one compose document; SQLite needs room for a checkpoint.
_SPACE_FAILS = 64 * 1024**2
_SPACE_WARNS = 512 * 1024**2
_REACH = "Check its address in `image`, and that this host, or this container, can reach it."
# A delivery is answered after one synced commit, and senders wait for 1 to 10 seconds.
_SYNC_WARNS = 0.25
# The public Sigstore replaces its keys every year or two; what is signed by the next is unknown.
_TRUST_WARNS = timedelta(days=540)


class Outcome(StrEnum):
    """How serious it is: a failure stops deployments or deliveries, a warning costs time."""

    GOOD = "good"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer: what was looked at, what was found, what to do."""

    check: str
    outcome: Outcome
    detail: str
    advice: str | None = None


class Engine(Protocol):
    """The Docker Engine."""

    def versions(self) -> Mapping[str, str]:
        """Its own, its API's, its store; EngineError when it is too old."""

    def now(self) -> datetime | None:
        """Its clock; None where it does not tell."""

    def deaf_containers(self, project: str, services: Sequence[str]) -> Sequence[str]:
        """Names of running containers that do not react to their stop signal."""


class Compose(Protocol):
    """Docker Compose."""

    def version(self) -> str:
        """Its version; ComposeError when it is absent or too old."""

    def services(self, project: ComposeProject, repository: Repository) -> tuple[str, ...]:
        """The services that run the workload's image; ComposeError when there are none."""


class Registry(Protocol):
    """Answers what a tag is now."""

    def head(self, reference: Reference) -> object:
        """Its digest."""

    def date(self, reference: Reference) -> datetime | None:
        """The registry's clock; None where it does not tell."""


class Tracker(Protocol):
    """Answers what a workload follows."""

    def reference(self, workload: Workload) -> Reference | None:
        """The tracked reference."""


class Placement(Protocol):
    """Knows where project directories are for the engine."""

    def look(self) -> Sequence[str]:
        """Relative bind mounts that would go astray, each with the fix."""


class Keyless(Protocol):
    """Verifies keyless signatures."""

    def trust_dates(self, trusted_root: bytes | None, now: datetime) -> TrustDates:
        """How old its keys are; ConfigurationError when they cannot be used."""


class State(Protocol):
    """The state directory, tried out."""

    @property
    def owner(self) -> int:
        """Its user id."""

    @property
    def ours(self) -> bool:
        """Whether that is who asks."""

    @property
    def free(self) -> int:
        """Bytes that we may still write."""

    @property
    def sync_seconds(self) -> float:
        """How long one small write takes until it is on the disk."""

    @property
    def remote(self) -> str | None:
        """The kind of its file system, if that is of another machine."""


class Checkup:
    """All that `doctor` looks at. `state` tries the directory out, or raises JournalError."""

    def __init__(
        self,
        workloads: Iterable[Workload],
        engine: Engine,
        compose: Compose,
        registry: Registry,
        tracker: Tracker,
        placement: Placement,
        keyless: Keyless,
        state: Callable[[], State],
        clock: Clock,
    ) -> None:
        self._workloads = list(workloads)
        self._engine = engine
        self._compose = compose
        self._registry = registry
        self._tracker = tracker
        self._placement = placement
        self._keyless = keyless
        self._state = state
        self._clock = clock
        self._dates: list[float] = []

    def findings(self) -> Iterator[Finding]:
        """One after the other, as they are found."""
        engine = self._of_engine()
        yield engine
        reachable = engine.outcome is not Outcome.FAILED
        yield self._of_compose()
        for workload in self._workloads:
            yield self._of_workload(workload, reachable=reachable)
        if reachable:
            yield from self._of_mounts()
        yield from self._of_registries()
        yield from self._of_trusted_roots()
        yield self._of_clock(reachable=reachable)
        yield self._of_state()

    def _of_engine(self) -> Finding:
        try:
            found = self._engine.versions()
        except LauncherError as error:
            return _failed("engine", error)
        return _good(
            "engine",
            f"Docker Engine {found['engine']}, API {found['api']}, store {found['store']}, "
            f"{found['os']}",
        )

    def _of_compose(self) -> Finding:
        try:
            return _good("compose", f"Docker Compose {self._compose.version()}")
        except LauncherError as error:
            return _failed("compose", error)

    def _of_workload(self, workload: Workload, *, reachable: bool) -> Finding:
        """Its compose project, and how its containers stop."""
        check, project = f"workload {workload.name}", workload.project
        try:
            found = [self._compose.services(project, one) for one in workload.repositories]
            services = [service for part in found for service in part]
            deaf = self._engine.deaf_containers(project.name, services) if reachable else ()
        except LauncherError as error:
            return _failed(check, error)
        named = f"project {project.name}, services {', '.join(services)}"
        if not deaf:
            return _good(check, named)
        return Finding(
            check,
            Outcome.WARNING,
            f"{', '.join(deaf)} will not hear the stop signal: every replacement waits for the "
            "whole stop grace period (10 s by default), then kills",
            f"Set `init: true` for {', '.join(services)} in the compose file, or the `stop_signal` "
            "that the program obeys.",
        )

    def _of_mounts(self) -> Iterator[Finding]:
        try:
            problems = self._placement.look()
        except EngineUnavailableError:
            return  # went away since it was asked
        except LauncherError as error:
            yield _failed("mounts", error)
            return
        for problem in problems:
            yield Finding("mounts", Outcome.FAILED, problem)
        if not problems:
            yield _good("mounts", "the engine finds every project where the launcher does")

    def _of_registries(self) -> Iterator[Finding]:
        by_host: dict[str, list[Workload]] = defaultdict(list)
        for workload in self._workloads:
            for host in {one.registry: None for one in workload.repositories}:
                by_host[host].append(workload)
        for host, workloads in by_host.items():
            yield from self._of_registry(host, workloads)

    def _of_registry(self, host: str, workloads: Sequence[Workload]) -> Iterator[Finding]:
        """One finding for what is well, and one for each workload that is not."""
        check, answered = f"registry {host}", []
        for workload in workloads:
            try:
                if (reference := self._tracker.reference(workload)) is None:
                    continue  # follows nothing: only a deploy event says what to ask for
                for one in workload.members(reference):
                    if one.repository.registry == host:
                        self._registry.head(one)
                answered.append(workload.name)
                if len(answered) == 1:
                    self._note_date(reference)
            except LauncherError as error:
                away = isinstance(error, RegistryUnavailableError)
                own_advice = error.advice() != error.default_advice
                advice = error.advice() if own_advice or not away else _REACH
                yield Finding(check, Outcome.FAILED, f"{workload.name}: {error}", advice)
                if away:
                    return  # nor will it answer for the others
        if answered:
            yield _good(check, f"answers for {', '.join(answered)}")

    def _note_date(self, reference: Reference) -> None:
        said = self._registry.date(reference)
        if said is not None:
            self._dates.append((self._clock.now() - said).total_seconds())

    def _of_trusted_roots(self) -> Iterator[Finding]:
        """Of each that a policy verifies keyless signatures with, once; they age."""
        by_root: dict[bytes | None, list[str]] = defaultdict(list)
        for workload in self._workloads:
            asked = questions(workload.policies)
            for root in {one.trusted_root for one in asked if isinstance(one, KeylessIdentity)}:
                by_root[root].append(workload.name)
        for root, names in by_root.items():
            yield self._of_trusted_root(root, ", ".join(names))

    def _of_trusted_root(self, root: bytes | None, workloads: str) -> Finding:
        check, now = f"attested_by {workloads}", self._clock.now()
        try:
            dates = self._keyless.trust_dates(root, now)
        except LauncherError as error:
            return _failed(check, error)
        whose = "sigstore-python's own" if root is None else "the given"
        detail = f"{whose} trusted root, its newest key of {dates.newest:%Y-%m-%d}"
        if root is None:
            advice = "Update sigstore-python, or give a newer `trusted_root`."
        else:
            advice = "Give a newer `trusted_root`."
        if dates.ended:
            ended = f"{detail}: every {' and every '.join(dates.ended)} in it has ended"
            return Finding(check, Outcome.FAILED, ended, advice)
        if now - dates.newest > _TRUST_WARNS:
            old = f"{detail}: what newer keys signed is refused"
            return Finding(check, Outcome.WARNING, old, advice)
        return _good(check, detail)

    def _of_clock(self, *, reachable: bool) -> Finding:
        """Ours against the engine's and the registries', of which the nearest counts."""
        off = min(self._dates, key=abs, default=0.0)
        if abs(off) > _CLOCK_WARNS:
            return Finding(
                "clock",
                Outcome.FAILED if abs(off) >= _CLOCK_FAILS else Outcome.WARNING,
                f"this clock is {_ahead(off)} of the registries'; signed events are refused "
                "beyond their source's tolerance",
                "Synchronise the clock of this host (NTP).",
            )
        try:
            theirs = self._engine.now() if reachable else None
        except LauncherError:
            theirs = None
        off = (self._clock.now() - theirs).total_seconds() if theirs else 0.0
        if abs(off) > _ENGINE_CLOCK_WARNS:
            return Finding(
                "clock",
                Outcome.WARNING,
                f"this clock is {_ahead(off)} of the engine's; which restarts a deployment caused "
                "is judged by both",
                "Synchronise the clocks of both hosts (NTP).",
            )
        against = [name for name, found in (("engine", theirs), ("registry", self._dates)) if found]
        agrees = f"agrees with {' and '.join(against)}" if against else "nobody to compare with"
        return _good("clock", agrees)

    def _of_state(self) -> Finding:
        try:
            state = self._state()
        except LauncherError as error:
            return _failed("state", error)
        free = f"{state.free // 1024**2} MiB free, a synced write takes {state.sync_seconds:.3f} s"
        if not state.ours:
            advice = "Run doctor as the user who runs the launcher."
            owner = f"belongs to user id {state.owner}, who is not asking; {free}"
            return Finding("state", Outcome.WARNING, owner, advice)
        if state.free < _SPACE_WARNS:
            outcome = Outcome.FAILED if state.free < _SPACE_FAILS else Outcome.WARNING
            return Finding("state", outcome, free, "Free space on the disk of `state`.")
        if state.remote is not None:
            where = f"lies on {state.remote}: SQLite's locks and syncs cannot be relied on there"
            return Finding("state", Outcome.WARNING, where, "Put `state` on a local disk.")
        if state.sync_seconds > _SYNC_WARNS:
            slow = "Put `state` on a faster disk: every delivery waits for one synced write."
            return Finding("state", Outcome.WARNING, free, slow)
        return _good("state", free)


def _good(check: str, detail: str) -> Finding:
    return Finding(check, Outcome.GOOD, detail)


def _failed(check: str, error: LauncherError) -> Finding:
    return Finding(check, Outcome.FAILED, str(error), error.advice())


def _ahead(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"
