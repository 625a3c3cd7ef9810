"""The gate: a release is accepted when its containers are healthy and are the admitted image.

Compose's own `--wait` is not used: it polls every 500 ms, the engine's first probe comes only
after a full interval, and without a healthcheck it reports success for a crash after 2 s. Here:

- with a healthcheck, the container's own command is run (`probing`) until it succeeds once on
  every replica, and goes on succeeding for `settle` seconds if that is configured; the engine's
  own "healthy" is accepted;
- without one, every container must stay up, not restarted, for `settle` seconds (default 5);
- a job (`core.container.Jobs`) that exited with status 0 has passed;
- a container that exited, is restarting, or that the engine calls unhealthy fails at once; an
  explicit `health.timeout` outranks the engine's "unhealthy";
- at the deadline, a container that is not healthy has failed, `starting` included.

Then the gate proves that the containers run the image, by the engine's image ids: names and labels
are strings and prove nothing.

A failure is a verdict on the image unless another actor caused it (`disturbed`) or the engine had
not come to its own verdict (`inconclusive`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.container import Container, Jobs
from webhook_launcher.core.deadline import is_capped, patience, settle_time
from webhook_launcher.core.errors import EngineError, EngineUnavailableError, UnhealthyWorkloadError
from webhook_launcher.core.model import Image
from webhook_launcher.core.proof import prove
from webhook_launcher.core.workload import HealthSettings
from webhook_launcher.probing import Engine as ProbeEngine
from webhook_launcher.probing import Probing

_POLL = 0.05
# 128 + SIGKILL, 128 + SIGTERM: another process ended it.
_SIGNALLED = frozenset({137, 143})
# `removing` appears when a person removes the container meanwhile.
_FATAL = frozenset({"exited", "dead", "restarting", "removing"})


class Engine(ProbeEngine, Protocol):
    """What the gate asks the engine."""

    def containers(self, project: str, services: Sequence[str]) -> Sequence[Container]:
        """The containers of these services, stopped ones included."""

    def logs(self, container_id: str) -> str:
        """The end of the container's log, bounded."""

    def was_stopped(self, container_id: str) -> bool:
        """True when the engine stopped it, on somebody's order or because it is going itself."""


@dataclass(slots=True)
class _Watched:
    """What has been seen of one container."""

    started_at: datetime | None
    restarts: int
    probing: Probing
    well_since: float | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """What one call of the gate waits for."""

    project: str
    services: Sequence[str]
    image: Image
    health: HealthSettings
    since: datetime
    jobs: Jobs
    made: Collection[str] | None

    def is_foreign(self, container: Container) -> bool:
        """Return True for another image's container that `up` did not leave here."""
        if self.made is None or container.id in self.made:
            return False
        return container.image not in self.image.ids


def _heed_nothing() -> None:
    return


class Gate:
    """Waits for health and proves the image."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def wait(
        self,
        project_name: str,
        services: Sequence[str],
        image: Image,
        health: HealthSettings,
        since: datetime,
        *,
        jobs: Jobs = Jobs(),  # noqa: B008 - a frozen value
        made: Collection[str] | None = None,
        heed: Callable[[], None] = _heed_nothing,
    ) -> list[Container]:
        """Return the containers once every one is healthy and is that image.

        Args:
            project_name: The compose project.
            services: The services that must have containers.
            image: The admitted image.
            health: The workload's settings.
            since: When the deployment began to touch containers, on the engine's clock as nearly
                as the launcher knows it.
            jobs: The services that complete.
            made: The ids of the containers that `up` left; None when they are not known.
            heed: Called between two looks; an error that it raises ends the wait.

        Raises:
            UnhealthyWorkloadError: With states, probe output and logs.
        """
        task = _Task(project_name, services, image, health, since, jobs, made)
        watched: dict[str, _Watched] = {}
        try:
            return self._wait(task, watched, heed)
        finally:
            self._end_probes(watched)

    def _wait(
        self, task: _Task, watched: dict[str, _Watched], heed: Callable[[], None]
    ) -> list[Container]:
        start = self._clock.monotonic()
        while True:
            found = self._look(task, watched)
            limit = max((patience(container, task.health) for container in found), default=0.0)
            left = start + limit - self._clock.monotonic()
            waiting = [c for c in found if not self._is_well(c, watched[c.id], task, left)]
            if not waiting:
                prove(found, task.image, task.since, task.jobs)
                return found
            if self._clock.monotonic() >= start + limit:
                raise self._too_late(waiting, limit, found, watched, task)
            heed()
            self._clock.sleep(_POLL)

    def _too_late(
        self,
        waiting: Sequence[Container],
        limit: float,
        found: Sequence[Container],
        watched: dict[str, _Watched],
        task: _Task,
    ) -> UnhealthyWorkloadError:
        said = _last_word(waiting[0], watched[waiting[0].id])
        happened = f"{waiting[0].name} is not healthy after {limit:g} s: {said}"
        failure = self._failure(happened, found, watched)
        failure.inconclusive = any(
            is_capped(container, task.health)
            or not watched[container.id].probing.allowed
            or container.status == "paused"  # nothing but a person does that
            for container in waiting
        )
        return failure

    def _look(self, task: _Task, watched: dict[str, _Watched]) -> list[Container]:
        """Return the containers now; raise where waiting cannot help."""
        found = list(self._engine.containers(task.project, task.services))
        if absent := sorted({*task.services} - {container.service for container in found}):
            raise UnhealthyWorkloadError(
                f"service {', '.join(absent)} has no container", disturbed=True
            )
        for container in found:
            if task.is_foreign(container):
                raise UnhealthyWorkloadError(
                    f"{container.name} was replaced by another actor and runs {container.image}",
                    disturbed=True,
                )
            self._refuse_dead(container, watched, found, task)
        return found

    def _refuse_dead(
        self,
        container: Container,
        watched: dict[str, _Watched],
        found: Sequence[Container],
        task: _Task,
    ) -> None:
        """Raise for a container that exited, restarts, or that the engine calls unhealthy."""
        # A restart before the first look counts too, a restart from before the deployment does not.
        # The engine's count begins at 0 whenever a person starts the container.
        fresh = container.started_at is not None and container.started_at >= task.since
        restarts = 0 if fresh else container.restart_count
        before = watched.setdefault(
            container.id,
            _Watched(container.started_at, restarts, Probing(self._engine, self._clock)),
        )
        reason = _fatal_reason(container, before, task)
        if reason is None:
            if before.started_at and container.started_at != before.started_at:
                before.well_since = None  # a person restarted it: it proves itself anew
            before.started_at = container.started_at
            before.restarts = min(before.restarts, container.restart_count)
            return
        memory = " (out of memory)" if container.oom_killed else ""
        failure = self._failure(f"{container.name} {reason}{memory}", found, watched)
        failure.disturbed = self._is_disturbed(container)
        raise failure

    def _is_disturbed(self, container: Container) -> bool:
        """Return True when a person or another program ended the container.

        A container that obeys SIGTERM may exit with any status, so the engine is asked. A daemon
        that shuts down stops its containers before it stops answering.
        """
        if container.status == "removing":
            return True
        if container.oom_killed or container.status not in _FATAL:
            return False
        try:
            return container.exit_code in _SIGNALLED or self._engine.was_stopped(container.id)
        except EngineUnavailableError:
            raise  # the daemon shuts down: nothing is known until it answers again
        except EngineError:
            return False  # a proxy in front of the socket keeps the events back

    def _is_well(self, container: Container, seen: _Watched, task: _Task, left: float) -> bool:
        """Return True when the container has been healthy for its settle time."""
        if task.jobs.has_completed(container):
            return True
        settle = settle_time(container, task.health)
        if seen.well_since is not None and settle == 0:
            return True  # one success is enough
        answers = self._answers(container, seen, settle, left)
        if answers is False:
            seen.well_since = None
        elif answers and seen.well_since is None:
            seen.well_since = self._clock.monotonic()
        since = seen.well_since
        # A command that has not ended may be of a service that locked up.
        unknown = answers is None and seen.probing.waits_for_engine
        return since is not None and not unknown and self._clock.monotonic() - since >= settle

    def _answers(
        self, container: Container, seen: _Watched, settle: float, left: float
    ) -> bool | None:
        """Return the container's health by its healthcheck; None while there is no new result."""
        if not container.running:
            return False
        if container.healthcheck is None:
            return True
        healthy = container.health == "healthy"
        if healthy and settle == 0:
            return True
        result = seen.probing.look(container, container.healthcheck, left)
        if result is not None:
            return result.ok
        return True if healthy and seen.probing.waits_for_engine else None

    def _end_probes(self, watched: dict[str, _Watched]) -> None:
        """Leave no healthcheck command behind in containers that go on."""
        for container_id, seen in watched.items():
            try:
                seen.probing.end(container_id)
            except EngineError:
                continue  # the container or the engine is gone

    def _failure(
        self, happened: str, found: Sequence[Container], watched: dict[str, _Watched]
    ) -> UnhealthyWorkloadError:
        """Return the error with states, probe output and logs of every container."""
        parts = [self._evidence(container, watched.get(container.id)) for container in found]
        return UnhealthyWorkloadError(happened, output="\n".join(parts))

    def _evidence(self, container: Container, seen: _Watched | None) -> str:
        try:
            log = self._engine.logs(container.id)
        except EngineError as error:  # the reason that was found matters more than its log
            log = f"(no log: {error})"
        last = seen.probing.last if seen else None
        return (
            f"== {container.name}: {container.status}, exit status {container.exit_code}, "
            f"restarts {container.restart_count}, out of memory {container.oom_killed}, "
            f"health {container.health}\n"
            f"-- healthcheck: {last.output if last else 'not run'}\n"
            f"-- log:\n{log}"
        )


def _fatal_reason(container: Container, before: _Watched, task: _Task) -> str | None:
    """Return why waiting cannot help, None while it can."""
    if task.jobs.has_completed(container):
        return None
    if container.status in _FATAL:
        return f"is {container.status}, exit status {container.exit_code}"
    if container.restart_count > before.restarts:
        return f"was restarted (count {container.restart_count - before.restarts})"
    if container.health == "unhealthy" and task.health.timeout is None:
        return "is unhealthy by its own healthcheck"
    return None


def _last_word(container: Container, seen: _Watched) -> str:
    last = seen.probing.last
    if last is not None and not last.ok:
        return f"healthcheck: {last.output}"
    return f"it is {container.status}, health {container.health or 'not checked'}"
