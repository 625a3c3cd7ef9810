"""The gate: a release is accepted when its containers are healthy and are the admitted image.

Compose's own `--wait` is not used: it polls every 500 ms, the engine's first probe comes only
after a full interval, and without a healthcheck it reports success for a crash after 2 s. Here:

- with a healthcheck, the container's own command is run every 50 ms until it succeeds once on
  every replica, and goes on succeeding for `settle` seconds if that is configured;
- without one, every container must stay up, not restarted, for `settle` seconds (default 5);
- a container that exited, is restarting, or that the engine calls unhealthy fails at once;
- at the deadline, whatever is not healthy has failed, `starting` included.

Then it is proved that what runs is the image, by the engine's image ids: names and labels are
strings and prove nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.container import Container, ProbeResult
from webhook_launcher.core.errors import EngineError, EngineUnavailableError, UnhealthyWorkloadError
from webhook_launcher.core.model import Image
from webhook_launcher.core.workload import HealthSettings

_POLL = 0.05
# A probe takes some 85 ms: one that begins just before the deadline is still a fair one, and its
# output, not its being cut off, is what the failure tells.
_LAST_PROBE = 1.0
# Without a healthcheck: how long a container must stay up to be believed, and how long it may
# take to get up at all.
_SETTLE = 5.0
_START = 10.0
# `removing` appears when somebody removes it by hand meanwhile.
# 128 + SIGKILL, 128 + SIGTERM: somebody else ended it.
_SIGNALLED = frozenset({137, 143})
_FATAL = frozenset({"exited", "dead", "restarting", "removing"})


class Engine(Protocol):
    """What the gate asks the engine."""

    def containers(self, project: str, services: Sequence[str]) -> Sequence[Container]:
        """The containers of these services, stopped ones included."""

    def probe(self, container: Container, limit: float) -> ProbeResult:
        """Run the container's own healthcheck once, within `limit` seconds."""

    def logs(self, container_id: str) -> str:
        """The end of the container's log, bounded."""

    def was_stopped(self, container_id: str) -> bool:
        """True when the engine stopped it, on somebody's order or because it is going itself."""


@dataclass(slots=True)
class _Watched:
    """What has been seen of one container."""

    started_at: datetime | None
    restarts: int
    well_since: float | None = None
    probe: ProbeResult | None = None


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
    ) -> list[Container]:
        """The containers, once every one is healthy and is that image.

        `since` is when the deployment began to touch containers, on the engine's clock as nearly
        as we know it. Raises UnhealthyWorkloadError with states, probe output and logs.
        """
        watched: dict[str, _Watched] = {}
        start = self._clock.monotonic()
        while True:
            found = self._look(project_name, services, watched, since)
            deadline = start + max(_patience(container, health) for container in found)
            waiting = [c for c in found if not self._is_well(c, watched[c.id], health, deadline)]
            if not waiting:
                prove(found, image, since)
                return found
            if self._clock.monotonic() >= deadline:
                said = _last_word(waiting[0], watched[waiting[0].id])
                happened = f"is not healthy after {deadline - start:g} s: {said}"
                raise self._failure(f"{waiting[0].name} {happened}", found, watched)
            self._clock.sleep(_POLL)

    def _look(
        self,
        project_name: str,
        services: Sequence[str],
        watched: dict[str, _Watched],
        since: datetime,
    ) -> list[Container]:
        """The containers now; fails at once on what no waiting will mend."""
        found = list(self._engine.containers(project_name, services))
        if absent := sorted({*services} - {container.service for container in found}):
            raise UnhealthyWorkloadError(
                f"there is no container of {', '.join(absent)}", disturbed=True
            )
        for container in found:
            self._refuse_dead(container, watched, found, since)
        return found

    def _refuse_dead(
        self,
        container: Container,
        watched: dict[str, _Watched],
        found: Sequence[Container],
        since: datetime,
    ) -> None:
        """Fail at once on what will not get better, or got better only by a restart."""
        # A restart before the first look counts too, but not those from before the deployment;
        # the engine's count begins at 0 whenever somebody starts the container.
        fresh = container.started_at is not None and container.started_at >= since
        restarts = 0 if fresh else container.restart_count
        before = watched.setdefault(container.id, _Watched(container.started_at, restarts))
        if container.status in _FATAL:
            reason = f"is {container.status}, exit status {container.exit_code}"
        elif container.restart_count > before.restarts:
            reason = f"was restarted (count {container.restart_count - before.restarts})"
        elif before.started_at and container.started_at != before.started_at:
            reason = "was started again"
        elif container.health == "unhealthy":
            reason = "is unhealthy by its own healthcheck"
        else:
            before.started_at = container.started_at
            return
        memory = " (out of memory)" if container.oom_killed else ""
        failure = self._failure(f"{container.name} {reason}{memory}", found, watched)
        failure.disturbed = self._is_disturbed(container)
        raise failure

    def _is_disturbed(self, container: Container) -> bool:
        """Somebody else ended it: that is no verdict on the image.

        A container that obeys SIGTERM may exit with any status, so the engine is asked. One that
        is going away stops what runs before it stops answering.
        """
        if container.status == "removing":
            return True
        if container.oom_killed or container.status not in _FATAL:
            return False
        try:
            return container.exit_code in _SIGNALLED or self._engine.was_stopped(container.id)
        except EngineUnavailableError:
            raise  # it is going: nothing is known until it answers
        except EngineError:
            return False  # it tells nobody, such as behind a proxy

    def _is_well(
        self, container: Container, seen: _Watched, health: HealthSettings, deadline: float
    ) -> bool:
        """One look; True when the container has been well for as long as it has to."""
        settle = _settle(container, health)
        if seen.well_since is not None and settle == 0:
            return True  # one success is enough, and it had one
        if container.healthcheck is not None and container.running:
            left = max(_LAST_PROBE, deadline - self._clock.monotonic())
            seen.probe = self._engine.probe(container, left)
        if not container.running or (seen.probe is not None and not seen.probe.ok):
            seen.well_since = None
            return False
        now = self._clock.monotonic()
        if seen.well_since is None:
            seen.well_since = now
        return now - seen.well_since >= settle

    def _failure(
        self, happened: str, found: Sequence[Container], watched: dict[str, _Watched]
    ) -> UnhealthyWorkloadError:
        """The error, with what a person needs to see why."""
        parts = [self._evidence(container, watched.get(container.id)) for container in found]
        return UnhealthyWorkloadError(happened, output="\n".join(parts))

    def _evidence(self, container: Container, seen: _Watched | None) -> str:
        try:
            log = self._engine.logs(container.id)
        except EngineError as error:  # the reason that was found matters more than its log
            log = f"(no log: {error})"
        return (
            f"== {container.name}: {container.status}, exit status {container.exit_code}, "
            f"restarts {container.restart_count}, out of memory {container.oom_killed}, "
            f"health {container.health}\n"
            f"-- healthcheck: {seen.probe.output if seen and seen.probe else 'not run'}\n"
            f"-- log:\n{log}"
        )


def prove(containers: Sequence[Container], image: Image, since: datetime) -> None:
    """Every container runs exactly the image; UnhealthyWorkloadError naming both when not.

    The engine's id of a container's image is the config digest (overlay2) or the digest that was
    pulled (containerd store); where the engine tells the platform manifest, it must agree too.
    """
    for container in containers:
        if not container.running:
            raise UnhealthyWorkloadError(f"{container.name} is {container.status}")
        if container.image not in image.ids:
            kept = container.started_at is not None and container.started_at < since
            why = " (it was not replaced)" if kept else ""
            raise UnhealthyWorkloadError(
                f"{container.name} runs image {container.image}{why}, "
                f"not {image.pinned} ({', '.join(sorted(image.ids))})"
            )
        if container.manifest and image.manifest and container.manifest != image.manifest:
            raise UnhealthyWorkloadError(
                f"{container.name} runs manifest {container.manifest} of {image.pinned}, "
                f"not {image.manifest}"
            )


def _settle(container: Container, health: HealthSettings) -> float:
    if health.settle is not None:
        return health.settle
    return 0.0 if container.healthcheck else _SETTLE


def _patience(container: Container, health: HealthSettings) -> float:
    """Seconds until it must be well and settled: configured, or derived from its healthcheck."""
    check = container.healthcheck
    derived = check.deadline if check else _START
    return (derived if health.timeout is None else health.timeout) + _settle(container, health)


def _last_word(container: Container, seen: _Watched) -> str:
    if seen.probe is not None and not seen.probe.ok:
        return f"healthcheck: {seen.probe.output}"
    return f"it is {container.status}, health {container.health or 'not checked'}"
