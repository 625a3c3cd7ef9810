"""What `doctor` says of this clock, beside the engine's and the registries'."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from webhook_launcher.checkup.finding import Finding, Outcome, good
from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import LauncherError

# A deploy event is refused beyond its source's `tolerance`, by default 5 minutes.
_CLOCK_FAILS = 300.0
# Registries give whole seconds, and an answer takes a moment.
_CLOCK_WARNS = 30.0
# The gate compares when containers started with when a deployment began.
_ENGINE_CLOCK_WARNS = 2.0


class Engine(Protocol):
    """The Docker Engine."""

    def now(self) -> datetime | None:
        """Its clock; None where it does not tell."""


class Clocks:
    """Ours and others."""

    def __init__(self, clock: Clock, engine: Engine) -> None:
        self._clock = clock
        self._engine = engine

    def finding(self, ahead: Sequence[float], *, reachable: bool) -> Finding:
        """Ours against the engine's and the registries', of which the nearest counts.

        `ahead`: the seconds that ours is ahead of each registry's.
        """
        off = min(ahead, key=abs, default=0.0)
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
        against = [name for name, found in (("engine", theirs), ("registry", ahead)) if found]
        agrees = f"agrees with {' and '.join(against)}" if against else "nobody to compare with"
        return good("clock", agrees)


def _ahead(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"
