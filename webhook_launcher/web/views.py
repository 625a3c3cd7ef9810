"""The core's types as the API shows them. Nothing here may carry a secret."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from webhook_launcher.core.freshness import warnings
from webhook_launcher.core.model import (
    Action,
    Deployment,
    Image,
    Intent,
    Origin,
    Verdict,
    WorkloadState,
)
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.workload import Workload
from webhook_launcher.web.outcomes import sentence


def time(when: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z") if when else None


def image(found: Image | None) -> dict[str, Any] | None:
    """A release by reference and digests."""
    if found is None:
        return None
    return {
        "reference": _pinned(found.each[0]),
        "digest": found.digest,
        "manifest": found.manifest,
        "config": found.config,
        "platform": str(found.platform) if found.platform else None,
        "images": [_pinned(one) for one in found.each],
    }


def _pinned(one: Image) -> str:
    """With its tag."""
    return str(one.reference.at(one.digest))


def origin(found: Origin) -> dict[str, Any]:
    """Who asked."""
    return {
        "trust": found.trust.value,
        "source": found.source,
        "delivery": found.delivery,
        "secret_id": found.secret_id,
        "actor": found.actor,
        "reason": found.reason,
        "signed_at": time(found.signed_at),
        "overrides": sorted(found.overrides),
    }


def intent(found: Intent) -> dict[str, Any]:
    """A wish and what became of it."""
    return {
        "id": found.id,
        "workload": found.workload,
        "action": found.wish.action.value,
        "reference": str(found.wish.reference) if found.wish.reference else None,
        "status": found.status.value,
        "final": found.status.final,
        "code": found.code,
        "detail": found.detail,
        "attempts": found.attempts,
        "not_before": time(found.not_before),
        "deployment": found.deployment,
        "created_at": time(found.created_at),
    }


def public_intent(found: Intent, attempt: Deployment | None) -> dict[str, Any]:
    """The same for the sender of its delivery: a fixed sentence in place of the detail.

    `attempt` is the deployment that it led to, whose image is named.
    """
    return {
        **intent(found),
        "image": attempt.image.pinned if attempt else None,
        "detail": sentence(found, attempt),
    }


def verdict(found: Verdict) -> dict[str, Any]:
    """What a policy said, and what to do when it refused."""
    return {
        "policy": found.policy,
        "holds": found.holds,
        "said": found.said,
        "advice": found.advice,
    }


def deployment(found: Deployment) -> dict[str, Any]:
    """One attempt with its evidence."""
    return {
        "id": found.id,
        "workload": found.workload,
        "intent": found.intent,
        "status": found.status.value,
        "image": image(found.image),
        "previous": image(found.previous),
        "rollback": found.rollback,
        "undoes": found.undoes,
        "restored": found.restored,
        "origin": origin(found.origin),
        "policies": [verdict(one) for one in found.verdicts],
        "started_at": time(found.started_at),
        "finished_at": time(found.finished_at),
        "timings": dict(found.timings),
        "code": found.code,
        "detail": found.detail,
        "advice": found.advice,
        "output": found.output,
    }


def workload(
    configured: Workload, state: WorkloadState, open_intents: list[Intent], now: datetime
) -> dict[str, Any]:
    """What a workload follows, wants and runs."""
    busy = any(found.status.value == "in_progress" for found in open_intents)
    return {
        "name": configured.name,
        "image": str(configured.repository),
        "images": [str(one) for one in configured.repositories],
        "tracked": str(configured.tracked or configured.track),
        "tracked_now": _shown(state.found, configured),
        "wanted": _shown(state.wanted, configured),
        "current": image(state.current),
        "previous": image(state.previous),
        "state": _state(state, open_intents, busy=busy),
        "pending": [intent(found) for found in open_intents],
        "paused": state.paused,
        "quarantined": sorted(state.quarantined),
        "last_check": {
            "at": time(state.checked_at),
            "result": state.check_result,
            "answered_at": time(state.found_at),
            "moved_at": time(state.moved_at),
        },
        "warnings": warnings(configured, state, now),
    }


def _shown(reference: Reference | None, configured: Workload) -> str | None:
    """Of several images the digest is that of their combination, which no registry has."""
    if reference is None:
        return None
    return str(replace(reference, digest=None) if configured.companions else reference)


def _state(state: WorkloadState, open_intents: list[Intent], *, busy: bool) -> str:
    if busy:
        return "deploying"
    if any(found.wish.action is Action.RESTORE for found in open_intents):
        return "degraded"  # the current release does not run, or not well; it is tried again
    if state.paused:
        return "paused"
    return "running" if state.current else "not deployed"
