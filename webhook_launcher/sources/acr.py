"""`acr`: Azure Container Registry, by its own webhook or through Event Grid.

The webhook posts one object with `action`; Event Grid posts a list of (or one of) events whose
`data` is that object, in its own schema (`eventType`) or as CloudEvents (`type`). Neither signs;
both can be given custom headers. learn.microsoft.com, ACR webhook reference and Event Grid schema.
"""

import re
from datetime import datetime
from typing import Any

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import (
    MAX_ENTRIES,
    Fields,
    common_id,
    label,
    read_json,
)
from webhook_launcher.sources.base.credentials import static_header
from webhook_launcher.sources.base.images import (
    agree,
    digest_of,
    host_of,
    not_an_image,
    repository_of,
    tag_of,
)

_PUSHED = "Microsoft.ContainerRegistry.ImagePushed"
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
# Shown to people who then open it, so nothing but Event Grid's own host may stand there.
_VALIDATION_URL = re.compile(r"https://[a-z0-9.-]+\.eventgrid\.azure\.net(?::[0-9]+)?/[!-~]{1,900}")


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """A custom header, or the URL's token where no secret is configured."""
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """Every pushed tag, or why there is none. Raises MalformedEventError."""
    events = _events(read_json(delivery.body))
    mentions: list[Mention] = []
    reasons: list[str] = []
    for event in events:
        name = event.text("eventType") or event.text("type")
        push = event.fields("data") if name else event
        reason = _not_a_push(event, push, name)
        if reason:
            reasons.append(reason)
        else:
            mentions.append(Mention(_pushed(event, push, source)))
    identity = common_id([event.text("id") for event in events], delivery.body)
    if mentions:
        return Statement(identity, tuple(dict.fromkeys(mentions)))
    return Statement(identity, ignored="; ".join(dict.fromkeys(reasons[:3])) or "no events")


def _events(body: Any) -> tuple[Fields, ...]:
    entries = body if isinstance(body, list) else [body]
    if len(entries) > MAX_ENTRIES or not all(isinstance(entry, dict) for entry in entries):
        raise MalformedEventError("the body is neither a JSON object nor a short list of them")
    if len(entries) == 1:
        return (Fields(entries[0]),)
    return tuple(Fields(entry, f"[{index}]") for index, entry in enumerate(entries))


def _not_a_push(event: Fields, push: Fields, name: str | None) -> str | None:
    if name == _VALIDATION:
        return _validation(event.fields("data"))
    if name not in (None, _PUSHED):
        return f"{label(name)} is no push of an image"
    # Event Grid names the event; the webhook has nothing but the action.
    action = push.text("action") or ("push" if name else None)
    if action != "push":
        return f"action {label(action) or 'none'} is no push of an image"
    target = push.fields("target")
    other = not_an_image(target.text("mediaType"))
    if other:
        return f"the push is {other}"
    return None if target.text("tag") else "the pushed manifest has no tag"


def _validation(content: Fields) -> str:
    """Nothing in a body is ever fetched; a person opens the URL once, within ten minutes."""
    url = content.text("validationUrl") or ""
    if not _VALIDATION_URL.fullmatch(url):
        return "Event Grid asks for a validation that only its code could answer"
    return f"Event Grid asks for validation: open {url}"


def _pushed(event: Fields, push: Fields, source: Source) -> Reference:
    target, request = push.fields("target"), push.fields("request")
    host = host_of(source, request.text("host"), request.at("host"))
    path, tag = target.required_text("repository"), target.required_text("tag")
    repository = repository_of(host, path, target.at("repository"))
    agree(event.text("subject"), event.at("subject"), f"{path}:{tag}", target.at("tag"))
    digest = digest_of(target.text("digest"), target.at("digest"))
    return Reference(repository, tag_of(tag, target.at("tag")), digest)


KIND = Kind(
    "acr",
    authenticate,
    read,
    credentials=frozenset({"secrets", "tokens"}),
    needs_registry=False,
    header="Authorization",
)
