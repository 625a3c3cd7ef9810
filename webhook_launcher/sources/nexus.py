"""`nexus`: repository webhooks of Sonatype Nexus 3 (`rm:repository:component`).

Nexus signs the body with HMAC-SHA1, bare hex; it has nothing better. The events name neither a
digest nor a registry host. help.sonatype.com, webhooks.
"""

from datetime import datetime

from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import Fields, delivery_id, label, read_fields
from webhook_launcher.sources.base.credentials import body_mac
from webhook_launcher.sources.base.images import host_of, repository_of, tag_of

_PUSHES = frozenset({"CREATED", "UPDATED"})
_COMPONENT = "rm:repository:component"


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """`X-Nexus-Webhook-Signature`, SHA-1."""
    return body_mac(delivery, source, "X-Nexus-Webhook-Signature", "sha1")


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    identity = delivery_id(delivery.header("x-nexus-webhook-delivery"), delivery.body)
    actor = label(fields.values.get("initiator"))
    component = fields.fields("component")
    reason = _not_a_push(fields, component, delivery.header("x-nexus-webhook-id"))
    if reason:
        return Statement(identity, ignored=reason, actor=actor)
    host = host_of(source, None, "the registry's host")
    reference = Reference(
        repository_of(host, component.required_text("name"), component.at("name")),
        tag_of(component.required_text("version"), component.at("version")),
    )
    return Statement(identity, (Mention(reference),), actor=actor)


def _not_a_push(fields: Fields, component: Fields, webhook: str | None) -> str | None:
    if webhook not in (None, _COMPONENT) or "component" not in fields:
        return f"{label(webhook) or 'the event'} is about no component"
    if component.text("format") != "docker":
        return "the component is no container image"
    action = fields.text("action")
    if action not in _PUSHES:
        return f"action {label(action) or 'none'} is no push"
    version = component.text("version")
    return "the pushed manifest has no tag" if version is None or ":" in version else None


KIND = Kind("nexus", authenticate, read, credentials=frozenset({"secrets"}))
