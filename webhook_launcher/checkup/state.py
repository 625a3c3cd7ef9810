"""What `doctor` says of the state directory."""

from collections.abc import Callable
from typing import Protocol

from webhook_launcher.checkup.finding import Finding, Outcome, failed, good
from webhook_launcher.core.errors import LauncherError

# Journal, overrides and one compose document; SQLite needs room for a checkpoint.
_SPACE_FAILS = 64 * 1024**2
_SPACE_WARNS = 512 * 1024**2
# A delivery is answered after one synced commit, and senders wait for 1 to 10 seconds.
_SYNC_WARNS = 0.25


class State(Protocol):
    """The state directory, tried out."""

    @property
    def owner(self) -> int:
        """Its user id."""

    @property
    def ours(self) -> bool:
        """Whether that is who asks."""

    @property
    def free(self) -> int:
        """Bytes that we may still write."""

    @property
    def sync_seconds(self) -> float:
        """How long one small write takes until it is on the disk."""

    @property
    def remote(self) -> str | None:
        """The kind of its file system, if that is of another machine."""


def judged(try_out: Callable[[], State]) -> Finding:
    """`try_out` tries the directory, or raises a LauncherError."""
    try:
        state = try_out()
    except LauncherError as error:
        return failed("state", error)
    free = f"{state.free // 1024**2} MiB free, a synced write takes {state.sync_seconds:.3f} s"
    if not state.ours:
        advice = "Run doctor as the user who runs the launcher."
        owner = f"belongs to user id {state.owner}, who is not asking; {free}"
        return Finding("state", Outcome.WARNING, owner, advice)
    if state.free < _SPACE_WARNS:
        outcome = Outcome.FAILED if state.free < _SPACE_FAILS else Outcome.WARNING
        return Finding("state", outcome, free, "Free space on the disk of `state`.")
    if state.remote is not None:
        where = f"lies on {state.remote}: SQLite's locks and syncs cannot be relied on there"
        return Finding("state", Outcome.WARNING, where, "Put `state` on a local disk.")
    if state.sync_seconds > _SYNC_WARNS:
        slow = "Put `state` on a faster disk: every delivery waits for one synced write."
        return Finding("state", Outcome.WARNING, free, slow)
    return good("state", free)
