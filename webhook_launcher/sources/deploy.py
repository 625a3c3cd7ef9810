"""`deploy`: signed deploy events from CI (Standard Webhooks, v1 HMAC or v1a Ed25519).

`webhook-launcher send` makes them; so does any Standard Webhooks library.
"""

from datetime import datetime

from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import delivery_id, read_fields
from webhook_launcher.sources.base.credentials import standard_webhook
from webhook_launcher.sources.base.deploy_event import read_deploy_event


def authenticate(delivery: Delivery, source: Source, now: datetime) -> Proof:
    """Id, time and raw body are signed with one of the source's keys."""
    return standard_webhook(delivery, source, now)


def read(delivery: Delivery, _source: Source) -> Statement:
    """The workload and its reference. Raises MalformedEventError and OutOfScopeError."""
    sent = delivery.header("webhook-id") or delivery.header("svix-id")
    return read_deploy_event(read_fields(delivery.body), delivery_id(sent, delivery.body))


KIND = Kind(
    "deploy",
    authenticate,
    read,
    credentials=frozenset({"keys"}),
    needs_registry=False,
    deploys=True,
)
