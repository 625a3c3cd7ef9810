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
        """Seconds after which the engine itself would have called it unhealthy."""
        return self.start_period + self.interval * self.retries + self.timeout


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


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one run of a healthcheck gave; `output` is bounded."""

    ok: bool
    output: str = ""
