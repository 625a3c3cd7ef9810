"""Webhooks in: read under a limit, authenticate, select, journal, answer. Nothing is decided."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import NotFound

from webhook_launcher.core.clock import Clock
from webhook_launcher.core.errors import (
    AuthenticationError,
    EventError,
    MalformedEventError,
    UnreadableBodyError,
)
from webhook_launcher.core.model import Event, Intent, Origin, Trust, Wish
from webhook_launcher.core.selection import Interest, select
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.web.body import read_body

_log = logging.getLogger(__name__)
# In the WSGI environment once the launcher's own log tells of a request.
LOGGED = "webhook_launcher.logged"
# Where `api` answers what became of a delivery. Written out: `url_for` searches all rules for it.
_STATUS_PATH = "/api/v1/deliveries"


class Accepted(Protocol):
    """What the journal made of a delivery."""

    @property
    def id(self) -> str:
        """Ours, unguessable."""

    @property
    def intents(self) -> tuple[Intent, ...]:
        """What it led to."""

    @property
    def ignored(self) -> str | None:
        """Why it led to nothing."""

    @property
    def duplicate(self) -> bool:
        """True when it was seen before."""


class Deliveries(Protocol):
    """The journal's deliveries."""

    def accept(
        self, event: Event, wishes: list[Wish], ignored: str | None, now: datetime
    ) -> Accepted:
        """Committed when it returns."""

    def get(self, delivery: str) -> Accepted | None:
        """By our id."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What receiving needs. `receive` authenticates and reads; it raises EventError only.

    `forgiven` names the kinds whose senders block their queue or disable the hook after a 4xx:
    an authentic delivery of theirs that is readable and cannot be used is answered 200.
    `record` keeps authentic deliveries for `replay`.
    """

    sources: Mapping[str, Source]
    interests: Mapping[str, Interest]
    receive: Callable[[Delivery, Source, datetime], Event]
    deliveries: Deliveries
    clock: Clock
    wake: Callable[[], None]
    max_body: int
    forgiven: frozenset[str] = frozenset()
    record: Callable[[Source, Delivery, datetime], None] = lambda *_: None


def blueprint(intake: Intake) -> Blueprint:
    """`POST /hooks/<source>` and `/hooks/<source>/<token>`."""
    hooks = Blueprint("hooks", __name__)

    @hooks.post("/hooks/<source>")
    @hooks.post("/hooks/<source>/<token>")
    def receive(source: str, token: str | None = None) -> tuple[Response, int]:
        configured = intake.sources.get(source)
        if configured is None:
            raise NotFound(f"there is no source {source[:80]!a}")
        body = read_body(intake.max_body, "limits.body")
        delivery = Delivery(_headers(request.environ), body, token)
        return _accept(intake, configured, delivery)

    return hooks


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    """The headers by their names in lower case (PEP 3333 says how WSGI spells them)."""
    found = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            found[key.replace("_", "-").lower()] = environ[key]
    return found


def _accept(intake: Intake, source: Source, delivery: Delivery) -> tuple[Response, int]:
    now = intake.clock.now()
    try:
        event = _event(intake, source, delivery, now)
        wishes, reason = select(event, _in_scope(intake, source), _origin(event))
    except EventError as error:
        _tell(logging.WARNING, "delivery refused", source, code=error.code, detail=str(error))
        if not isinstance(error, AuthenticationError):
            intake.record(source, delivery, now)
        raise
    accepted = intake.deliveries.accept(event, wishes, None if wishes else reason, now)
    intake.record(source, delivery, now)
    if accepted.intents and not accepted.duplicate:
        intake.wake()
    _tell(
        logging.INFO,
        "delivery",
        source,
        trust=event.trust.value,
        delivery=accepted.id,
        intents=[intent.id for intent in accepted.intents],
        ignored=accepted.ignored,
        refused=list(event.refused),
        duplicate=accepted.duplicate,
    )
    return _answer(accepted, event)


def _tell(level: int, what: str, source: Source, **fields: object) -> None:
    """The one line of a delivery: it stands for the access log's."""
    request.environ[LOGGED] = True
    _log.log(level, what, extra={"source": source.name, "client": request.remote_addr, **fields})


def _event(intake: Intake, source: Source, delivery: Delivery, now: datetime) -> Event:
    try:
        return intake.receive(delivery, source, now)
    except UnreadableBodyError:
        raise
    except MalformedEventError as error:
        if source.kind not in intake.forgiven:
            raise
        # Authentic: `receive` proves the sender before it reads.
        body_id = f"sha256:{sha256(delivery.body).hexdigest()}"
        return Event(source.name, Trust.TOKEN, body_id, ignored=f"{error.code}: {error}")


def _in_scope(intake: Intake, source: Source) -> list[Interest]:
    names = intake.interests if source.workloads is None else source.workloads
    return [intake.interests[name] for name in names]


def _origin(event: Event) -> Origin:
    return Origin(
        trust=event.trust,
        source=event.source,
        secret_id=event.secret_id,
        actor=event.actor,
        reason=event.reason,
        signed_at=event.signed_at,
        overrides=event.overrides,
    )


def _answer(accepted: Accepted, event: Event) -> tuple[Response, int]:
    body: dict[str, object] = {"delivery": accepted.id}
    if accepted.duplicate:
        body["duplicate"] = True
    if accepted.intents:
        status_url = f"{request.root_path}{_STATUS_PATH}/{accepted.id}"
        body["intents"] = [
            {
                "workload": intent.workload,
                "reference": str(intent.wish.reference) if intent.wish.reference else None,
                "status_url": status_url,
            }
            for intent in accepted.intents
        ]
    else:
        body["ignored"] = accepted.ignored or "nothing to do"
    if event.refused:
        body["refused"] = list(event.refused)
    fresh = accepted.intents and not accepted.duplicate
    return jsonify(body), 202 if fresh else 200
