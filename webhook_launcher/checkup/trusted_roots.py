"""What `doctor` asks of the keys that keyless signatures are verified with: they age."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

from webhook_launcher.checkup.finding import Finding, Outcome, failed, good
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import LauncherError
from webhook_launcher.core.keyless import KeylessIdentity, TrustDates
from webhook_launcher.core.policy import questions
from webhook_launcher.core.workload import Workload

# The public Sigstore replaces its keys every year or two; what is signed by the next is unknown.
_TRUST_WARNS = timedelta(days=540)


class Keyless(Protocol):
    """Verifies keyless signatures."""

    def trust_dates(self, trusted_root: bytes | None, now: datetime) -> TrustDates:
        """How old its keys are; ConfigurationError when they cannot be used."""


class TrustedRoots:
    """Those that the workloads' policies name."""

    def __init__(self, keyless: Keyless, clock: Clock) -> None:
        self._keyless = keyless
        self._clock = clock

    def findings(self, of: Iterable[Workload]) -> Iterator[Finding]:
        """One for each root, whoever shares it."""
        by_root: dict[bytes | None, list[str]] = defaultdict(list)
        for workload in of:
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
            return failed(check, error)
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
        return good(check, detail)
