"""What `doctor` asks of the registries: the reference that each workload tracks."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from webhook_launcher.checkup.finding import Finding, Outcome, good
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import LauncherError, RegistryUnavailableError
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.workload import Workload

_REACH = "Check its address in `image`, and that this host, or this container, can reach it."


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


class Registries:
    """Asks for what a deployment would ask for. `ahead` is known once all were asked."""

    def __init__(self, registry: Registry, tracker: Tracker, clock: Clock) -> None:
        self._registry = registry
        self._tracker = tracker
        self._clock = clock
        # Seconds that our clock is ahead of each registry's that told its time.
        self.ahead: list[float] = []

    def findings(self, of: Iterable[Workload]) -> Iterator[Finding]:
        """Registry by registry."""
        by_host: dict[str, list[Workload]] = defaultdict(list)
        for workload in of:
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
            yield good(check, f"answers for {', '.join(answered)}")

    def _note_date(self, reference: Reference) -> None:
        said = self._registry.date(reference)
        if said is not None:
            self.ahead.append((self._clock.now() - said).total_seconds())
