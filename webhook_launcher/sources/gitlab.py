"""`gitlab`: GitLab's registry notifications; its project webhooks are accepted and ignored.

GitLab has no webhook for image pushes. A self-managed registry sends the notifications of CNCF
Distribution with static headers. Project webhooks carry `X-Gitlab-Token` or, with the signing
token, Standard Webhooks headers. Four failures in a row disable a hook. docs.gitlab.com, webhooks
and container registry notifications.
"""

from datetime import datetime

from webhook_launcher.core.errors import MalformedEventError
from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import delivery_id, label, read_fields
from webhook_launcher.sources.base.credentials import standard_webhook, static_header
from webhook_launcher.sources.base.registry_events import read_notifications


def authenticate(delivery: Delivery, source: Source, now: datetime) -> Proof:
    """The signing token where keys are configured, the static header, or the URL's token.

    With keys and secrets a delivery without signature may still carry the static secret: the
    registry and the project hooks of one GitLab come to one source.
    """
    if source.keys and (delivery.header("webhook-signature") or not source.secrets):
        return standard_webhook(delivery, source, now)
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """Every pushed tag of a notification, or why there is none. Raises MalformedEventError."""
    fields = read_fields(delivery.body)
    if "events" in fields:
        return read_notifications(fields, source, delivery.body)
    kind = fields.text("object_kind") or fields.text("event_name")
    if kind is None:
        raise MalformedEventError("neither events nor object_kind is in the body")
    sent = delivery.header("idempotency-key") or delivery.header("webhook-id")
    identity = delivery_id(sent, delivery.body)
    return Statement(identity, ignored=f"{label(kind)} events push no image")


KIND = Kind(
    "gitlab",
    authenticate,
    read,
    credentials=frozenset({"secrets", "keys", "tokens"}),
    needs_registry=False,
    header="X-Gitlab-Token",
    punishes_errors=True,
)
