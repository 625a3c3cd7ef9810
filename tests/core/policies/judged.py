"""A candidate for one policy, by default the best there is; tests take something away."""

from dataclasses import replace
from datetime import datetime

from tests.fakes import PLATFORM, START, digest, image_of
from webhook_launcher.core.evidence import Evidence, Facts
from webhook_launcher.core.model import Action, Origin, Trust, WorkloadState
from webhook_launcher.core.policy import Candidate
from webhook_launcher.core.reference import parse_reference

A, B = digest("A"), digest("B")
STABLE = parse_reference("ghcr.io/acme/web:stable")
FACTS = Facts(b"{}", {"vendor": "acme", "tier": "prod"}, 3 * 1024 * 1024, PLATFORM)


def candidate(
    evidence: Evidence | None = None,
    *,
    action: Action = Action.CHECK,
    trust: Trust = Trust.SIGNED,
    overrides: frozenset[str] = frozenset(),
    now: datetime = START,
    state: WorkloadState | None = None,
) -> Candidate:
    """Image A of the workload `web`."""
    origin = Origin(trust, "ci", secret_id="2026", overrides=overrides)
    return Candidate(
        "web",
        (STABLE.repository,),
        image_of(STABLE, A),
        action,
        origin,
        state or WorkloadState("web"),
        now,
        evidence or Evidence(FACTS, first_seen=START),
    )


def without_facts() -> Candidate:
    """Nobody looked at what the image is made of."""
    return replace(candidate(), evidence=Evidence())
