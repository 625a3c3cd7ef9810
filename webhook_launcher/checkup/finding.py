"""One answer of `doctor`."""

from dataclasses import dataclass
from enum import StrEnum

from webhook_launcher.core.errors import LauncherError


class Outcome(StrEnum):
    """How serious it is: a failure stops deployments or deliveries, a warning costs time."""

    GOOD = "good"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer: what was looked at, what was found, what to do."""

    check: str
    outcome: Outcome
    detail: str
    advice: str | None = None


def good(check: str, detail: str) -> Finding:
    """Nothing is to be done."""
    return Finding(check, Outcome.GOOD, detail)


def failed(check: str, error: LauncherError) -> Finding:
    """In the error's own words."""
    return Finding(check, Outcome.FAILED, str(error), error.advice())
