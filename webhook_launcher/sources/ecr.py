"""`ecr`: pushes to Amazon ECR, sent by an EventBridge API destination.

The connection of an API destination sends an API key in a header of your choice, or Basic, or a
bearer token; nothing is signed. Through SNS, which signs, use kind `sns`.
"""

from datetime import datetime

from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import delivery_id, read_fields
from webhook_launcher.sources.base.credentials import static_header
from webhook_launcher.sources.base.ecr_event import read_ecr_event


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The connection's header, or the URL's token where no secret is configured."""
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """The pushed tag, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    return read_ecr_event(fields, source, delivery_id(fields.text("id"), delivery.body))


KIND = Kind(
    "ecr",
    authenticate,
    read,
    credentials=frozenset({"secrets", "tokens"}),
    needs_registry=False,
    header="X-Api-Key",
)
