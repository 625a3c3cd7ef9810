"""What the engine says about a container of a compose project."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """The container's own healthcheck, as an argv to execute; the numbers are seconds."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    retries: int = 3

    @property
    def deadline(self) -> float:
        """Return the seconds after which the engine itself calls the container unhealthy.

        The engine waits `interval` after the end of each probe (moby, daemon/health.go).
        """
        return self.start_period + self.timeout + self.retries * (self.interval + self.timeout)


@dataclass(frozen=True, slots=True)
class Container:
    """One container as inspected: `status` is the engine's word (running, exited, ...).

    `running` means now: neither paused nor between two restarts.
    `image` is the engine's id of its image; `image_ref` only what it was called in the compose
    file, which proves nothing. `manifest` is the platform manifest's digest where the engine
    tells it (API 1.48 and later on the containerd store). `health` is the engine's own verdict,
    None without a healthcheck.
    """

    id: str
    name: str
    service: str
    number: int
    image: str
    image_ref: str
    status: str
    running: bool
    exit_code: int
    oom_killed: bool
    restart_count: int
    started_at: datetime | None = None
    health: str | None = None
    healthcheck: Healthcheck | None = None
    manifest: str | None = None
    restarts_always: bool = False  # policy `always` or `unless-stopped`
    replaced: bool = False  # Compose made it in place of another container, with its volumes


@dataclass(frozen=True, slots=True)
class RunningProbe:
    """A healthcheck command that has not ended. `pid` is its process group in the container.

    `pid` is None where the image has no shell: then nothing can end the command from outside.
    """

    exec_id: str
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one healthcheck command; `output` is bounded.

    `running` is set while the command has not ended. `allowed` is False where the engine, or a
    proxy in front of its socket, forbids to execute commands.
    """

    ok: bool
    output: str = ""
    running: RunningProbe | None = None
    allowed: bool = True


@dataclass(frozen=True, slots=True)
class Jobs:
    """The services of a workload that complete instead of running on.

    `awaited`: another service waits for them with `service_completed_successfully`.
    `optional`: an explicit `restart: "no"` or `on-failure`, and no published ports.
    `former`: the container of the release before had completed.
    """

    awaited: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    former: frozenset[str] = frozenset()

    def has_completed(self, container: Container) -> bool:
        """Return True for a job's container that exited with status 0."""
        if container.status != "exited" or container.exit_code != 0:
            return False
        if container.service in self.awaited | self.former:
            return True
        return container.service in self.optional and container.healthcheck is None

    def may_be_absent(self, service: str) -> bool:
        """Return True for a service whose missing container is no drift."""
        return service in self.awaited | self.optional | self.former
