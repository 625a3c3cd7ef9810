"""`acr`: Azure Container Registry, by its own webhook or through Event Grid.

The webhook posts one object with `action`; Event Grid posts a list of (or one of) events whose
`data` is that object, in its own schema (`eventType`) or as CloudEvents (`type`); before
CloudEvents it asks by OPTIONS whether it may. Neither signs; both can be given custom headers.
learn.microsoft.com, ACR webhook reference and Event Grid schema.
"""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.model import Mention
from webhook_launcher.core.reference import Reference
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import (
    MAX_ENTRIES,
    Entry,
    Fields,
    common_id,
    label,
    read_json,
)
from webhook_launcher.sources.base.credentials import static_header
from webhook_launcher.sources.base.entries import NoPush, read_entries
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
# Of Azure, of Azure for the US government, and of Azure in China.
_EVENT_GRIDS = frozenset(f"eventgrid.azure.{domain}" for domain in ("net", "us", "cn"))
# Shown to people who then open it, so nothing but Event Grid's own host may stand there.
_VALIDATION_URL = re.compile(
    r"https://[a-z0-9.-]+\.eventgrid\.azure\.(?:net|us|cn)(?::[0-9]+)?/[!-~]{1,900}"
)


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """A custom header, or the URL's token where no secret is configured."""
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """Every pushed tag, or why there is none. Raises MalformedEventError."""
    events = _events(read_json(delivery.body))

    def read_event(entry: Entry) -> Mention | NoPush:
        event = entry.an_object()
        name = _event_name(event)
        push = event.fields("data") if name else event
        reason = _not_a_push(event, push, name)
        return NoPush(reason) if reason else Mention(_pushed(event, push, source))

    identity = common_id([event.part("id") for event in events], delivery.body)
    return replace(read_entries(events, read_event, "no events"), delivery_id=identity)


def _events(body: Any) -> tuple[Entry, ...]:
    if not isinstance(body, list):
        return (Entry(body, ""),)
    if len(body) > MAX_ENTRIES:
        raise MalformedEventError(f"the body has more than {MAX_ENTRIES} events")
    return tuple(Entry(value, f"[{index}]") for index, value in enumerate(body))


def _event_name(event: Fields) -> str | None:
    """What Event Grid calls it, in its own schema or in CloudEvents'; None for the webhook."""
    own, cloud = event.text("eventType"), event.text("type")
    agree(own, event.at("eventType"), cloud, event.at("type"))
    return own or cloud


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
    named, server = request.text("host"), push.text("loginServer")
    agree(named, request.at("host"), server, push.at("loginServer"))
    host = host_of(source, named or server, request.at("host"))
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
    handshake_origins=_EVENT_GRIDS,
)
