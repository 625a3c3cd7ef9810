"""The deploy event: what a CI system says a workload should run (contract, "signed deploy event").

`{"type": "deploy", "workload", "reference"?, "reason"?, "actor"?, "override"?}`. The sender is a
script of the operator's own, so anything unknown is a mistake worth telling: 400 with the field's
name, and OutOfScopeError (422) for a reference that is none.
"""

from collections.abc import Sequence

from webhook_launcher.core.errors import (
    InvalidReferenceError,
    MalformedEventError,
    OutOfScopeError,
)
from webhook_launcher.core.model import Mention
from webhook_launcher.core.policy import OVERRIDABLE
from webhook_launcher.core.reference import Reference, parse_reference
from webhook_launcher.core.source import Statement
from webhook_launcher.sources.base.body import Fields

_FIELDS = ("type", "workload", "reference", "reason", "actor", "override")
_MAX_WORKLOAD = 128
_MAX_REASON = 500
_MAX_ACTOR = 200


def read_deploy_event(fields: Fields, identity: str) -> Statement:
    """One mention with the workload and its reference, None for the tracked one."""
    unknown = [name for name in fields.values if name not in _FIELDS]
    if unknown:
        raise MalformedEventError(
            f"unknown field {unknown[0][:80]!a}",
            advice=f"A deploy event has {', '.join(_FIELDS)} and nothing else.",
        )
    if fields.required_text("type") != "deploy":
        raise MalformedEventError("type is not deploy")
    workload = _short(fields.required_text("workload"), "workload", _MAX_WORKLOAD)
    reason, actor = fields.text("reason"), fields.text("actor")
    return Statement(
        identity,
        (Mention(_reference(fields.text("reference")), workload),),
        reason=reason and _short(reason, "reason", _MAX_REASON),
        actor=actor and _short(actor, "actor", _MAX_ACTOR),
        overrides=_overrides([entry.a_text() for entry in fields.entries("override")]),
    )


def _reference(text: str | None) -> Reference | None:
    try:
        return None if text is None else parse_reference(text)
    except InvalidReferenceError as error:
        raise OutOfScopeError(f"reference: {error}", advice=error.advice()) from error


def _overrides(asked: Sequence[str]) -> frozenset[str]:
    unknown = [name for name in asked if name not in OVERRIDABLE]
    if unknown:
        raise OutOfScopeError(
            f"override: {unknown[0][:80]!a} is no policy that an event can override",
            advice=f"An event can override {', '.join(sorted(OVERRIDABLE))} and nothing else.",
        )
    return frozenset(asked)


def _short(text: str, field: str, limit: int) -> str:
    """Text that is shown to people: bounded, and no control characters for terminals to obey."""
    if len(text) > limit:
        raise MalformedEventError(f"{field} is longer than {limit} characters")
    if not text.isprintable():
        raise MalformedEventError(f"{field} has control characters")
    return text
