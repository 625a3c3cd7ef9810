"""What `doctor` looks at: everything outside that a deployment will need, each with the fix.

It asks what the launcher would ask, by the same adapters, and changes nothing. It opens no journal,
so it may run beside a launcher. One module per thing that is looked at; here is their order.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from webhook_launcher.checkup import clocks, host, registries, state, trusted_roots
from webhook_launcher.checkup.finding import Finding, Outcome
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.workload import Workload

__all__ = ["Checkup", "Finding", "Outcome"]


class Engine(host.Engine, clocks.Engine, Protocol):
    """The Docker Engine."""


class Checkup:
    """All that `doctor` looks at. `try_out` tries the state directory, or raises JournalError."""

    def __init__(
        self,
        workloads: Iterable[Workload],
        engine: Engine,
        compose: host.Compose,
        registry: registries.Registry,
        tracker: registries.Tracker,
        placement: host.Placement,
        keyless: trusted_roots.Keyless,
        try_out: Callable[[], state.State],
        clock: Clock,
    ) -> None:
        self._workloads = list(workloads)
        self._host = host.Host(engine, compose, placement)
        self._registries = registries.Registries(registry, tracker, clock)
        self._trusted_roots = trusted_roots.TrustedRoots(keyless, clock)
        self._clocks = clocks.Clocks(clock, engine)
        self._try_out = try_out

    def findings(self) -> Iterator[Finding]:
        """One after the other, as they are found."""
        engine = self._host.engine()
        yield engine
        reachable = engine.outcome is not Outcome.FAILED
        yield self._host.compose()
        for workload in self._workloads:
            yield self._host.workload(workload, reachable=reachable)
        if reachable:
            yield from self._host.mounts()
        yield from self._registries.findings(self._workloads)
        yield from self._trusted_roots.findings(self._workloads)
        yield self._clocks.finding(self._registries.ahead, reachable=reachable)
        yield state.judged(self._try_out)
