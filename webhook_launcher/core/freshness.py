"""Whether what a workload follows is still looked at, and still moves: the alarm for a freeze.

An indefinite freeze, in TUF's words, keeps a user on an outdated state without their knowledge. A
registry that does not answer, a mirror that stands still and a build that stopped look alike here.
Nothing is refused for it: it is told.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from webhook_launcher.core.model import WorkloadState
from webhook_launcher.core.workload import TrackKind, Workload


def warnings(workload: Workload, state: WorkloadState, now: datetime) -> list[str]:
    """What an operator should look at, in sentences; empty when all is fresh."""
    if workload.track.kind is TrackKind.NONE:
        return []
    return list(_warnings(workload, state, now))


def _warnings(workload: Workload, state: WorkloadState, now: datetime) -> Iterator[str]:
    stale, quiet = workload.stale_after, workload.track.quiet_after
    if state.found_at is None:
        if state.checked_at is not None:
            yield f"no look was ever answered; the last one: {state.check_result}"
    elif stale is not None and (age := _seconds(now - state.found_at)) > stale:
        yield f"no look was answered for {_told(age)}; the last one: {state.check_result}"
    if (
        quiet is not None
        and state.moved_at is not None
        and (age := _seconds(now - state.moved_at)) > quiet
    ):
        yield f"what is tracked has not moved for {_told(age)}; is it still built and pushed?"


def _seconds(age: timedelta) -> float:
    return age.total_seconds()


def _told(seconds: float) -> str:
    """The largest unit that leaves a whole number to read."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
