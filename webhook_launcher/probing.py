"""Run a container's healthcheck again and again, soon at first, then at growing intervals.

At most one command is unfinished at any time: a check that hangs would otherwise fill the
container with processes until it cannot fork. A command that outlives its own timeout is ended;
where nothing can end it, the engine's verdict decides.
"""

from typing import Protocol

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.container import Container, Healthcheck, ProbeResult, RunningProbe

# Seconds. A service that starts in 0.8 s must be seen within a tenth of a second; a service that
# starts in minutes must not be probed 20 times a second.
_FIRST_INTERVAL = 0.05
_SHARE_OF_ELAPSED = 0.1
_LONGEST_INTERVAL = 5.0
# Seconds that the gate blocks for one command. Under load the engine needs a second to start a
# command, and aborts the start of a command whose caller has left (exit status 126).
_WAIT = 3.0
# Seconds for a command that begins just before the deadline: its output belongs into the failure.
_LAST = 1.0


class Engine(Protocol):
    """Execute commands in containers."""

    def probe(self, container: Container, limit: float) -> ProbeResult:
        """Run the container's own healthcheck once and wait `limit` seconds for its end."""

    def follow_probe(self, probe: RunningProbe) -> ProbeResult:
        """Ask for a healthcheck command that had not ended."""

    def end_probe(self, container_id: str, probe: RunningProbe) -> None:
        """End a healthcheck command, where the image has a shell to do it with."""


class Probing:
    """The probes of one container. `last` is the newest result, for a person to read."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._start = self._due = clock.monotonic()
        self._running: RunningProbe | None = None
        self._began = 0.0
        self.last: ProbeResult | None = None
        self.allowed = True

    @property
    def waits_for_engine(self) -> bool:
        """Return True while no command can be run, so that the engine's own verdict decides."""
        return self._running is not None or not self.allowed

    def look(self, container: Container, check: Healthcheck, left: float) -> ProbeResult | None:
        """Return the result of a command that has ended, None while there is no new result.

        `left` is the time until the gate's deadline, in seconds.
        """
        if self._running is not None:
            return self._follow(container, check, self._running)
        now = self._clock.monotonic()
        if not self.allowed or now < self._due:
            return None
        self._began = now
        wait = min(check.timeout, _WAIT, max(_LAST, left))
        return self._take(self._engine.probe(container, wait))

    def end(self, container_id: str) -> None:
        """End the command that is unfinished, if any."""
        if self._running is not None:
            self._engine.end_probe(container_id, self._running)

    def _follow(
        self, container: Container, check: Healthcheck, running: RunningProbe
    ) -> ProbeResult | None:
        late = self._clock.monotonic() - self._began > check.timeout
        result = self._engine.follow_probe(running)
        if late:
            said = f"no result within {check.timeout:g} s"
            if result.running is not None:
                self._engine.end_probe(container.id, running)
                self._began = self._clock.monotonic()  # the next attempt to end it, if need be
            result = ProbeResult(False, said, result.running)
        return self._take(result)

    def _take(self, result: ProbeResult) -> ProbeResult | None:
        now = self._clock.monotonic()
        self._running = result.running
        self.allowed = self.allowed and result.allowed
        wait = min(_LONGEST_INTERVAL, (now - self._start) * _SHARE_OF_ELAPSED)
        self._due = now + max(_FIRST_INTERVAL, wait)
        self.last = result
        return result if result.running is None and result.allowed else None
